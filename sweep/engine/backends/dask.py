"""Works as tasks of Dask: at the scheduler that an address names, or on workers of our own.

Dask computes the tasks of a dead worker again elsewhere, and gives up one that was there
when several died. It may be innocent, for all that a worker held is blamed: it runs once
more, alone, when everything else is done, and if it kills again it ends as WorkerDied.

A task's values come through a queue in the scheduler, its last ones as its result. The
queue is looked at in each TICK and emptied before a result is handed on, so the order holds.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import math
import os
import queue
import signal
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import distributed
from distributed.scheduler import KilledWorker

from sweep.engine.backends.cluster import Cluster, Parcel
from sweep.engine.backends.remote import Batch, Origin, Running, ended
from sweep.engine.backends.seam import TICK, Done, WorkerDied, WorkError
from sweep.engine.backends.worker import Trackers

__all__ = ["Dask"]

dask: Any = distributed
"""The library, whose functions have no types."""

HELD = 4
"""Batches in the queue from which on the workers wait."""

CANCELLED = asyncio.CancelledError, concurrent.futures.CancelledError
"""What a future raises that was cancelled; Dask's own errors are of the second kind."""

STOPPED: set[str] = set()
"""In a worker: the commands that asked their works to end."""


class Dask(Cluster):
    """A client of one scheduler; what waits for it runs on the client's loop, never here."""

    engine, start_command = "Dask scheduler", "dask scheduler"

    def _start(self, origin: Origin) -> None:
        self._origin, self._name = origin, f"sweep-{uuid.uuid4().hex}"
        self._news: queue.SimpleQueue[tuple[int, Batch | BaseException]] = queue.SimpleQueue()
        self._flying: dict[int, tuple[Parcel, Any]] = {}
        self._parts: dict[str, Any] = {}
        self._suspects: list[Parcel] = []
        self._accused: set[int] = set()
        self._looked_at = self._counted_at = 0.0
        self._drained = asyncio.Lock()
        with ExitStack() as held:
            scheduler = self.address or held.enter_context(own(self.room, self.resources))
            self._client = dask.Client(scheduler, timeout=5, set_as_default=False)
            held.callback(self._client.close, 1)
            if not self.address:
                self._client.register_plugin(Deaf())
            self._queue = dask.Queue(self._name, self._client)
            held.callback(self._queue.close)
            info = self._client.sync(self._client.scheduler.identity, n_workers=-1)
            self._threads = self._suitable(info)
            self._held = held.pop_all()

    def _size(self) -> int:
        return self._threads if self._started else 0

    def _fill(self) -> None:
        if self._accused & self._flying.keys():
            return  # one that may have killed its workers runs alone
        limit = self.workers if self.address and self.workers else math.inf
        while self._waiting and len(self._flying) < limit:
            self._begin(self._waiting.popleft())
        if self._suspects and not self._flying:
            self._begin(self._suspects.pop())

    def _begin(self, parcel: Parcel) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            for name, data in parcel.parts:
                # A task and not scattered data, which would be lost with the worker that has it.
                if name not in self._parts:
                    self._parts[name] = self._client.submit(bytes, data, key=f"{self._name}-{name}")
            future = self._client.submit(
                carry,
                self._name,
                parcel.key,
                (parcel.body, self._origin, self.linger, self._stopping),
                *(self._parts[name] for name, _ in parcel.parts),
                key=f"sweep-{uuid.uuid4().hex}",
                resources=self.resources or None,
            )
        self._flying[parcel.key] = parcel, future
        self._client.loop.add_callback(self._deliver, parcel.key, future)

    async def _deliver(self, key: int, future: Any) -> None:
        news: Batch | BaseException
        try:
            sent, news = await self._client.gather(future, asynchronous=True)
            if sent:
                await self._drain()
        except (Exception, asyncio.CancelledError) as error:
            news = error
        self._news.put((key, news))

    async def _drain(self) -> None:
        async with self._drained:
            for key, batch in await self._queue.get(batch=True, asynchronous=True):
                self._news.put((key, tuple(map(tuple, batch))))

    async def _look(self) -> None:
        """Take what is in the queue; now and then count the workers, and remind them to stop."""
        with suppress(OSError, KeyError):  # a connection that broke, or the queue is closed
            if not self._drained.locked():
                await self._drain()
            if time.monotonic() - self._counted_at > 1:
                self._counted_at = time.monotonic()
                self._threads = self._suitable(await self._client.scheduler.identity(n_workers=-1))
                if self._stopping:  # workers that came meanwhile included
                    await self._client.run(
                        note_stop, self._name, asynchronous=True, on_error="ignore"
                    )

    def _suitable(self, info: Mapping[str, Any]) -> int:
        return sum(
            worker["nthreads"]
            for worker in info["workers"].values()
            if all(worker["resources"].get(what, 0) >= n for what, n in self.resources.items())
        )

    def _next(self, seconds: float) -> list[tuple[int, Batch | Done]]:
        if self._client.status != "running":
            raise self._lost("does not answer any more")
        if time.monotonic() - self._looked_at >= TICK:
            self._looked_at = time.monotonic()
            self._client.loop.add_callback(self._look)
        found: list[tuple[int, Batch | Done]] = []
        with suppress(queue.Empty):
            key, news = self._news.get(timeout=seconds)
            if key not in self._flying:
                return found  # of an attempt that was given up
            if isinstance(news, BaseException):
                found += self._failed(key, news)
            else:
                found.append((key, news))
                if ended(news):
                    del self._flying[key]
        return found

    def _failed(self, key: int, error: BaseException) -> Iterator[tuple[int, Done]]:
        if isinstance(error, CANCELLED):  # nothing here cancels: the scheduler is gone
            raise self._lost("does not answer any more")
        parcel, _ = self._flying.pop(key)
        if key not in self._accused:
            self._accused.add(key)
            self._suspects.append(parcel)
        elif isinstance(error, KilledWorker):
            told = WorkerDied(
                "The Dask workers that had this run died, the last ones with it alone; "
                "look for memory that runs out or native code that crashes."
            )
            yield key, Done(key, told)
        else:
            refused = WorkError(
                f"No Dask worker can carry out the run ({type(error).__name__}: {error}); "
                "install there what is installed here."
            )
            yield key, Done(key, refused)

    def stop(self) -> None:
        self._stopping = True
        self._looked_at = self._counted_at = 0.0

    def close(self) -> None:
        self._closed = self._stopping = True
        if self._started:
            self._held.close()


