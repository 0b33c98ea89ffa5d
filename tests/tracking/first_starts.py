"""Run by a test: many processes that open a store for the first time, at once or killed.

MLflow is loaded once and the processes are forks, so that they meet in the creation itself and
not one after the other in their imports.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from sweep.config.settings import Tracking
from sweep.tracking.store import open_store


def child(outputs: Path, gate: int | None) -> int:
    """Fork a process that waits at the gate, opens the store and creates a run."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if gate is not None:
            os.read(gate, 1)
        store = open_store(Tracking(kind="local", outputs=outputs), mode="write")
        store.call(lambda: store.client.create_run(store.experiment_id))
        code = 0
    finally:
        os._exit(code)


def at_once(outputs: Path, rounds: int, whole: float) -> None:
    """Start eight processes at one moment, each round in a new folder; all must succeed."""
    for number in range(rounds):
        folder = outputs / str(number)
        read_end, write_end = os.pipe()
        pids = [child(folder, read_end) for _ in range(8)]
        os.write(write_end, b"x" * 8)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        os.close(read_end)
        os.close(write_end)
        assert codes == [0] * 8, codes
        print(folder, flush=True)


def killed(outputs: Path, rounds: int, whole: float) -> None:
    """Kill a first start at random moments of its `whole` seconds, then start again."""
    generator = random.Random(20)
    for number in range(rounds):
        folder = outputs / str(number)
        pid = child(folder, None)
        time.sleep(generator.uniform(0, whole))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(os.waitpid(child(folder, None), 0)[1])
        assert code == 0, (number, code)
        left = {path.name for path in folder.iterdir()}
        assert not [name for name in left if name.startswith(".new-store-")], left
        print(folder, flush=True)


def warm(outputs: Path) -> float:
    """Load all that a first start loads; return how many seconds one takes after that."""
    for name in ("first", "second"):
        began = time.monotonic()
        open_store(Tracking(kind="local", outputs=outputs / name), mode="write")
    return time.monotonic() - began


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    {"at_once": at_once, "killed": killed}[sys.argv[1]](folder, int(sys.argv[3]), warm(folder))
