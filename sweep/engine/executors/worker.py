"""The workers that train in the slots of an executor.

A remote worker may outlive the commands that use it: it reloads modules for each command, and
does not train if other versions could give other numbers.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import socket
import sys
import sysconfig
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from sweep.errors import RunFailed
from sweep.training.advance import Worker
from sweep.training.blas import ONE_THREAD
from sweep.training.surroundings import Failure, environment
from sweep.training.task import SliceResult, Task

NUMERIC = ("config", "engine", "training", "checks.py", "errors.py")
"""Modules of this package that run in a worker."""

OURS = ("__main__", "hydra_plugins", "sweep")
"""Packages that are not reloaded: `versions` covers them, or no trainer imports them."""

STANDARD = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))

last_command = ""
lock = threading.Lock()  # a Dask worker may have several threads


class SlotWorker(Worker):
    """A worker that ends MLflow's active run after the training of a user's trainer."""

    def advance(self, task: Task) -> SliceResult | Failure | None:
        reply = super().advance(task)
        if not self.busy:
            self._leave()
        return reply

    def close(self) -> None:
        super().close()
        self._leave()

    def _leave(self) -> None:
        if self.environment and "mlflow" in sys.modules:
            from sweep.tracking import end_active_runs

            with environment(self.environment):
                end_active_runs(self.environment)
            self.environment = {}


class RemoteWorker(SlotWorker):
    """A worker in a process whose modules may differ from the command's."""

    def __init__(self) -> None:
        super().__init__()
        os.environ.update(ONE_THREAD)

    def advance_from(self, origin: Origin, task: Task) -> SliceResult | Failure | None:
        """Advance a task; call `origin.enter` before the first slice of its items."""
        try:
            if task.items is not None:
                origin.enter()
        except Exception as error:
            return Failure.of(error)
        return self.advance(task)


@dataclass(frozen=True)
class Origin:
    """The command that submits a task.

    Attributes
    ----------
    command
        A random id.
    path
        The folders of its import path, without installed packages.
    versions
        Versions that affect the last bits of a result, and a hash of this package's source.
    """

    command: str
    path: tuple[str, ...]
    versions: Mapping[str, str]

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
