"""Executors: where tasks run, chosen by name.

    serial       one thread of the command itself, to debug
    threads      the default; the compiled kernel runs without the interpreter's lock
    processes    for code that is not safe in threads; survives the death of a worker
    dask, ray    on other machines: an engine that runs there, named by its address

Each is imported when it is created, for each brings a library of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from sweep.engine.executors.base import Executor, WorkerLost, available_cpus
from sweep.errors import ConfigError

__all__ = ["EXECUTORS", "Executor", "WorkerLost", "available_cpus", "check", "create"]

EXECUTORS: Mapping[str, tuple[str, str]] = {
    "serial": ("sweep.engine.executors.threads", "Serial"),
    "threads": ("sweep.engine.executors.threads", "Threads"),
    "processes": ("sweep.engine.executors.processes", "Processes"),
    "dask": ("sweep.engine.executors.dask", "Dask"),
    "ray": ("sweep.engine.executors.ray", "Ray"),
}
"""Name -> module and class."""


def check(name: Any, workers: Any = None) -> None:
    """Refuse what `create` would refuse of any executor, without importing one.

    Raises
    ------
    ConfigError
        No such executor, or a number of workers below 1.
    """
    if name not in EXECUTORS:
        raise ConfigError(
            f"hydra.launcher.backend={name} is no backend; choose one of {', '.join(EXECUTORS)}."
        )
    if workers is not None and (
        isinstance(workers, bool) or not isinstance(workers, int) or workers < 1
    ):
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
        How many tasks run at once; None is one for each available CPU, or as many as a
        cluster has room for. `serial` always has one.
    options
        The executor's own settings, as keyword arguments.
    thread_safe
        Whether several tasks may run in the threads of one process; else threads give way to
        processes.

    Raises
    ------
    ConfigError
        No such executor, a number of workers below 1, an option that it does not have, or a
        library that is not installed.
    """
    check(name, workers)
    module, cls = EXECUTORS["processes" if name == "threads" and not thread_safe else name]
    try:
        executor = getattr(import_module(module), cls)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"hydra.launcher.backend={name} needs {error.name}, which is not installed; "
            f"run pip install 'sweep[{name}]'."
        ) from error
    unknown = sorted(set(options or {}) - set(executor.options))
    if unknown:
        raise ConfigError(
            f"hydra.launcher.options.{unknown[0]}: the backend {name} has no such option; "
            f"{'it has ' + ', '.join(executor.options) if executor.options else 'leave it out'}."
        )
    return cast(Executor, executor(workers, thread_safe=thread_safe, **dict(options or {})))
