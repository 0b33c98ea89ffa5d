"""The Ray executor: a cluster at an address, or one started for this command.

A slot is an actor: a process that runs one task at a time. It is used after its first call has
returned, as an actor exists before it gets its resources.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported

import ray  # noqa: E402
from ray.exceptions import RayError  # noqa: E402

from sweep.engine.executors import WorkerLost  # noqa: E402
from sweep.engine.executors.cluster import Cluster  # noqa: E402
from sweep.engine.executors.worker import Worker  # noqa: E402

if TYPE_CHECKING:
    from sweep.training.task import Reply

MOST_FAILED_STARTS = 3
"""Actors in a row that may die before their first call returns."""


class Ray(Cluster):
    """A driver of one Ray cluster, with one actor for each slot."""

    engine, start_command = "Ray cluster", "ray start --head"

    def _start(self) -> None:
        self._actors: dict[str, Any] = {}
        self._starting: dict[Any, tuple[str, Any]] = {}  # first call -> name and actor
        self._created = self._failed_starts = 0
        self._room_at = 0.0
        self._join()
        self._resources.callback(self._kill_actors)
        self._origin = ray.put(self._origin)
        amounts = dict(self.resources)
        self._actor: Any = ray.remote(Worker).options(
            num_cpus=amounts.pop("CPU", 1), num_gpus=amounts.pop("GPU", 0), resources=amounts
        )

    def _join(self) -> None:
        settings: dict[str, Any] = {"address": self.address, "log_to_driver": False}
        if not self.address:
            workers = self.limit or 1
            folder = tempfile.TemporaryDirectory(prefix="sweep-ray-", ignore_cleanup_errors=True)
            amounts = {what: n * workers for what, n in self.resources.items()}
            settings |= {"address": "local", "include_dashboard": False}
            settings |= {"_temp_dir": self._resources.enter_context(folder)}
            settings |= {"num_cpus": amounts.pop("CPU", workers)}
            settings |= {"num_gpus": amounts.pop("GPU", 0), "resources": amounts}
        self._resources.callback(ray.shutdown)
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(logging_level=logging.ERROR, **settings)
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray replaces it

    def _slots(self, wanted: int) -> Sequence[str]:
        if time.monotonic() - self._room_at > 1:
            self._room_at = time.monotonic()
            total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            needs = {"CPU": 1.0, **self.resources}
            room = min(int(total.get(what, 0) // n) for what, n in needs.items() if n)
            self._room = min(room, self.limit or room)
        while len(self._actors) + len(self._starting) < min(self._room, wanted):
            self._created += 1
            actor = self._actor.remote()
            self._starting[actor.__ray_ready__.remote()] = f"actor {self._created}", actor
        calls = list(self._starting)
        for call in ray.wait(calls, num_returns=len(calls), timeout=0)[0] if calls else ():
            name, actor = self._starting.pop(call)
            try:
                ray.get(call)
            except RayError as error:
                self._failed_starts += 1
                if self._failed_starts > MOST_FAILED_STARTS:
                    raise self._lost(f"starts no worker that lives ({_line(error)})") from error
                continue
            self._failed_starts = 0
            self._actors[name] = actor
        return list(self._actors)

    def _call(self, slot: str, method: str, *arguments: Any) -> Future[Any]:
        future: Future[Any] = getattr(self._actors[slot], method).remote(*arguments).future()
        return future

    def result(self, slot: str, future: Future[Any]) -> Reply:
        try:
            return super().result(slot, future)
        except RayError as error:
            self._to_close.discard(slot)
            with suppress(RayError):
                ray.kill(self._actors.pop(slot))  # it may still be running
            raise WorkerLost(_line(error)) from error

    def _kill_actors(self) -> None:
        for actor in [*self._actors.values(), *(actor for _, actor in self._starting.values())]:
            with suppress(RayError):
                ray.kill(actor)


def _line(error: RayError) -> str:
    return " ".join(str(error).split())[:300]
