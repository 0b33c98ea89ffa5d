"""Open the store: local SQLite or a server, made once, never harmed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

from sweep.checks import without_password
from sweep.errors import NotFoundError, StoreBusyError, StoreError
from sweep.tracking import set_defaults
from sweep.tracking.artifacts import Artifacts, LocalArtifacts
from sweep.tracking.create import create_experiment, create_store
from sweep.tracking.database import adopt, check_address, check_version, inspect, is_locked
from sweep.tracking.moved import readdress
from sweep.tracking.probe import probe_folder, probe_server, probe_space
from sweep.tracking.retry import UnreachableError, retry
from sweep.tracking.settings import Tracking
from sweep.tracking.uploads import ServerArtifacts

__all__ = ["Store", "open_store"]

T = TypeVar("T")
Mode = Literal["read", "write"]

SILENCE = 3.0
"""Seconds for which a server that did not answer is left alone, so that training goes on."""


def _to_stderr(sentence: str) -> None:
    with suppress(OSError):  # where nobody reads, the command goes on
        print(sentence, file=sys.stderr, flush=True)


@dataclass(eq=False)
class Store:
    """An open store and its one experiment.

    Attributes
    ----------
    client
        MLflow's client, with the address set explicitly.
    artifacts
        Where files of runs lie and how they get there.
    say
        Told what the user should know while the store makes us wait.
    stopping
        Set by the command: true once it was asked to end, so that no lock holds it up.
    silent_until
        Until then (monotonic clock) a server that did not answer is left alone.
    blocked
        The message when another program still held the database and the command should end.
    """

    tracking: Tracking
    client: MlflowClient
    experiment_id: str
    experiment_name: str
    artifacts: Artifacts
    mode: Mode
    say: Callable[[str], None] = _to_stderr
    stopping: Callable[[], bool] = lambda: False
    silent_until: float = 0.0
    blocked: StoreBusyError | None = None

    @property
    def uri(self) -> str:
        """The tracking address."""
        return self.tracking.address

    @property
    def where(self) -> str:
        """The store as sentences name it: the database's path or the server's address."""
        return self.tracking.place

    def restore_command(self, run_id: str) -> str:
        """Return the command that brings back a deleted run; no password is in it."""
        address = without_password(self.uri)
        return f"MLFLOW_TRACKING_URI='{address}' mlflow runs restore --run-id {run_id}"

    def remember(self, run: Run) -> None:
        """Keep where a server has a run's files; on this machine its id alone tells."""
        if isinstance(self.artifacts, ServerArtifacts):
            self.artifacts.remember(run)

    def check_experiment(self) -> None:
        """Ask whether the experiment is still there.

        Raises
        ------
        StoreError
            It was deleted.
        """
        experiment = self.call(lambda: self.client.get_experiment(self.experiment_id))
        if experiment.lifecycle_stage != "active":
            raise _deleted(self.tracking, self.experiment_id)

    def call(self, action: Callable[[], T]) -> T:
        """Return what an action on the client returns; see `retry.retry`.

        A server that has just not answered is not asked again for some seconds.
        """
        if time.monotonic() < self.silent_until:
            raise UnreachableError(f"{self.where} does not answer.")
        if self.blocked is not None and self.stopping() and is_locked(self.tracking.database):
            raise StoreBusyError(str(self.blocked))  # a second of waiting was enough for all
        try:
            answer = retry(action, self.where, self.say, self.stopping)
        except StoreBusyError as error:
            self.blocked = error
            raise
        except UnreachableError:
            if not self.silent_until:  # said once, however many requests fail
                self.say(f"{self.where} does not answer; results wait in {self.tracking.outputs}.")
            self.silent_until = time.monotonic() + SILENCE
            raise
        if self.silent_until:
            self.silent_until = 0.0
            self.say(f"{self.where} answers again.")
        return answer


def open_store(
    tracking: Tracking,
    *,
    mode: Mode,
    need_bytes: int = 0,
    say: Callable[[str], None] = _to_stderr,
) -> Store:
    """Probe the store, make it if it is not there, and open it.

    Parameters
    ----------
    mode
        ``read`` makes, migrates and changes nothing.
    need_bytes
        What is about to be written; checked against the free space.
    say
        Told in one sentence why opening takes long, or that a moved store was readdressed.

    Raises
    ------
    StoreError
        The store cannot be used: the folder, the database, the space, the server, or a
        deleted experiment.
    StoreVersionError
        The database belongs to another MLflow version; it was left alone.
    NotFoundError
        In mode ``read``: there is no store, or no such experiment in it.
    """
    set_defaults()
    if tracking.kind == "server":
        return _open_server(tracking, mode, need_bytes, say)
    check_address(tracking.database)
    if mode == "write":
        probe_folder(tracking.outputs)
        probe_space(tracking.outputs, need_bytes)
        if not _is_there(tracking):
            create_store(tracking, say)
    elif not _is_there(tracking):
        raise NotFoundError(
            f"outputs={tracking.outputs}: there is no store yet; run `python -m sweep -m` first."
        )
    inspect(tracking.database)
    check_version(tracking.database, "rw" if mode == "write" else "ro")
    adopt(tracking.database)
    artifacts = LocalArtifacts(tracking.artifacts)
    client, experiment = _experiment(tracking, mode, say)
    if mode == "write":
        readdress(tracking, experiment, say)
    return Store(
        tracking, client, experiment.experiment_id, tracking.experiment, artifacts, mode, say
    )


def _is_there(tracking: Tracking) -> bool:
    """Tell whether a database is there; an empty file counts where runs lie beside it."""
    try:
        size = tracking.database.stat().st_size
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{tracking.database} cannot be read ({error.strerror}).") from error
    return size > 0 or (tracking.artifacts.is_dir() and any(tracking.artifacts.iterdir()))


def _open_server(
    tracking: Tracking, mode: Mode, need_bytes: int, say: Callable[[str], None]
) -> Store:
    probe_server(tracking)
    if mode == "write":
        probe_folder(tracking.outputs)
        probe_space(tracking.outputs, need_bytes)
    client, experiment = _experiment(tracking, mode, say)
    artifacts = ServerArtifacts(client, tracking.address)
    return Store(
        tracking, client, experiment.experiment_id, tracking.experiment, artifacts, mode, say
    )


def _experiment(
    tracking: Tracking, mode: Mode, say: Callable[[str], None]
) -> tuple[MlflowClient, Experiment]:
    """Return the client and the experiment of that name; in mode ``write`` it is made."""

    def find() -> tuple[MlflowClient, Experiment | None]:
        client = MlflowClient(tracking_uri=tracking.address)
        return client, client.get_experiment_by_name(tracking.experiment)

    def make() -> None:
        try:
            if tracking.kind == "local":
                create_experiment(client, tracking)
            else:
                client.create_experiment(tracking.experiment)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # by another first start
                raise

    name = tracking.place
    client, found = retry(find, name, say)
    if found is None and mode == "read":
        raise NotFoundError(
            f"tracking.experiment={tracking.experiment}: {name} holds no such experiment."
        )
    if found is None:
        retry(make, name, say)
        client, found = retry(find, name, say)
    if found is None or found.lifecycle_stage != "active":
        raise _deleted(tracking, found.experiment_id if found else "ID")
    return client, found


def _deleted(tracking: Tracking, experiment_id: str) -> StoreError:
    address = without_password(tracking.address)
    return StoreError(
        f"tracking.experiment={tracking.experiment} was deleted in {tracking.place}; bring it "
        f"back by MLFLOW_TRACKING_URI='{address}' mlflow experiments restore "
        f"--experiment-id {experiment_id}, or choose another name."
    )
