"""Real clusters on this machine: a Dask scheduler with worker processes, Ray nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sweep.engine.executors import Executor, create
from tests.processes import clean_environment

PATIENCE = 90.0

ENGINES = [pytest.param("dask", marks=pytest.mark.dask), pytest.param("ray", marks=pytest.mark.ray)]
"""The engines, for a test of all of them: each runs where its mark is asked for."""


class Engine(NamedTuple):
    """A cluster that runs: which executor it is for, and its address."""

    name: str
    address: str

    def joined(self, workers: int | None = None, **options: Any) -> Executor:
        """Return an executor that uses it."""
        return create(self.name, workers, {"address": self.address, **options})

    @property
    def words(self) -> list[str]:
        """The words that name it on the command line."""
        return [
            f"hydra.launcher.backend={self.name}",
            f"hydra.launcher.options.address={self.address}",
        ]


@contextmanager
def running_engine(name: str, folder: Path) -> Iterator[Engine]:
    """Start a cluster of two workers that knows nothing of its drivers; yield what names it."""
    if name == "dask":
        with dask_cluster(folder) as address:
            yield Engine(name, address)
    else:
        with ray_cluster() as cluster:
            yield Engine(name, cluster.address)


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
    with ExitStack() as running:
        scheduler = ["scheduler", "--port", "0", "--scheduler-file", str(contact)]
        running.enter_context(dask_process(folder, *scheduler))
        wait_for(lambda: contact.exists() and contact.read_text().endswith("}"))
        address = str(json.loads(contact.read_text())["address"])
        for _ in range(workers):
            running.enter_context(dask_worker(folder, address, *options))
        yield address


def dask_worker(folder: Path, address: str, *options: str) -> AbstractContextManager[None]:
    """Let a worker of one thread join a scheduler."""
    return dask_process(folder, "worker", address, "--nthreads", "1", *options)


@contextmanager
def dask_process(folder: Path, *words: str) -> Iterator[None]:
    """Run `dask WORDS` on the loopback until the context ends."""
    command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"]
    env = clean_environment({"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"})
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
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
