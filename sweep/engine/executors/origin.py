"""Where a command stands, for workers that may be on another machine and outlive it.

A worker makes the command's own modules importable, as they are now, and refuses to train where
it would give other numbers.
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
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path

from sweep.errors import RunFailed

__all__ = ["Origin"]

NUMERIC = ("config", "engine", "training", "checks.py", "errors.py")
"""What of this program runs in a worker; the other rooms may differ."""

OURS = ("__main__", "hydra_plugins", "sweep")
"""Packages that `kind` compares, or that nobody imports."""

INSTALLED = {"dist-packages", "site-packages"}
STANDARD = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))

IMPORTED: dict[str, str] = {}
"""The source of each module of the user's own that this process has imported, by hash."""

LOCK = threading.Lock()
"""Held while IMPORTED is compared and changed."""


@dataclass(frozen=True)
class Origin:
    """Where a command stands, and what its numbers depend on.

    Attributes
    ----------
    path
        The folders of its import path that belong to no installation.
    sources
        Module -> hash of its source, of those that were imported from there.
    kind
        What decides about last bits, and the version of this program's own source.
    """

    path: tuple[str, ...]
    sources: Mapping[str, str]
    kind: Mapping[str, str]

    @classmethod
    def here(cls) -> Origin:
        """Return that of this process."""
        path = dict.fromkeys(os.path.abspath(entry) for entry in sys.path)
        own = tuple(entry for entry in path if os.path.isdir(entry) and not _is_installed(entry))
        return cls(own, _sources(own), _kind())

    def enter(self) -> None:
        """Make the command's own modules importable here, as they are now.

        Raises
        ------
        RunFailed
            This process has other versions: it would give other last bits under the same name.
        """
        for name, ours in self.kind.items():
            if _kind().get(name) != ours:
                raise RunFailed(
                    f"The worker on {socket.gethostname()} has {name} {_kind().get(name)} and this "
                    f"command {ours}, so its numbers could differ; install the same, and restart "
                    "the worker."
                )
        sys.path += [entry for entry in self.path if entry not in sys.path]
        with LOCK:
            now = (*self.sources.items(), *_sources(self.path).items())  # there, and on this disk
            if any(IMPORTED.get(name, source) != source for name, source in now):
                for name in IMPORTED:  # all of them: they refer to each other
                    sys.modules.pop(name, None)
                IMPORTED.clear()
        importlib.invalidate_caches()

    def note(self) -> None:
        """Record the sources that were imported by now, before they change."""
        with LOCK:
            for name, source in _sources(self.path).items():
                IMPORTED.setdefault(name, source)


@cache
def _kind() -> Mapping[str, str]:
    """Return what decides about the last bits of a result, and which source this program has."""
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


def _sources(path: Iterable[str]) -> dict[str, str]:
    """Return the hash of each imported module of the user's own that lies below `path`."""
    folders, found = tuple(os.path.join(folder, "") for folder in path), {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name.partition(".")[0] in OURS or not file.startswith(folders):
            continue
        if not _is_installed(file):
            with suppress(OSError):
                stat = os.stat(file)
                found[name] = _hash(file, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found


@lru_cache(maxsize=4096)
def _hash(file: str, *version: int) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _is_installed(place: str) -> bool:
    path = Path(place)
    return bool(INSTALLED & set(path.parts)) or any(path.is_relative_to(one) for one in STANDARD)
