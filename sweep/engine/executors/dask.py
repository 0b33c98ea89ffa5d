"""The Dask executor: a scheduler at an address, or workers started for this command.

A slot is one thread of a worker, and its tasks are pinned to that worker. A pinned task stays
pending after the death of its worker, so the scheduler's workers are listed once a second.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import distributed
from distributed.scheduler import KilledWorker

from sweep.engine.executors import WorkerLost
from sweep.engine.executors.cluster import Cluster
from sweep.engine.executors.worker import call_here

if TYPE_CHECKING:
    from sweep.training.task import Reply

dask: Any = distributed  # it has no type annotations


class Dask(Cluster):
    """A client of one scheduler."""

    engine, start_command = "Dask scheduler", "dask scheduler"

    def _start(self) -> None:
        self._running: dict[Future[Any], str] = {}  # -> the worker's address
        self._threads: dict[str, int] = {}  # worker's address -> number of slots
        self._listed_at = -1.0
        scheduler = self.address or self._resources.enter_context(
            local_cluster(self.limit or 1, self.resources)
        )
        self._client = dask.Client(scheduler, timeout=5, set_as_default=False)
        self._resources.callback(self._client.close, 1)
        if not self.address:
            self._client.register_plugin(IgnoreSignals())
        self._client.sync(self._list_workers)

    def _slots(self, wanted: int) -> Sequence[str]:
        if self._client.status != "running":
            raise self._lost("does not answer any more")
        if time.monotonic() - self._listed_at > 1:
            self._listed_at = time.monotonic()
            self._client.loop.add_callback(self._list_workers)
        for future, address in list(self._running.items()):
            if address not in self._threads:
                future.cancel()
        threads = self._threads.items()
        names = [f"{address} {number}" for address, count in threads for number in range(count)]
        names = names[: self.limit]
        self._room = len(names)
        return names

    async def _list_workers(self) -> None:
        with suppress(OSError):  # connection lost: `_slots` checks the client's status
            found = await self._client.scheduler.identity(n_workers=-1)
            self._threads = {a: self._tasks_of(worker) for a, worker in found["workers"].items()}

    def _tasks_of(self, worker: Mapping[str, Any]) -> int:
        has = worker["resources"]
        amounts = [int(has.get(what, 0) // n) for what, n in self.resources.items() if n]
        return min([int(worker["nthreads"]) if self.thread_safe else 1, *amounts])

    def _call(self, slot: str, method: str, *arguments: Any) -> Future[Any]:
        address = slot.partition(" ")[0]
        executor = self._client.get_executor(
            workers=[address], pure=False, resources=self.resources or None
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            name = f"{self._origin.command} {slot}"
            future: Future[Any] = executor.submit(call_here, name, method, *arguments)
        self._running[future] = address
        return future

    def close(self) -> None:
        if self._to_close and self._client.status != "running":
            self._to_close.clear()  # no call would arrive
        super().close()

    def result(self, slot: str, future: Future[Any]) -> Reply:
        address = self._running.pop(future)
        try:
            return super().result(slot, future)
        except (CancelledError, KilledWorker) as error:
            if self._client.status != "running":
                raise self._lost("does not answer any more") from error
            self._threads.pop(address, None)
            self._to_close.discard(slot)
            raise WorkerLost("a Dask worker") from error


@contextmanager
def local_cluster(workers: int, resources: Mapping[str, float]) -> Iterator[Any]:
    """Start a scheduler and single-threaded worker processes on 127.0.0.1; kill them at exit."""
    # Suppress a traceback for each connection that breaks when the workers are killed.
    logging.getLogger("distributed.batched").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="sweep-dask-") as folder:
        cluster = dask.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            local_directory=folder,
            resources=dict(resources) or None,
            scheduler_kwargs={"allowed_failures": 0},
        )
        try:
            yield cluster
        finally:
            for nanny in cluster.workers.values():  # close waits for running tasks
                nanny.auto_restart = False
                with suppress(ProcessLookupError, TypeError):
                    os.kill(nanny.pid, signal.SIGKILL)
            cluster.close(timeout=2)


class IgnoreSignals(dask.WorkerPlugin):  # type: ignore[misc]
    """Make workers ignore SIGHUP, SIGINT and SIGTERM; `local_cluster` kills them."""

    def setup(self, worker: Any) -> None:
        """Called by Dask in the main thread of each worker, also of restarted ones."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
