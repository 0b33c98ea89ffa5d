"""Tasks in actors of Ray: in the cluster that an address names, or in one of our own.

A slot is an actor: a process that runs one task at a time. It counts once its first call has
answered, for an actor exists before it has its resources.
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
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported

import ray  # noqa: E402
from ray.exceptions import RayError  # noqa: E402

from sweep.engine.executors.base import WorkerLost  # noqa: E402
from sweep.engine.executors.cluster import Cluster, RemoteWorker  # noqa: E402
from sweep.engine.executors.origin import Origin  # noqa: E402
from sweep.training.task import Task  # noqa: E402

if TYPE_CHECKING:
    from sweep.engine.executors.base import Reply

__all__ = ["Ray"]

STILLBORN = 3
"""So many actors in a row may die before they have answered once."""


class Actor(RemoteWorker):
    """What runs in the cluster."""

    def ready(self) -> None:
        """Answer: the actor has its resources."""


class Ray(Cluster):
    """A driver of one Ray cluster."""

    engine, start_command = "Ray cluster", "ray start --head"

    def _start(self, origin: Origin) -> None:
        self._actors: dict[str, Any] = {}
        self._starting: dict[Any, tuple[str, Any]] = {}
        self._made = self._stillborn = 0
        self._asked_at, self._room = 0.0, 0
        self._held.enter_context(
            joined(self.address, self.workers or 1, self.resources, origin.path)
        )
        self._held.callback(self._kill_all)
        self._origin = ray.put(origin)
        amounts = dict(self.resources)
        self._needs: dict[str, Any] = {
            "num_cpus": amounts.pop("CPU", 1),
            "num_gpus": amounts.pop("GPU", 0),
            "resources": amounts,
        }

    def _slots(self, wanted: int) -> Sequence[str]:
        if time.monotonic() - self._asked_at > 1:
            self._asked_at = time.monotonic()
            total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            needs = {"CPU": 1.0, **self.resources}
            room = min(int(total.get(what, 0) // n) for what, n in needs.items() if n)
            self._room = min(room, self.workers or room)
        while len(self._actors) + len(self._starting) < min(self._room, wanted):
            self._made += 1
            made: Any = ray.remote(Actor)
            actor = made.options(**self._needs).remote(self._origin)
            self._starting[actor.ready.remote()] = f"actor {self._made}", actor
        calls = list(self._starting)
        for call in ray.wait(calls, num_returns=len(calls), timeout=0)[0] if calls else ():
            name, actor = self._starting.pop(call)
            try:
                ray.get(call)
            except RayError as error:
                self._stillborn += 1
                if self._stillborn > STILLBORN:
                    raise self._lost(f"starts no worker that lives ({_line(error)})") from error
                continue
            self._stillborn = 0
            self._actors[name] = actor
        return list(self._actors)

    def room(self) -> int:
        self.slots(0)
        return max(1, self._room)

    def submit(self, slot: str, task: Task) -> Future[Any]:
        future: Future[Any] = self._actors[slot].advance.remote(task).future()
        return future

    def result(self, slot: str, future: Future[Any]) -> Reply:
        try:
            return super().result(slot, future)
        except RayError as error:
            with suppress(RayError):
                ray.kill(self._actors.pop(slot))  # one that only seems dead must not go on
            raise WorkerLost(_line(error)) from error

    def _kill_all(self) -> None:
        for actor in [*self._actors.values(), *(actor for _, actor in self._starting.values())]:
            with suppress(RayError):
                ray.kill(actor)


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
        with _restored("PYTHONPATH", "PYTHONBREAKPOINT"):
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
def _restored(*names: str) -> Iterator[None]:
    """Put environment variables back afterwards, for this process and those it starts later."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _line(error: RayError) -> str:
    """Return what Ray says of an error, in one line."""
    return " ".join(str(error).split())[:300]
