"""Executors: where tasks run, chosen by name.

    serial       one thread, for debugging
    threads      the default; compiled kernels release the GIL
    processes    for code that is not thread-safe; survives the death of a worker
    dask, ray    workers on other machines, or a cluster started for this command

An executor has named slots, each a worker that runs one task at a time. A batch stays in its slot
from slice to slice: its trainers are built once, and the loss of a worker affects one batch only.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from sweep.errors import ConfigError

if TYPE_CHECKING:
    from sweep.training.task import Reply, Task

__all__ = ["EXECUTORS", "Executor", "WorkerLost", "available_cpus", "check", "create"]

SECONDS_TO_CLOSE = 1.0
"""Seconds for a user's trainer to end its slice and run its `finally` blocks."""

EXECUTORS = ("serial", "threads", "processes", "dask", "ray")


class WorkerLost(Exception):
    """A worker died while it ran a task; the message is the cause, if known."""


class Executor(AbstractContextManager["Executor"], ABC):
    """Run tasks; a context manager that calls `close`. Created by `create`."""

    options: ClassVar[tuple[str, ...]] = ()  # keyword arguments that the configuration may set
    slice_seconds: ClassVar[float]  # long enough to make the overhead of a task negligible
    thread_safe = True

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cpus()

    def slots(self, wanted: int) -> Sequence[str]:
        """Return the names of the current workers; no more than about `wanted` are started."""
        return [f"worker {number}" for number in range(1, self.workers + 1)]

    def room(self) -> int:
        """Return how many tasks can run at once, if known."""
        return self.workers

    @abstractmethod
    def submit(self, slot: str, task: Task) -> Future[Any]:
        """Run `Worker.advance(task)` in an idle slot; return at once."""

    def result(self, slot: str, future: Future[Any]) -> Reply:
        """Return the result of a future that is done.

        Raises WorkerLost if the worker died; its slot is then gone, or has a new worker.
        """
        reply: Reply = future.result()
        return reply

    @abstractmethod
    def close(self) -> None:
        """End workers and running tasks within 2 s; may be called again."""

    def __exit__(self, *_: object) -> None:
        self.close()


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check(name: Any, workers: Any = None) -> None:
    """Raise ConfigError for an unknown executor or an invalid number of workers.

    No executor is imported.
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
    """Import and return the executor `name`; its workers start later.

    `workers` is the number of simultaneous tasks; None: one for each available CPU, or all that a
    cluster has room for. `serial` always has one. `options` are keyword arguments of the executor.
    If tasks are not `thread_safe`, `threads` becomes `processes`. Raises ConfigError as `check`
    does, and for an unknown option or a library that is not installed.
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
