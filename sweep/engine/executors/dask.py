"""Tasks on Dask: at the scheduler that an address names, or on workers of our own.

A slot is one thread of one worker, and its tasks are pinned to that worker. A pinned task whose
worker died would wait for ever, so the scheduler's workers are looked at once a second.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
import time
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import distributed
from distributed.scheduler import KilledWorker

from sweep.engine.executors.base import WorkerLost
from sweep.engine.executors.cluster import Cluster, RemoteWorker
from sweep.engine.executors.origin import Origin
from sweep.training.task import Task

if TYPE_CHECKING:
    from sweep.engine.executors.base import Reply

__all__ = ["Dask"]

dask: Any = distributed
"""The library, whose functions have no types."""

WORKERS: OrderedDict[str, RemoteWorker] = OrderedDict()
MOST_WORKERS = 16
LOCK = threading.Lock()
"""In a Dask worker: what was trained last in each slot, of the commands that used it last."""


class Dask(Cluster):
    """A client of one scheduler."""

    engine, start_command = "Dask scheduler", "dask scheduler"

    def _start(self, origin: Origin) -> None:
        self._origin, self._command = origin, uuid.uuid4().hex
        self._running: dict[Future[Any], str] = {}
        self._threads: dict[str, int] = {}
        self._looked_at = -1.0
        with ExitStack() as held:
            scheduler = self.address or held.enter_context(own(self.workers or 1, self.resources))
            self._client = dask.Client(scheduler, timeout=5, set_as_default=False)
            held.callback(self._client.close, 1)
            if not self.address:
                self._client.register_plugin(IgnoreSignals())
            self._client.sync(self._look)
            self._held = held.pop_all()

    def _slots(self, wanted: int) -> Sequence[str]:
        if self._client.status != "running":
            raise self._lost("does not answer any more")
        if time.monotonic() - self._looked_at > 1:
            self._looked_at = time.monotonic()
            self._client.loop.add_callback(self._look)
        for future, address in list(self._running.items()):
            if address not in self._threads:
                future.cancel()
        threads = self._threads.items()
        names = [f"{address} {number}" for address, count in threads for number in range(count)]
        return names[: self.workers]

    async def _look(self) -> None:
        """Take which workers the scheduler has, and for how many tasks each has room."""
        with suppress(OSError):  # a connection that broke: the client's status says so
            found = await self._client.scheduler.identity(n_workers=-1)
            self._threads = {a: self._room(worker) for a, worker in found["workers"].items()}

    def _room(self, worker: Mapping[str, Any]) -> int:
        has = worker["resources"]
        amounts = [int(has.get(what, 0) // n) for what, n in self.resources.items() if n]
        return min([int(worker["nthreads"]) if self.thread_safe else 1, *amounts])

    def submit(self, slot: str, task: Task) -> Future[Any]:
        address = slot.partition(" ")[0]
        executor = self._client.get_executor(
            workers=[address], pure=False, resources=self.resources or None
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            future: Future[Any] = executor.submit(
                advance_here, f"{self._command} {slot}", self._origin, task
            )
        self._running[future] = address
        return future

    def result(self, slot: str, future: Future[Any]) -> Reply:
        address = self._running.pop(future)
        try:
            return super().result(slot, future)
        except (CancelledError, KilledWorker) as error:
            if self._client.status != "running":
                raise self._lost("does not answer any more") from error
            self._threads.pop(address, None)
            raise WorkerLost("a Dask worker") from error


@contextmanager
def own(workers: int, resources: Mapping[str, float]) -> Iterator[Any]:
    """Start a scheduler on the loopback with one process a worker; kill them at the end."""
    # It logs connections that broke, with a traceback, when the workers are killed at the end.
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
            for nanny in cluster.workers.values():  # a task that never ends would hold up the rest
                nanny.auto_restart = False
                with suppress(ProcessLookupError, TypeError):
                    os.kill(nanny.pid, signal.SIGKILL)
            cluster.close(timeout=2)


class IgnoreSignals(dask.WorkerPlugin):  # type: ignore[misc]
    """Lets a worker of our own ignore what a terminal sends to all: the command decides."""

    def setup(self, worker: Any) -> None:
        """Run in the main thread of each worker that starts, also after a death."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def advance_here(slot: str, origin: Origin, task: Task) -> Reply:
    """Advance a task in this Dask worker."""
    with LOCK:
        worker = WORKERS.get(slot) or RemoteWorker(origin)
        WORKERS[slot] = worker
        WORKERS.move_to_end(slot)
        while len(WORKERS) > MOST_WORKERS:
            WORKERS.popitem(last=False)
    return worker.advance(task)
