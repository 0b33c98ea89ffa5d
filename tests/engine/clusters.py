"""Real clusters on this machine: a Dask scheduler with worker processes, Ray nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.processes import clean_environment

PATIENCE = 90.0

OWN = """
import os, signal, sys, time
import psutil
from sweep.engine.backends import Done, Emitted, create

def work(emit, stop):
    emit(os.getpid())
    while not stop() or sys.argv[1] == "deaf":
        time.sleep(0.01)
    emit("stopped")

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: None)
    with create(sys.argv[2], 2) as backend:
        backend.submit(0, work)
        backend.submit(1, work)
        seen = []
        for event in backend.events():
            if isinstance(event, Done) and event.error:
                print(event.error)
            if isinstance(event, Emitted):
                seen.append(event.value)
                if len(seen) == 2:
                    if sys.argv[1] == "deaf":
                        break
                    if sys.argv[1] == "killed":
                        print(*seen, flush=True)
                        os.kill(os.getpid(), signal.SIGKILL)
                    os.killpg(0, signal.SIGINT)
                    backend.stop()
        print(seen[2:], flush=True)
    print("left", len(psutil.Process().children(recursive=True)), flush=True)
"""
"""A driver (way, backend) whose cluster is its own, and which leaves its works in some way."""


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, *options: str) -> Iterator[str]:
    """Start `dask scheduler` and `dask worker` as their users do; yield the address.

    Each worker has one thread and a nanny that starts it again; two deaths are allowed to a task.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contact = folder / "scheduler.json"
    env = clean_environment({"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"})
    loopback = ["--host", "127.0.0.1", "--no-dashboard"]
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        with (folder / f"log-{len(started)}.txt").open("wb") as log:
            command = [sys.executable, "-m", "dask", *words, *loopback]
            started.append(
                subprocess.Popen(
                    command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
                )
            )

    try:
        start("scheduler", "--port", "0", "--scheduler-file", str(contact))
        wait_for(lambda: contact.exists() and contact.read_text().endswith("}"))
        address = str(json.loads(contact.read_text())["address"])
        for _ in range(workers):
            start("worker", address, "--nthreads", "1", *options)
        yield address
    finally:
        for process in reversed(started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """Start a head without room for works, and two nodes of one CPU; yield the Cluster."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "disabled"
    before = dict(os.environ)
    os.environ.update(clean_environment())
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 4},
    }
    handler = signal.getsignal(signal.SIGTERM)
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()
        signal.signal(signal.SIGTERM, handler)
        os.environ.clear()
        os.environ.update(before)
