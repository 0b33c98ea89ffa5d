"""Base class of the Dask and Ray executors: an address, resources, and waiting for workers."""

from __future__ import annotations

import socket
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import Any

from sweep.engine.executors import SECONDS_TO_CLOSE, Executor, available_cpus
from sweep.engine.executors.worker import Origin
from sweep.errors import ConfigError, SweepError
from sweep.training.task import Task


class Cluster(Executor):
    """A cluster at an address, or one started for this command on the loopback interface.

    Raises ConfigError if an option is invalid, or if nothing listens at the address.
    """

    engine: str  # for messages
    start_command: str
    options = ("address", "patience", "resources")
    slice_seconds = 0.5  # a stop waits for its end, at most SECONDS_TO_CLOSE

    def __init__(
        self,
        workers: int | None = None,
        *,
        address: str | None = None,
        resources: Mapping[str, float] | None = None,  # of a worker that each task needs
        patience: float = 300.0,  # seconds to wait while there is no worker
    ) -> None:
        if type(patience) not in (int, float) or patience <= 0:
            raise ConfigError(
                f"hydra.launcher.options.patience={patience} must be a number of seconds above 0."
            )
        if not isinstance(resources or {}, Mapping):
            raise ConfigError(
                f"hydra.launcher.options.resources={resources} must give an amount for each name."
            )
        if address:
            self._check_address(address)
        super().__init__(workers)
        self.limit = workers if workers or address else available_cpus()
        self.address, self.patience, self.resources = address, patience, dict(resources or {})
        self._started, self._seen_at = False, time.monotonic()
        self._origin: Any = Origin.here()
        self._room = 1
        self._resources = ExitStack()
        self._to_close: set[str] = set()  # slots with a user's trainer

    def slots(self, wanted: int) -> Sequence[str]:
        """Return the current workers; the first call connects to the cluster or starts one.

        Raises SweepError if it is unreachable, or had no suitable worker for `patience` seconds.
        """
        if not self._started:
            self._started = True
            try:
                self._start()
            except (OSError, RuntimeError, ValueError) as error:
                raise self._lost(f"cannot be joined ({error})") from error
        found = self._slots(wanted)
        if found:
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at > self.patience:
            raise self._lost(f"has had no worker that suits for {self.patience:g} s")
        return found

    def room(self) -> int:
        self.slots(0)
        return max(1, self._room)

    def submit(self, slot: str, task: Task) -> Future[Any]:
        if task.items is not None and not task.items[0].spec.trainer.built_in:
            self._to_close.add(slot)
        return self._call(slot, "advance", task, self._origin)

    def close(self) -> None:
        with self._resources:
            wait([self._call(slot, "close") for slot in self._to_close], SECONDS_TO_CLOSE)
            self._to_close.clear()

    def _check_address(self, address: str) -> None:
        """Raise ConfigError if nothing listens there; Dask and Ray would retry for minutes."""
        host, _, port = address.rpartition("://")[2].rpartition(":")
        try:
            if port.isdecimal():
                socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"hydra.launcher.options.address={address}: no {self.engine} answers there "
                f"({error}); start one with `{self.start_command}` and give its address."
            ) from error

    def _lost(self, what: str) -> SweepError:
        self._to_close.clear()
        where = self.address or "on this machine"
        return SweepError(
            f"The {self.engine} {where} {what}; check it, then finish the sweep with resume=last."
        )

    @abstractmethod
    def _call(self, slot: str, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of a slot's `Worker`; return at once."""

    @abstractmethod
    def _start(self) -> None:
        """Connect to the cluster, or start one; register clean-up in `_resources`."""

    @abstractmethod
    def _slots(self, wanted: int) -> Sequence[str]:
        """Return the names of the workers that can run tasks, and set `_room`."""
