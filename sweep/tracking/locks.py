"""Who works on a sweep: the process that holds its lock, or whose heartbeat is recent.

The recorder holds ``sweeps/<id>/lock`` (``runs/<id>/lock`` for a single run) to its very end, and
a job that a launcher started in another process holds a lock of its own beside it. Clients of a
server share no disk: a tag of the parent run, or of such a job's run, is written every minute,
and a process on another machine counts as gone after 15 minutes without it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import psutil

from sweep.errors import StoreError
from sweep.tracking.settings import Tracking

__all__ = ["BEAT", "EXPIRY", "HEARTBEAT", "Beat", "acquire", "is_held", "release"]

HEARTBEAT = "sweep.heartbeat"
"""The tag that says who works on a sweep or a run, and the time of its last sign of life."""

BEAT = 60.0
EXPIRY = 15 * 60.0

LOCKS = re.compile(r"(sweeps|runs)/\w[\w.\-]{0,199}/(lock|job-\d{1,9}\.lock)", re.ASCII)
"""What a heartbeat may name as its lock, relative to the folder of outputs."""


def acquire(path: Path, seconds: float) -> filelock.BaseFileLock:
    """Take a lock, waiting at most so long; it is free when its owner releases it or has ended.

    Raises
    ------
    filelock.Timeout
        Another process holds it.
    StoreError
        The file cannot be made, or the file system cannot lock.
    """
    lock = filelock.FileLock(path, thread_local=False)
    try:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=seconds)
            if is_held(path):
                break
            lock.release()  # its file was removed meanwhile: see `release`
    except filelock.Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            f"{path} cannot be locked ({error}); give permission to write it, or choose outputs on "
            "a file system that can lock."
        ) from error
    return lock


def release(lock: filelock.BaseFileLock, path: Path) -> None:
    """Remove a lock's file and release it."""
    path.unlink(missing_ok=True)
    lock.release()


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock; whoever asks takes nothing from others who ask."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # not ours to look at, so it is left alone
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)  # else nobody can lock here
    finally:
        os.close(descriptor)
    return False


@dataclass(frozen=True)
class Beat:
    """What the heartbeat tag says of a process.

    Attributes
    ----------
    lock
        The lock that it holds, relative to the folder of outputs.
    machine
        A hash of the machine, its boot and its space of process ids.
    pid, started
        The process's id, and when it started in seconds since the epoch.
    time
        Time of its last sign of life, in seconds since the epoch.
    """

    lock: str
    host: str
    machine: str
    pid: int
    started: float
    time: float

    @property
    def name(self) -> str:
        """The process as sentences name it."""
        return f"process {self.pid} on {self.host}"

    def to_json(self) -> str:
        """Return the text of the tag, with the time of now."""
        return json.dumps(asdict(replace(self, time=round(time.time(), 3))))

    @classmethod
    def of(cls, lock: str, pid: int) -> Beat:
        """Return the heartbeat of a process of this machine."""
        started = psutil.Process(pid).create_time()
        return cls(lock, socket.gethostname(), _machine(), pid, started, 0.0)

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> Beat | None:
        """Return the heartbeat among a run's tags; None where there is none of ours."""
        try:
            values: dict[str, Any] = json.loads(tags.get(HEARTBEAT, ""))
            beat = cls(**values)
            beat = replace(beat, pid=int(beat.pid), started=float(beat.started))
            return replace(beat, time=float(beat.time)) if LOCKS.fullmatch(beat.lock) else None
        except (TypeError, ValueError):
            return None

    def is_alive(self, tracking: Tracking, mine: str = "") -> bool:
        """Return whether the process still works, as far as this machine can tell.

        Parameters
        ----------
        mine
            A lock that the caller holds; it says nothing of others.
        """
        if self.lock != mine and is_held(tracking.outputs / self.lock):
            return True
        if tracking.kind == "local":
            return False
        if self.machine == _machine():
            return _runs(self.pid, self.started)
        return time.time() - self.time < EXPIRY


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return not zombie and abs(process.create_time() - started) < 5.0
    except psutil.NoSuchProcess:
        return False


def _machine() -> str:
    """Return what tells this machine since its last boot from others, containers among them."""
    parts = [socket.gethostname()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        parts += [boot.read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
