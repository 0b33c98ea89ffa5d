"""The workers that train in the slots of an executor.

One in another process may outlive the commands that use it: it reloads modules for each command,
and does not train if other versions could give other numbers.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import platform
import socket
import sys
import sysconfig
import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sweep.errors import RunFailed
from sweep.training.advance import Training, advance
from sweep.training.surroundings import ONE_THREAD, Failure, captured, environment
from sweep.training.task import Reply, Task

NUMERIC = ("config", "engine", "training", "checks.py", "errors.py")
"""Modules of this package that run in a worker."""

OURS = ("__main__", "hydra_plugins", "sweep")
"""Packages that are not reloaded: `versions` covers them, or no trainer imports them."""

STANDARD = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))

log = logging.getLogger(__name__)

last_command = ""
lock = threading.Lock()  # a process of Dask may have several workers


class Worker:
    """Advance tasks one after another; the training in progress is kept between slices."""

    def __init__(self) -> None:
        self._kept: list[Training] = []  # at most one
        self._next = (-1, -1)
        self._environment: Mapping[str, str] = {}  # of the last training
        self._lock = threading.Lock()  # Dask may call `close` in another thread

    def advance(self, task: Task, origin: Origin | None = None) -> Reply:
        """Advance a task; return None if it continues a training that this worker does not have.

        `origin` is the command, if it runs in another process.
        """
        with self._lock:
            if task.items is not None:
                self._close()  # frees its memory before the next one is built
                try:
                    if origin is not None:
                        origin.enter()
                except Exception as error:
                    return Failure.of(error)
                self._environment = task.items[0].environment
            elif not self._kept or self._next != (task.batch, task.number):
                self._close()
                return None
            with captured(), environment(self._environment):
                reply = advance(task, self._kept)
            self._next = task.batch, task.number + 1
            if not self._kept:
                self._close()
            return reply

    def close(self) -> None:
        """Close the training in progress, if any, after its current slice."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        """Close a training that is left; its exceptions are logged, as no run ends with it."""
        with environment(self._environment):
            try:
                if self._kept:
                    self._kept.pop().close()
            except BaseException as error:
                log.warning("A training that was left raised as it was closed.", exc_info=error)
            if self._environment and "mlflow" in sys.modules:
                from sweep.tracking import end_active_runs

                end_active_runs(self._environment)
        self._environment = {}


@lru_cache(maxsize=16)  # commands that share this process; the end of a killed one is unknown
def _workers(command: str) -> defaultdict[str, Worker]:
    return defaultdict(Worker)


def call_here(name: str, method: str, *arguments: Any) -> Any:
    """Call a method of a worker of this process; `name` is the command's id, a blank and a slot."""
    return getattr(_workers(name.partition(" ")[0])[name], method)(*arguments)


@dataclass(frozen=True)
class Origin:
    """The command that submits a task."""

    command: str  # a random id
    path: tuple[str, ...]  # the folders of its import path, without installed packages
    versions: Mapping[str, str]  # of all that affects the last bits of a result

    @classmethod
    def here(cls) -> Origin:
        """Return the origin of tasks of this process."""
        path = dict.fromkeys(os.path.abspath(entry) for entry in sys.path)
        own = tuple(entry for entry in path if os.path.isdir(entry) and not _is_installed(entry))
        return cls(uuid.uuid4().hex, own, _versions())

    def enter(self) -> None:
        """Make the command's modules importable in this process, in their current version.

        Raises RunFailed if this process has other `versions`.
        """
        for name, theirs in self.versions.items():
            if (here := _versions()[name]) != theirs:
                raise RunFailed(
                    f"The worker on {socket.gethostname()} has {name} {here} and this command "
                    f"{theirs}, so its numbers could differ; install the same, and restart the "
                    "worker."
                )
        os.environ.update(ONE_THREAD)
        global last_command
        with lock:
            sys.path += [entry for entry in self.path if entry not in sys.path]
            if self.command != last_command:
                self._forget_modules()
                last_command = self.command

    def _forget_modules(self) -> None:
        """Unload modules that may have changed since an earlier command imported them."""
        folders = tuple(os.path.join(folder, "") for folder in self.path)
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            ours = name.partition(".")[0] in OURS or _is_installed(file)
            if file.startswith(folders) and not ours:
                del sys.modules[name]
        importlib.invalidate_caches()


@cache
def _versions() -> Mapping[str, str]:
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root)
        if name.parts[0] in NUMERIC:
            digest.update(name.as_posix().encode() + file.read_bytes())
    return {
        "the machine type": f"{platform.machine()} {platform.system()}",
        "Python": platform.python_version(),
        "NumPy": version("numpy"),
        "llvmlite": version("llvmlite"),
        "numba": version("numba"),
        "SciPy": version("scipy"),
        "the source of sweep": digest.hexdigest()[:12],
    }


def _is_installed(path: str) -> bool:
    return "-packages/" in f"{path}/" or path.startswith(STANDARD)
