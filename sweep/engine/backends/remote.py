"""What runs inside a worker of an engine: a work in a thread, its values fetched in batches.

The worker may stand on another machine and live longer than one command. So it is told
where the command stood (`Origin`), and refuses works whose numbers it would change.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import pickle
import platform
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from sweep.engine.backends.inside import Sender
from sweep.engine.backends.pool import Closed
from sweep.engine.backends.seam import ONE_THREAD, Stop, WorkError, carry_out, limit_blas

__all__ = ["Batch", "Message", "Origin", "Running", "ended"]

Message = tuple[bytes, bool, str | None]
"""A pickled value, whether it is the work's end (then an error or None), the traceback."""

Batch = tuple[Message, ...]

UNFETCHED = 2**20
"""Bytes of values from which on a work waits until they are fetched."""

ONE_AT_A_TIME = threading.Lock()
"""Held by a work that says `thread_safe = False`: a worker process may have several threads."""

OF_THE_DRIVER = (
    "cli",
    "console.py",
    "export.py",
    "progress.py",
    "report",
    "tracking",
    "ui",
    "verify",
)
"""Rooms of this program that no worker enters: they may differ."""

OURS = ("__main__", "hydra_plugins", "sweep")
"""Packages that `kind` looks after, or that nobody imports."""

INSTALLED = {"dist-packages", "site-packages"}
STANDARD = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))

LOOKING = threading.Lock()
"""Held while SEEN is looked at and changed."""

SEEN: dict[str, str] = {}
"""The source of each module of the user's own that this process has imported, by hash."""


def ended(batch: Batch) -> bool:
    """Return whether the work's end is in the batch: it is the last of it then."""
    return bool(batch) and batch[-1][1]


@dataclass(frozen=True)
class Origin:
    """Where the command stands: its import path, and what its numbers depend on.

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
        return cls(own, sources(own), kind())

    def enter(self) -> None:
        """Make the command's own modules importable here, as they are now.

        Raises
        ------
        WorkError
            This process has other versions: it would give other last bits under the same name.
        """
        for name, ours in self.kind.items():
            if kind().get(name) != ours:
                raise WorkError(
                    f"The worker on {socket.gethostname()} has {name} {kind().get(name)} and this "
                    f"command {ours}, so its numbers could differ; install the same, and restart "
                    "the worker."
                )
        sys.path += [entry for entry in self.path if entry not in sys.path]
        with LOOKING:
            now = (*self.sources.items(), *sources(self.path).items())  # there, and on this disk
            if any(SEEN.get(name, source) != source for name, source in now):
                for name in SEEN:  # all of them, for they hold each other
                    sys.modules.pop(name, None)  # this process outlives commands
                SEEN.clear()
        importlib.invalidate_caches()

    def note(self) -> None:
        """Remember what was imported by now, to see a change of it; soon, before it changes."""
        with LOOKING:
            for name, source in sources(self.path).items():
                SEEN.setdefault(name, source)


@cache
def kind() -> Mapping[str, str]:
    """Return what decides about the last bits of a result, and which source this program has."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        if file.relative_to(root).parts[0] in OF_THE_DRIVER:
            continue
        digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return {
        "the machine type": f"{platform.machine()} {platform.system()}",
        "Python": platform.python_version(),
        "NumPy": version("numpy"),
        "numba": version("numba"),
        "SciPy": version("scipy"),
        "the source of sweep": digest.hexdigest()[:12],
    }


def sources(path: Iterable[str]) -> dict[str, str]:
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


class Running:
    """A work that was sent here; its thread waits while too much of it is unfetched.

    Parameters
    ----------
    body, parts
        The pickled work, and its large arrays, which travel apart.
    stopping
        Whether the driver asks works to end.
    linger
        Seconds to gather values before a batch is given out.
    """

    def __init__(
        self, body: bytes, parts: Sequence[bytes], origin: Origin, stopping: Stop, linger: float
    ) -> None:
        self._body, self._parts, self._origin = body, parts, origin
        self._stopping, self._linger = stopping, linger
        self._changed = threading.Condition()
        self._unfetched: list[Message] = []
        self._bytes = 0
        self._closed = False
        threading.Thread(target=self._run, name="sweep-work", daemon=True).start()

    def take(self) -> Batch:
        """Return what the work told since the last call; empty after `linger` s of silence."""
        with self._changed:
            self._changed.wait_for(lambda: self._full() or ended(self._told()), self._linger)
            batch = self._told()
            self._unfetched, self._bytes = [], 0
            self._changed.notify_all()
            return batch

    def close(self) -> None:
        """End the work soon: it is asked to stop, and nothing that it emits goes anywhere."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def send(self, message: Message) -> None:
        """Keep a message to be fetched; what a Sender calls."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._full())
            if self._closed:
                raise Closed
            self._unfetched.append(message)
            self._bytes += len(message[0])
            self._changed.notify_all()

    def _told(self) -> Batch:
        return tuple(self._unfetched)

    def _full(self) -> bool:
        return self._bytes >= UNFETCHED

    def _run(self) -> None:
        sender = Sender(cast(Any, self))

        def unpickled(emit: Callable[[object], None], stop: Stop) -> None:
            noted = 0

            def emit_noting(value: object) -> None:
                nonlocal noted
                if noted < 2:  # the first value comes before the trainer is imported
                    noted += 1
                    self._origin.note()
                emit(value)

            os.environ.update(ONE_THREAD)
            self._origin.enter()
            try:
                # Copies: a work may write into an array that came writable.
                work = pickle.loads(self._body, buffers=map(bytearray, self._parts))
                self._body, self._parts = b"", ()
                limit_blas()
                with nullcontext() if getattr(work, "thread_safe", True) else ONE_AT_A_TIME:
                    work(emit_noting, stop)
            finally:  # what failed is what will be mended
                self._origin.note()

        with suppress(Closed):
            error, text = carry_out(
                unpickled, sender.emit, lambda: self._closed or self._stopping()
            )
            sender.end(error, text)
