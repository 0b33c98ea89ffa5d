"""What the engines of others have in common, seen from the driver.

A work travels as a small body; its large arrays travel apart, named by their content, so
that the works of a sweep send each of them once. Values come back in batches while the work
goes on. Only what is about to run is given to the engine; the rest waits here.
"""

from __future__ import annotations

import hashlib
import pickle
import socket
import time
import traceback
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import cloudpickle  # type: ignore[import-untyped]

from sweep.engine.backends.inside import last_line
from sweep.engine.backends.remote import Batch, Origin
from sweep.engine.backends.seam import (
    TICK,
    Backend,
    Done,
    Emitted,
    Event,
    Work,
    WorkError,
    available_cpus,
)
from sweep.errors import ConfigError, SweepError

__all__ = ["Cluster", "Parcel"]

APART = 2**16
"""Bytes from which on an array travels apart from its work."""


@dataclass(frozen=True)
class Parcel:
    """A work on its way; `parts` are its large arrays, each after the hash of its content."""

    key: int
    body: bytes
    parts: tuple[tuple[str, bytes], ...]


class Cluster(Backend):
    """An engine that was named by its address, or one of our own on this machine.

    Parameters
    ----------
    workers
        How many works run at once; None is as many as the engine has room for, or with one
        of our own a worker for each CPU.
    address
        Where the engine is; None starts one here, on the loopback, for this command alone.
    resources
        What each work needs of a worker: name -> amount.
    patience
        Seconds to wait for a worker when there is none.

    Raises
    ------
    ConfigError
        Nothing answers at the address: told here, before anything is created.
    """

    engine: str
    """What an address names, in a sentence."""

    start_command: str
    """The command that starts one."""

    options: tuple[str, ...] = ("address", "patience", "resources")
    has_own_size = True

    def __init__(
        self,
        workers: int | None,
        address: str | None = None,
        resources: Mapping[str, float] | None = None,
        patience: float = 300.0,
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int | float) or patience <= 0:
            raise ConfigError(
                f"hydra.launcher.options.patience={patience} must be a number of seconds above 0."
            )
        if not isinstance(resources or {}, Mapping):
            raise ConfigError(
                f"hydra.launcher.options.resources={resources} must give an amount for each name."
            )
        if address:
            self._knock(address)
        self.workers = workers if workers or address else available_cpus()
        self.address, self.patience = address, patience
        self.resources = dict(resources or {})
        self._waiting: deque[Parcel] = deque()
        self._told: deque[Event] = deque()
        self._unreadable: dict[int, WorkError] = {}
        self._open = 0
        self._started = self._stopping = self._closed = False
        self._forsaken_at: float | None = None
        self._held = ExitStack()

    @property
    def room(self) -> int:
        """How many works can run at once, as far as is known."""
        return self.workers or self._size() or 1

    @property
    def capacity(self) -> int:  # type: ignore[override]
        """Twice the room, so that the next works wait beside the workers."""
        if self.address:
            self._ready()
        return 2 * self.room

    @property
    def linger(self) -> float:
        """Seconds for which a worker gathers values: more for many, who all tell one driver."""
        return min(1.0, max(TICK, self.room / 100))

    def submit(self, key: int, work: Work) -> None:
        if self._closed:
            raise RuntimeError("The backend is closed; create another.")
        self._ready()
        self._open += 1
        try:
            self._waiting.append(packed(key, work))
        except Exception as error:
            told = WorkError(f"The work cannot be sent to a worker process ({error}).")
            self._told.append(Done(key, told, traceback.format_exc()))
        self._fill()

    def events(self) -> Iterator[Event | None]:
        while self._open and not self._closed:
            if not self._told:
                for key, news in self._next(TICK):
                    self._told += self._read(key, news) if isinstance(news, tuple) else [news]
                self._fill()
            if not self._told:
                self._check_hope()
                yield None
                continue
            event = self._told.popleft()
            self._open -= isinstance(event, Done)
            yield event

    def _ready(self) -> None:
        if not self._started:
            self._started = True
            try:
                self._start(Origin.here())
            except (OSError, RuntimeError, ValueError) as error:
                raise self._lost(f"cannot be joined ({error})") from error

    def _knock(self, address: str) -> None:
        """Raise ConfigError unless something listens at a host and port: engines try for long."""
        host, _, port = address.rpartition("://")[2].rpartition(":")
        try:
            if port.isdecimal():
                socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"hydra.launcher.options.address={address}: no {self.engine} answers there "
                f"({error}); start one with `{self.start_command}` and give its address."
            ) from error

    def _read(self, key: int, batch: Batch) -> Iterator[Event]:
        for body, end, text in batch:
            try:
                value = pickle.loads(body)
            except Exception as error:
                what = last_line(text) if end else f"A value cannot be unpickled ({error})."
                value = self._unreadable.setdefault(key, WorkError(what))
            if end:
                yield Done(key, self._unreadable.pop(key, None) or value, text)
            elif key not in self._unreadable:
                yield Emitted(key, value)

    def _check_hope(self) -> None:
        """Raise SweepError when there has been no worker for too long."""
        if self._size():
            self._forsaken_at = None
        elif self._forsaken_at is None:
            self._forsaken_at = time.monotonic()
        elif time.monotonic() - self._forsaken_at > self.patience:
            raise self._lost(f"has had no worker that suits for {self.patience:g} s")

    def _lost(self, what: str) -> SweepError:
        where = self.address or "on this machine"
        return SweepError(
            f"The engine {where} {what}; look after it, then finish the sweep with resume=last."
        )

    @abstractmethod
    def _start(self, origin: Origin) -> None:
        """Join the engine, or start one."""

    @abstractmethod
    def _size(self) -> int:
        """Return how many works the engine can run at once now; 0 is a reason to worry."""

    @abstractmethod
    def _fill(self) -> None:
        """Give waiting works to the engine, as many as it can run."""

    @abstractmethod
    def _next(self, seconds: float) -> list[tuple[int, Batch | Done]]:
        """Wait for news of works, at most for `seconds`; return them in each work's order."""


def packed(key: int, work: Work) -> Parcel:
    """Pickle a work, its large arrays apart from it."""
    parts: list[tuple[str, bytes]] = []

    def within(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= APART:
            parts.append((hashlib.sha256(raw).hexdigest(), bytes(raw)))
        return raw.nbytes < APART

    return Parcel(key, cloudpickle.dumps(work, protocol=5, buffer_callback=within), tuple(parts))
