"""A soak run, outside the tests: twenty sweeps in a row, each killed at a random moment.

    python -m tests.faults.soak [sweeps=20] [seed=1]

Each sweep is killed by SIGKILL within a second after one of its own lines (the one that says what
it will do, or one of a recorded run), with all it started or alone, drawn by lot, and resumed at
once: where the command alone was killed, the recorder process may still be at it. At the end
every sweep of the store must equal the undisturbed one to the bit, with nothing running, waiting
or left over.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from sweep.tracking import read
from tests.faults.support import assert_whole, open_reader, statuses, wait_for_line
from tests.processes import finish, run_sweep, start_sweep

GRID = ["-m", "lr=0.1,1,20", "iters=10,100,1000,3000,10000,30000,100000,300000"]
CELLS = 24


def main(sweeps: int, seed: int) -> None:
    """Run the soak and print its figures."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="sweep-soak-") as folder:
        model, store = Path(folder, "undisturbed"), Path(folder, "disturbed")
        model.mkdir()
        store.mkdir()
        must(GRID, model)  # compiles the kernel
        for number in range(1, sweeps + 1):
            before = ids(store)
            line, after = generator.randint(0, CELLS), generator.random()
            alone = generator.random() < 0.5
            process = kill_after(line, after, store, alone)
            new = ids(store) - before
            if not new:  # perhaps it is just being written
                finish(process, 60)
                new = ids(store) - before
            if new:
                left = statuses(store)["RUNNING"]
                found = re.search(r"; (\d+) of them", must([f"resume={new.pop()}"], store))
                told = f"{left} open; {found[1] if found else 0} stored"
            else:
                told = "before it was in the store"
                must(GRID, store)
            if process.returncode is None:
                finish(process, 60)
            how = "alone" if alone else "with all"
            print(f"{number:3}: killed {how} {after:.2f} s after line {line:2}, {told}", flush=True)
        every = ids(store)
        assert len(every) == sweeps, f"{len(every)} sweeps in the store, not {sweeps}"
        assert_whole(store, like=model, sweeps=sorted(every))
        print(f"All {sweeps * CELLS} cells equal the undisturbed ones to the bit; none is open.")


def must(arguments: list[str], folder: Path) -> str:
    """Run a sweep that must succeed; return its output."""
    ended = run_sweep(arguments, folder, timeout=300)
    assert ended.code == 0, ended
    return ended.out


def ids(folder: Path) -> set[str]:
    """Return the sweeps that a store knows and that can be resumed: their plan is written."""
    if not (folder / "outputs" / "mlflow.db").exists():
        return set()
    return {each.sweep_id for each in read.list_sweeps(open_reader(folder)) if each.plan()}


def kill_after(line: int, seconds: float, folder: Path, alone: bool) -> subprocess.Popen[str]:
    """Start a sweep; kill it, alone or with all it started, after it recorded `line` runs."""
    process = start_sweep(GRID, folder)
    wait_for_line(process, f"[{line}/{CELLS}]" if line else "Sweep ")
    time.sleep(seconds)
    command = psutil.Process(process.pid)
    for each in [command, *([] if alone else command.children(recursive=True))]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    return process


if __name__ == "__main__":
    given = dict(text.split("=") for text in sys.argv[1:])
    main(int(given.get("sweeps", 20)), int(given.get("seed", 1)))