@contextmanager
def own(workers: int, resources: Mapping[str, float]) -> Iterator[Any]:
    """Start a scheduler on the loopback with one process a worker; kill them at the end."""
    trackers = Trackers()
    # It tells of connections that broke, with a traceback, when the workers are killed at the end.
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
            scheduler_kwargs={"allowed_failures": 1},
        )
        try:
            yield cluster
        finally:
            for nanny in cluster.workers.values():  # a work that never ends would hold up the rest
                nanny.auto_restart = False
                with suppress(ProcessLookupError, TypeError):
                    os.kill(nanny.pid, signal.SIGKILL)
            cluster.close(timeout=2)
            trackers.stop()


class Deaf(dask.WorkerPlugin):  # type: ignore[misc]
    """Makes a worker of our own ignore what a terminal tells all: the driver alone decides."""

    def setup(self, worker: Any) -> None:
        """Run in the main thread of each worker that starts, also after a death."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def note_stop(name: str) -> None:
    """In a worker: remember that a command asked its works to end."""
    STOPPED.add(name)


def carry(name: str, key: int, work: tuple[bytes, Origin, float, bool], *parts: bytes) -> Any:
    """Carry out a work in a Dask worker; return how many batches were sent, and the last one."""
    body, origin, linger, stopping = work
    worker, client = dask.get_worker(), dask.get_client()
    task = worker.get_current_task()
    running = Running(body, parts, origin, lambda: stopping or name in STOPPED, linger)
    sent = 0

    def wanted() -> bool:
        """Tell whether somebody waits for the task: a driver that is gone does not."""
        state = worker.state.tasks.get(task)
        return state is not None and state.state == "executing"

    try:
        while not ended(batch := running.take()) and wanted():
            if batch:
                while client.sync(client.scheduler.queue_qsize, name=name) > HELD:
                    if not wanted():  # nobody will ever empty the queue
                        return sent, batch
                    time.sleep(TICK)
                client.sync(client.scheduler.queue_put, name=name, data=(key, batch))
                sent += 1
        return sent, batch
    finally:
        running.close()
