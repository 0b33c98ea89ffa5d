"""What the engines of others have in common: an address, what a task needs, and patience."""

from __future__ import annotations

import os
import socket
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from sweep.engine.executors.base import Executor, available_cpus
from sweep.engine.executors.origin import Origin
from sweep.engine.executors.worker import SlotWorker
from sweep.errors import ConfigError, SweepError
from sweep.training.blas import ONE_THREAD
from sweep.training.task import Failure, SliceResult, Task

__all__ = ["Cluster", "RemoteWorker"]


class Cluster(Executor):
    """An engine that was named by its address, or one of our own on this machine.

    Parameters
    ----------
    workers
        How many tasks run at once; None is as many as the engine has room for, or with one
        of our own a worker for each CPU.
    address
        Where the engine is; None starts one here, on the loopback, for this command alone.
    resources
        What each task needs of a worker: name -> amount.
    patience
        Seconds to wait for a worker when there is none.

    Raises
    ------
    ConfigError
        Nothing answers at the address: raised here, before anything is created.
    """

    engine: str
    """What an address names, in a sentence."""

    start_command: str
    """The command that starts one."""

    options: tuple[str, ...] = ("address", "patience", "resources")
    slice_seconds = 1.0

    def __init__(
        self,
        workers: int | None = None,
        *,
        thread_safe: bool = True,
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
            self._check_address(address)
        self.workers = workers if workers or address else available_cpus()
        self.address, self.patience, self.thread_safe = address, patience, thread_safe
        self.resources = dict(resources or {})
        self._started = False
        self._seen_at = time.monotonic()
        self._held = ExitStack()

    def slots(self, wanted: int) -> Sequence[str]:
        """Return the workers that are there.

        Raises
        ------
        SweepError
            The engine cannot be reached, or there was no worker for `patience` seconds.
        """
        if not self._started:
            self._started = True
            try:
                self._start(Origin.here())
            except (OSError, RuntimeError, ValueError) as error:
                raise self._lost(f"cannot be joined ({error})") from error
        found = self._slots(wanted)
        if found:
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at > self.patience:
            raise self._lost(f"has had no worker that suits for {self.patience:g} s")
        return found

    def close(self) -> None:
        self._held.close()

    def _check_address(self, address: str) -> None:
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

    def _lost(self, what: str) -> SweepError:
        where = self.address or "on this machine"
        return SweepError(
            f"The engine {where} {what}; look after it, then finish the sweep with resume=last."
        )

    @abstractmethod
    def _start(self, origin: Origin) -> None:
        """Join the engine, or start one."""

    @abstractmethod
    def _slots(self, wanted: int) -> Sequence[str]:
        """Return the names of the workers that can run tasks now."""


class RemoteWorker:
    """A worker in a process that may have other modules than the command, and outlive it."""

    def __init__(self, origin: Origin) -> None:
        os.environ.update(ONE_THREAD)
        self._origin = origin
        self._worker = SlotWorker()

    def advance(self, task: Task) -> SliceResult | Failure | None:
        """Advance a task; where it begins, with the modules of the command as they are now."""
        try:
            if task.items is not None:
                self._origin.enter()
            return self._worker.advance(task)
        except Exception as error:
            return Failure.of(error)
        finally:
            self._origin.note()  # also what failed: that is what will be mended
