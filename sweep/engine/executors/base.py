"""The interface of all executors: named slots, each a worker that runs one task at a time.

A batch stays in its slot from slice to slice, so that its trainers are built once, and a lost
worker has one culprit.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sweep.training.task import Failure, SliceResult, Task

    Reply = SliceResult | Failure | None

__all__ = ["SECONDS_TO_CLOSE", "Executor", "WorkerLost", "available_cpus"]

SECONDS_TO_CLOSE = 1.0
"""What a trainer of a user's own has to end its slice, and for its `finally` blocks."""


class WorkerLost(Exception):
    """A worker died while it ran a task; the message says how, as far as that is known."""


class Executor(ABC):
    """Runs tasks; a context manager whose end is the end of everything that it started.

    Attributes
    ----------
    options
        The keyword arguments that the configuration may set.
    slice_seconds
        A length of slices that hides what a task costs.
    """

    options: tuple[str, ...] = ()
    slice_seconds: float

    @abstractmethod
    def slots(self, wanted: int) -> Sequence[str]:
        """Return the names of the workers that are there, at most about as many as `wanted`.

        Called again and again: workers may join or leave.
        """

    def room(self) -> int:
        """Return how many tasks can run at once, as far as is known."""
        return max(1, len(self.slots(0)))

    @abstractmethod
    def submit(self, slot: str, task: Task) -> Future[Any]:
        """Run `Worker.advance(task)` in a slot that runs nothing else now; never wait for it."""

    def result(self, slot: str, future: Future[Any]) -> Reply:
        """Return what a future that is done gave.

        Raises
        ------
        WorkerLost
            The worker died; its slot is gone, or has another worker.
        """
        reply: Reply = future.result()
        return reply

    @abstractmethod
    def close(self) -> None:
        """End everything within 2 s, whether tasks have ended or not; may be repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def available_cpus() -> int:
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
