"""The seam behind which every engine stands: submit, take events as they come, submit again.

A backend carries out works: picklable callables that train one trajectory each. It knows
nothing of what a work trains or of what becomes of the values that it emits.

    with create("threads") as backend:
        backend.submit(0, work)
        for event in backend.events():      # None: nothing happened for TICK seconds
            ...                             # submit more here, up to backend.capacity
"""

from __future__ import annotations

import os
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sweep.errors import RunFailed

__all__ = [
    "ONE_THREAD",
    "TICK",
    "Backend",
    "Done",
    "Emit",
    "Emitted",
    "Event",
    "Stop",
    "Work",
    "WorkError",
    "WorkerDied",
    "available_cpus",
    "carry_out",
    "limit_blas",
    "one_blas_thread",
]

TICK = 0.1
"""Seconds after which a waiting driver is woken with None, and a wish to stop is seen."""

ONE_THREAD = dict.fromkeys(
    (
        "BLIS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""What a BLAS that is loaded later reads; one that is loaded already is told by limit_blas."""

Emit = Callable[[Any], None]
Stop = Callable[[], bool]
Work = Callable[[Emit, Stop], None]
"""Calls emit(value) for each thing it has and ends soon once stop() is true."""


class WorkError(RunFailed):
    """A work, a value or an error could not travel to or from a worker process."""


class WorkerDied(RunFailed):
    """The worker process died while it carried out a work, and again with that work alone."""


@dataclass(frozen=True)
class Emitted:
    """A value that the work `key` emitted, in the order of its calls."""

    key: int
    value: Any


@dataclass(frozen=True)
class Done:
    """The end of the work `key`: no event of it follows.

    Attributes
    ----------
    error
        What it raised, without frames; None when it returned.
    traceback
        The formatted traceback of the error, if there is one.
    """

    key: int
    error: BaseException | None = None
    traceback: str | None = None


Event = Emitted | Done


class Backend(ABC):
    """Carries out works; a context manager whose end is the end of everything it started.

    Attributes
    ----------
    capacity
        How many works are worth having in flight. More may be submitted; they wait.
    has_own_size
        Whether `workers` may be None, because the engine has a size of its own.
    """

    capacity: int
    has_own_size = False

    @abstractmethod
    def submit(self, key: int, work: Work) -> None:
        """Take a work; `key` names it in its events and is used once. Never waits for it."""

    @abstractmethod
    def events(self) -> Iterator[Event | None]:
        """Yield events until every work is done, those submitted meanwhile included.

        None is yielded after each TICK without an event, so that the caller can act on
        signals. Works are held back when their events are not taken. Taken in one thread.
        """

    @abstractmethod
    def stop(self) -> None:
        """Ask every work, also those yet to start, to end soon: their stop() becomes true.

        They still emit and end with Done, so go on with events() to take what they have.
        """

    @abstractmethod
    def close(self) -> None:
        """End everything within about 2 s, whether works have ended or not; may be repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def carry_out(work: Work, emit: Emit, stop: Stop) -> tuple[BaseException | None, str | None]:
    """Call a work; return what it raised and the formatted traceback, or (None, None).

    SystemExit and KeyboardInterrupt are errors of the work like any other. The frames are
    cut from the error, for they would keep the whole training alive.
    """
    try:
        work(emit, stop)
    except BaseException as error:  # a work must never end the thread or worker it runs in
        text = traceback.format_exc()
        return error.with_traceback(None), text
    return None, None


def available_cpus() -> int:
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_blas() -> Any:
    """Hold each BLAS and OpenMP library that is loaded to one thread; return how to undo it.

    The sum that a matrix product makes depends on how many threads share it.
    """
    # Late: 30 ms that only a command that trains should pay.
    import threadpoolctl

    return threadpoolctl.threadpool_limits(1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread for a while: the libraries loaded now and those loaded meanwhile."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    limits = limit_blas()
    try:
        yield
    finally:
        limits.restore_original_limits()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
