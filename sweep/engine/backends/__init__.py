"""Engines behind one seam, chosen by name.

    serial       one work at a time, in the order of submission
    threads      the default; the compiled kernel runs without the interpreter's lock
    processes    for code that is not safe in threads; survives the death of a worker

Each is imported when it is created, for each brings a library of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from sweep.engine.backends.seam import (
    Backend,
    Done,
    Emit,
    Emitted,
    Event,
    Stop,
    Work,
    WorkerDied,
    WorkError,
    available_cpus,
)
from sweep.errors import ConfigError

__all__ = [
    "BACKENDS",
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
    "create",
]

BACKENDS: Mapping[str, tuple[str, str]] = {
    "serial": ("sweep.engine.backends.serial", "Serial"),
    "threads": ("sweep.engine.backends.threads", "Threads"),
    "processes": ("sweep.engine.backends.processes", "Processes"),
}
"""Name -> module and class."""


def create(
    name: str, workers: int | None = None, options: Mapping[str, Any] | None = None
) -> Backend:
    """Return the backend `name`; nothing is started before its first work.

    Parameters
    ----------
    workers
        How many works run at once; None is one for each available CPU. `serial` always
        has one.
    options
        The backend's own settings, as keyword arguments.

    Raises
    ------
    ConfigError
        No such backend, a number of workers below 1, or an option that it does not have.
    """
    if name not in BACKENDS:
        raise ConfigError(
            f"hydra.launcher.backend={name} is no backend; choose one of {', '.join(BACKENDS)}."
        )
    if workers is None:
        workers = available_cpus()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ConfigError(
            f"hydra.launcher.workers={workers} must be a whole number of at least 1, "
            "or null for one for each CPU."
        )
    module, cls = BACKENDS[name]
    backend = getattr(import_module(module), cls)
    unknown = sorted(set(options or {}) - set(backend.options))
    if unknown:
        raise ConfigError(f"The backend {name} has no option {unknown[0]}; remove it.")
    return cast(Backend, backend(workers, **dict(options or {})))
