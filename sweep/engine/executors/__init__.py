"""Executors: where tasks run, chosen by name.

    serial       one thread of the command, for debugging
    threads      the default; compiled kernels run without the interpreter's lock
    processes    for code that is not thread-safe; survives the death of a worker
    dask, ray    workers on other machines, or a cluster started for this command

An executor has named slots, each a worker that runs one task at a time. A batch stays in its slot
from slice to slice, so that its trainers are built once and a lost worker lost exactly one batch.
Each executor is imported when it is created, as it loads a library of its own.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sweep.errors import ConfigError

if TYPE_CHECKING:
    from sweep.training.surroundings import Failure
    from sweep.training.task import SliceResult, Task

    Reply = SliceResult | Failure | None

__all__ = ["EXECUTORS", "Executor", "WorkerLost", "available_cpus", "check", "create"]

SECONDS_TO_CLOSE = 1.0
"""What a trainer of a user's own has to end its slice, and for its `finally` blocks."""

EXECUTORS = ("serial", "threads", "processes", "dask", "ray")


class WorkerLost(Exception):
    """A worker died while it ran a task; the message says how, as far as that is known."""


class Executor(ABC):
    """Runs tasks; a context manager that ends everything it started. See `create`."""

    options: ClassVar[tuple[str, ...]] = ()  # keyword arguments that the configuration may set
    slice_seconds: ClassVar[float]  # a slice length that hides the cost of a task
    thread_safe = True

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cpus()

    def slots(self, wanted: int) -> Sequence[str]:
        """Return the names of the workers that exist now, about as many as `wanted` at most."""
        return [f"worker {number}" for number in range(1, self.workers + 1)]

    def room(self) -> int:
        """Return how many tasks can run at once, as far as is known."""
        return self.workers

    @abstractmethod
    def submit(self, slot: str, task: Task) -> Future[Any]:
        """Run `Worker.advance(task)` in an idle slot; return at once."""

    def result(self, slot: str, future: Future[Any]) -> Reply:
        """Return the result of a future that is done.

        Raises
        ------
        WorkerLost
            The worker died; its slot is gone, or has another worker.
        """
        reply: Reply = future.result()
        return reply

    @abstractmethod
    def close(self) -> None:
        """End everything within 2 s, running tasks too; may be repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def available_cpus() -> int:
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check(name: Any, workers: Any = None) -> None:
    """Check an executor's name and number of workers, without importing an executor.

    Raises
    ------
    ConfigError
        No such executor, or a number of workers below 1.
    """
    if name not in EXECUTORS:
        raise ConfigError(
            f"hydra.launcher.backend={name} is no backend; choose one of {', '.join(EXECUTORS)}."
        )
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ConfigError(
            f"hydra.launcher.workers={workers} must be a whole number of at least 1, "
            "or null for one for each CPU."
        )


def create(
    name: str,
    workers: int | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    thread_safe: bool = True,
) -> Executor:
    """Return the executor `name`; nothing is started before its first task.

    Parameters
    ----------
    workers
        How many tasks run at once; None for one for each available CPU, or as many as a cluster
        has room for. `serial` always has one.
    options
        The executor's own settings.
    thread_safe
        Whether several tasks may run in the threads of one process; if not, `threads` becomes
        `processes`.

    Raises
    ------
    ConfigError
        See `check`; also an unknown option, or a library that is not installed.
    """
    check(name, workers)
    module = {"serial": "threads", "threads": "threads" if thread_safe else "processes"}.get(name)
    module = module or name
    given = dict(options or {})
    try:
        executor = getattr(import_module(f"{__name__}.{module}"), module.capitalize())
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"hydra.launcher.backend={name} needs {error.name}, which is not installed; "
            f"run pip install 'sweep[{name}]'."
        ) from error
    for unknown in sorted(given.keys() - set(executor.options)):
        known = f"it has {', '.join(executor.options)}" if executor.options else "leave it out"
        raise ConfigError(
            f"hydra.launcher.options.{unknown}: the backend {name} has no such option; {known}."
        )
    created: Executor = executor(1 if name == "serial" else workers, **given)
    created.thread_safe = thread_safe
    return created
