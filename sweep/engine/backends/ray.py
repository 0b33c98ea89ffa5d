"""Works in actors of Ray: in the cluster that an address names, or in one of our own.

An actor is a process with one work at a time, so a death has one culprit or none. Its work
is given to another, RETRIES times; a node that is lost costs its works one try each. Values
are fetched by calls, one after another, so they come in order and a slow driver holds them
back. All else an actor needs comes once: its code when it starts, large arrays once a node.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported

import ray  # noqa: E402
from ray.exceptions import RayError  # noqa: E402

from sweep.engine.backends.cluster import Cluster, Parcel  # noqa: E402
from sweep.engine.backends.remote import Batch, Origin, Running, ended  # noqa: E402
from sweep.engine.backends.seam import Done, WorkerDied  # noqa: E402

__all__ = ["Ray"]

RETRIES = 3


class Carrier:
    """The actor: carries out one work at a time; `stop` comes in beside the other calls."""

    def __init__(self, origin: Origin, linger: float) -> None:
        self._origin, self._linger = origin, linger
        self._stopping = threading.Event()

    def begin(self, body: bytes, *parts: bytes) -> Batch:
        """Begin a work and return its first values, or with a short one all that it told."""
        stopping = self._stopping.is_set
        self._running = Running(body, parts, self._origin, stopping, self._linger)
        return self._running.take()

    def more(self) -> Batch:
        """Return the next values of the work."""
        return self._running.take()

    def ready(self) -> Batch:
        """Return when the actor has started."""
        return ()

    def stop(self) -> None:
        """Ask this work and those to come to end soon."""
        self._stopping.set()


class Ray(Cluster):
    """A driver of one Ray cluster; each actor has one call under way, or is idle."""

    engine, start_command = "Ray cluster", "ray start --head"

    def _start(self, origin: Origin) -> None:
        self._calls: dict[Any, tuple[Any, Parcel | None]] = {}
        self._idle: list[Any] = []
        self._parts: dict[str, Any] = {}
        self._deaths: dict[int, int] = {}
        self._stillborn = 0
        with ExitStack() as held:
            held.enter_context(joined(self.address, self.workers or 1, self.resources, origin.path))
            self._origin = ray.put(origin)
            self._held = held.pop_all()
        amounts = dict(self.resources)
        self._needs: dict[str, Any] = {
            "num_cpus": amounts.pop("CPU", 1),
            "num_gpus": amounts.pop("GPU", 0),
            "resources": amounts,
        }
        self._asked_at, self._slots = 0.0, 0

    def _size(self) -> int:
        """Return for how many actors there is room, by what the nodes have in all."""
        if self._started and time.monotonic() - self._asked_at > 1:
            self._asked_at = time.monotonic()
            total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            needs = {"CPU": 1.0, **self.resources}
            self._slots = min(int(total.get(what, 0) // n) for what, n in needs.items() if n)
        return self._slots if self._started else 0

    @property
    def _actors(self) -> int:
        return len(self._calls) + len(self._idle)

    def _fill(self) -> None:
        while self._waiting and self._idle:
            actor, parcel = self._idle.pop(), self._waiting.popleft()
            for name, data in parcel.parts:
                self._parts[name] = self._parts.get(name) or ray.put(data)
            parts = [self._parts[name] for name, _ in parcel.parts]
            self._calls[actor.begin.remote(parcel.body, *parts)] = actor, parcel
        busy = sum(parcel is not None for _, parcel in self._calls.values())
        while self._actors < min(self.room, busy + len(self._waiting)):
            # Two threads: a call that fetches values, and beside it one that stops.
            carrier: Any = ray.remote(Carrier)
            made = carrier.options(max_concurrency=2, **self._needs)
            actor = made.remote(self._origin, self.linger)
            if self._stopping:
                actor.stop.remote()
            self._calls[actor.ready.remote()] = actor, None

    def _next(self, seconds: float) -> list[tuple[int, Batch | Done]]:
        found: list[tuple[int, Batch | Done]] = []
        if not self._calls:
            time.sleep(seconds)
            return found
        calls = list(self._calls)
        if ray.wait(calls, timeout=seconds)[0]:
            for call in ray.wait(calls, num_returns=len(calls), timeout=0)[0]:
                actor, parcel = self._calls.pop(call)
                try:
                    batch = ray.get(call)
                except RayError as error:
                    found += self._died(actor, parcel, error)
                    continue
                if parcel is None or ended(batch):
                    self._stillborn = 0
                    self._idle.append(actor)
                else:
                    self._calls[actor.more.remote()] = actor, parcel
                if parcel is not None:
                    found.append((parcel.key, batch))
        return found

    def _died(
        self, actor: Any, parcel: Parcel | None, error: RayError
    ) -> Iterator[tuple[int, Done]]:
        """Give the work of a dead actor to another, unless it has killed too many."""
        for one in (actor, *self._idle):  # the idle ones may have been on the same lost node
            with suppress(RayError):
                ray.kill(one)  # one that only seems dead must not go on with the work
        self._idle.clear()
        if parcel is None:
            self._stillborn += 1
            if self._stillborn > RETRIES:
                raise self._lost(f"starts no worker that lives ({told(error)})")
            return
        self._deaths[parcel.key] = deaths = self._deaths.get(parcel.key, 0) + 1
        if deaths <= RETRIES:
            self._waiting.appendleft(parcel)
        else:
            died = WorkerDied(
                f"Each of the {deaths} Ray workers that had this run died ({told(error)}); "
                "look for memory that runs out or native code that crashes."
            )
            yield parcel.key, Done(parcel.key, died)

    def stop(self) -> None:
        self._stopping = True
        if self._started:
            for actor in [actor for actor, _ in self._calls.values()] + self._idle:
                actor.stop.remote()

    def close(self) -> None:
        self._closed = self._stopping = True
        if self._started:
            for actor in [actor for actor, _ in self._calls.values()] + self._idle:
                with suppress(RayError):
                    ray.kill(actor)
            self._calls, self._idle = {}, []
            self._held.close()


@contextmanager
def joined(
    address: str | None, workers: int, resources: Mapping[str, float], path: Sequence[str]
) -> Iterator[None]:
    """Join a cluster, or start one of one node; leave it, or end it, afterwards."""
    folder = None if address else tempfile.mkdtemp(prefix="sweep-ray-")
    settings: dict[str, Any] = {"address": address or "local", "log_to_driver": False}
    if not address:
        amounts = {what: n * workers for what, n in resources.items()}
        settings |= {"num_cpus": amounts.pop("CPU", workers), "num_gpus": amounts.pop("GPU", 0)}
        settings |= {"resources": amounts, "include_dashboard": False, "_temp_dir": folder}
    before = signal.getsignal(signal.SIGTERM)
    try:
        with restored("PYTHONPATH", "PYTHONBREAKPOINT"):
            os.environ["PYTHONPATH"] = os.pathsep.join(path)  # what a cluster of our own inherits
            ray.init(logging_level=logging.ERROR, **settings)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray took it, but the command decides
    try:
        yield
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def restored(*names: str) -> Iterator[None]:
    """Put environment variables back afterwards, for this process and those it starts later."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def told(error: RayError) -> str:
    """Return what Ray says of an error, in one line."""
    return " ".join(str(error).split())[:300]
