"""Base class of the Dask and Ray executors: an address, resources, and waiting for workers."""

from __future__ import annotations

import socket
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from sweep.engine.executors import Executor, available_cpus
from sweep.engine.executors.worker import Origin
from sweep.errors import ConfigError, SweepError


class Cluster(Executor):
    """A cluster at an address, or one started on this machine for this command.

    Parameters
    ----------
    address
        The cluster to connect to; None starts one on the loopback interface.
    resources
        Resources of a worker that each task needs: name -> amount.
    patience
        Seconds to wait while there is no worker.

    Raises
    ------
    ConfigError
        An option is invalid, or nothing listens at the address.
    """

    engine: str  # for messages
    start_command: str
    options = ("address", "patience", "resources")
    slice_seconds = 1.0

    def __init__(
        self,
        workers: int | None = None,
        *,
        address: str | None = None,
        resources: Mapping[str, float] | None = None,
        patience: float = 300.0,
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
        self._room = 1
        self._resources = ExitStack()

    def slots(self, wanted: int) -> Sequence[str]:
        """Return the current workers; the first call connects to the cluster or starts one.

        Raises SweepError if it is unreachable, or had no suitable worker for `patience` seconds.
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

    def room(self) -> int:
        self.slots(0)
        return max(1, self._room)

    def close(self) -> None:
        self._resources.close()

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
        where = self.address or "on this machine"
        return SweepError(
            f"The {self.engine} {where} {what}; check it, then finish the sweep with resume=last."
        )

    @abstractmethod
    def _start(self, origin: Origin) -> None:
        """Connect to the cluster, or start one; register clean-up in `_resources`."""

    @abstractmethod
    def _slots(self, wanted: int) -> Sequence[str]:
        """Return the names of the workers that can run tasks, and set `_room`."""
