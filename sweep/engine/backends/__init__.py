"""Engines behind one seam, chosen by name.

    serial       one work at a time, in the order of submission
    threads      the default; the compiled kernel runs without the interpreter's lock
    processes    for code that is not safe in threads; survives the death of a worker
    dask, ray    on other machines: an engine that runs there, named by its address

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
    "check",
    "create",
]

BACKENDS: Mapping[str, tuple[str, str]] = {
    "serial": ("sweep.engine.backends.serial", "Serial"),
    "threads": ("sweep.engine.backends.threads", "Threads"),
    "processes": ("sweep.engine.backends.processes", "Processes"),
    "dask": ("sweep.engine.backends.dask", "Dask"),
    "ray": ("sweep.engine.backends.ray", "Ray"),
}
"""Name -> module and class."""


def check(name: Any, workers: Any = None) -> None:
    """Refuse what `create` would refuse of any backend, without importing one.

    Raises
    ------
    ConfigError
        No such backend, or a number of workers below 1.
    """
    if name not in BACKENDS:
        raise ConfigError(
            f"hydra.launcher.backend={name} is no backend; choose one of {', '.join(BACKENDS)}."
        )
    if workers is not None and (
        isinstance(workers, bool) or not isinstance(workers, int) or workers < 1
    ):
        raise ConfigError(
            f"hydra.launcher.workers={workers} must be a whole number of at least 1, "
            "or null for one for each CPU."
        )


def create(
    name: str, workers: int | None = None, options: Mapping[str, Any] | None = None
) -> Backend:
    """Return the backend `name`; nothing is started before its first work.

    Parameters
    ----------
    workers
        How many works run at once; None is one for each available CPU, or as many as a
        cluster has room for. `serial` always has one.
    options
        The backend's own settings, as keyword arguments.

    Raises
    ------
    ConfigError
        No such backend, a number of workers below 1, an option that it does not have, or a
        library that is not installed.
    """
    check(name, workers)
    module, cls = BACKENDS[name]
    try:
        backend = getattr(import_module(module), cls)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"hydra.launcher.backend={name} needs {error.name}, which is not installed; "
            f"run pip install 'sweep[{name}]'."
        ) from error
    if workers is None and not backend.has_own_size:
        workers = available_cpus()
    unknown = sorted(set(options or {}) - set(backend.options))
    if unknown:
        raise ConfigError(
            f"hydra.launcher.options.{unknown[0]}: the backend {name} has no such option; "
            f"{'it has ' + ', '.join(backend.options) if backend.options else 'leave it out'}."
        )
    return cast(Backend, backend(workers, **dict(options or {})))
