"""Who holds a run: a process, told from every other by its host, number and start."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

__all__ = ["Holder", "is_left_behind", "me", "stand_for"]


@dataclass(frozen=True)
class Holder:
    """A process.

    Attributes
    ----------
    host
        Name of the machine.
    boot
        Which boot of it, where the system tells (Linux).
    space
        Which world of process numbers (containers have their own), where the system tells.
    pid, started
        The process's number, and when it started in seconds since the epoch: numbers are
        used again.
    """

    host: str
    boot: str
    space: str
    pid: int
    started: float

    @property
    def name(self) -> str:
        """The process as sentences name it."""
        return f"process {self.pid} on {self.host}"

    @property
    def key(self) -> str:
        """The process as part of a file's name."""
        return f"{_machine(self)}-{self.pid}-{self.started:.0f}"

    def to_json(self) -> str:
        """Return the holder as text for a tag."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Holder | None:
        """Return the holder that a tag tells of, None where it is not one of ours."""
        try:
            values = json.loads(text)
            return cls(
                host=str(values["host"]),
                boot=str(values["boot"]),
                space=str(values["space"]),
                pid=int(values["pid"]),
                started=float(values["started"]),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def is_gone(self) -> bool | None:
        """Tell whether the process has ended; None where this machine cannot know."""
        here = me()
        if self.host != here.host:
            return None
        if self.boot != here.boot:
            return True
        if self.space != here.space:
            return None
        return _start_of(self.pid) != self.started


def is_left_behind(key: str) -> bool | None:
    """Tell whether the process of a `Holder.key` has ended; None where nobody here knows."""
    machine, _, process = key.partition("-")
    pid, _, started = process.partition("-")
    if machine != _machine(me()) or not pid.isdecimal():
        return None
    now = _start_of(int(pid))
    return now is None or f"{now:.0f}" != started


def _machine(holder: Holder) -> str:
    text = f"{holder.host} {holder.boot} {holder.space}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


_stands_for: list[int] = []


def stand_for(pid: int) -> None:
    """Hold everything in the name of another process from now on: this one is its servant."""
    _stands_for[:] = [pid]


def me() -> Holder:
    """Return this process, or the one in whose name it holds what it holds."""
    return _holder(_stands_for[0] if _stands_for else os.getpid())


@cache
def _holder(pid: int) -> Holder:
    started = _start_of(pid)
    return Holder(
        socket.gethostname(), _boot(), _space(), pid, -1.0 if started is None else started
    )


def _start_of(pid: int) -> float | None:
    """Return when a process started; None when there is none, or only its corpse."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return _ticks(pid) or process.create_time()
    except psutil.NoSuchProcess:
        return None


def _ticks(pid: int) -> float | None:
    """Return the start in ticks since boot (Linux): it does not move when the clock is set."""
    try:
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
