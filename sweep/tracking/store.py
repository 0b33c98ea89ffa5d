"""Open a store, local SQLite or a server, and call MLflow's client on it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, ParamSpec, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from sweep import console
from sweep.checks import without_password
from sweep.config.settings import Tracking
from sweep.errors import NotFoundError, StoreError, UnreachableError
from sweep.tracking import database, set_defaults
from sweep.tracking.artifacts import Artifacts, LocalArtifacts, ServerArtifacts
from sweep.tracking.settings import (
    check_address,
    exists,
    probe_folder,
    probe_server,
    probe_space,
    retry,
)

P = ParamSpec("P")
T = TypeVar("T")
Mode = Literal["read", "write"]
Echo = Callable[[str], None]

SILENCE = 3.0
"""Seconds without requests to a server that did not answer, so that training goes on."""

REQUEST, TEXTS = 1000, 100
"""MLflow's limits of a request: entries, and params or tags among them."""

Value = tuple[str, float, int, int]
"""A metric's name and value, its time in milliseconds since the epoch, and its step."""


@dataclass(eq=False)
class Store:
    """An open store and its experiment."""

    tracking: Tracking
    client: MlflowClient
    experiment_id: str  # empty if the store was opened to read all of its experiments
    artifacts: Artifacts
    mode: Mode
    echo: Echo = console.notice  # called with messages while waiting for the store
    stopping: Callable[[], bool] = lambda: False  # if true, locks are no longer waited for
    silent_until: float = 0.0  # monotonic; a server that did not answer gets no requests before
    announced: bool = False  # whether a silent server was reported
    answered: float = -math.inf  # monotonic time when it answered again

    @property
    def where(self) -> str:
        """Path of the database or address of the server, for messages."""
        return self.tracking.location

    def restore_command(self, run_id: str) -> str:
        """Return the command that restores a deleted run, without a password."""
        address = without_password(self.tracking.address)
        return f"MLFLOW_TRACKING_URI='{address}' mlflow runs restore --run-id {run_id}"

    def check_experiment(self) -> None:
        """Raise StoreError if the experiment was deleted."""
        _check_active(self.tracking, self.call(self.client.get_experiment, self.experiment_id))

    def log(
        self,
        run_id: str,
        metrics: Iterable[Value] = (),
        params: Mapping[str, str] = {},
        tags: Mapping[str, str] = {},
    ) -> None:
        """Write values of a run in one request, or in several if they exceed MLflow's limits."""
        values = [Metric(*value) for value in metrics]
        texts = [Param(*item) for item in params.items()]
        marks = [RunTag(*item) for item in tags.items()]
        while values or texts or marks:
            part = texts[:TEXTS], marks[:TEXTS]
            room = REQUEST - len(part[0]) - len(part[1])
            self.call(self.client.log_batch, run_id, values[:room], *part)
            values, texts, marks = values[room:], texts[TEXTS:], marks[TEXTS:]

    def call(self, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the client or the artifacts, with retries (see `settings.retry`).

        Raises UnreachableError without a request for SILENCE seconds after a server did not answer.
        """
        if time.monotonic() < self.silent_until:
            raise UnreachableError(f"{self.where} does not answer.")
        try:
            answer = retry(partial(action, *args, **kwargs), self.where, self.echo, self.stopping)
        except UnreachableError:
            now = time.monotonic()
            # One message, however many requests fail; other threads may still use connections to
            # the server that died when it answers again.
            if not self.announced and now > self.answered + SILENCE:
                self.announced = True
                self.echo(f"{self.where} does not answer; results wait in {self.tracking.outputs}.")
            self.silent_until = now + SILENCE
            raise
        self.silent_until = 0.0
        if self.announced:
            self.announced, self.answered = False, time.monotonic()
            self.echo(f"{self.where} answers again.")
        return answer


def open_store(
    tracking: Tracking, *, mode: Mode, need_bytes: int = 0, echo: Echo = console.notice
) -> Store:
    """Check the store, create it if necessary, and open it.

    Mode ``read`` creates, migrates and changes nothing; with an empty name of the experiment it is
    for `read.list_sweeps` over all experiments. `need_bytes` is the required free space.
    `echo` is called if opening takes long or the addresses of a moved store were updated.

    Raises
    ------
    StoreError
        The folder, database, free space, server or a deleted experiment prevents its use.
    StoreVersionError
        The database belongs to another MLflow version; it was not changed.
    NotFoundError
        In mode ``read``: there is no store, or it has no such experiment.
    """
    set_defaults()
    local, write = tracking.kind == "local", mode == "write"
    if local:
        check_address(tracking.database)
    else:
        probe_server(tracking)
    if write:
        probe_folder(tracking.outputs)
        probe_space(tracking.outputs, need_bytes)
    if local:
        if not exists(tracking):
            if not write:
                raise NotFoundError(
                    f"outputs={tracking.outputs}: there is no store yet; run `python -m sweep -m` "
                    "first."
                )
            database.create(tracking, echo)
        database.check_version(tracking.database, "rw" if write else "ro")
        database.adopt(tracking.database)
    artifacts = LocalArtifacts(tracking.artifacts) if local else ServerArtifacts(tracking.address)
    if not tracking.experiment:
        return Store(tracking, MlflowClient(tracking.address), "", artifacts, mode, echo)
    client, experiment = _experiment(tracking, mode, echo)
    if local and write:
        database.readdress(tracking, experiment, echo)
    return Store(tracking, client, experiment.experiment_id, artifacts, mode, echo)


def _experiment(tracking: Tracking, mode: Mode, echo: Echo) -> tuple[MlflowClient, Experiment]:
    """Return the client and the experiment; in mode ``write`` create it if missing."""

    def find() -> tuple[MlflowClient, Experiment | None]:
        client = MlflowClient(tracking_uri=tracking.address)
        return client, client.get_experiment_by_name(tracking.experiment)

    def make() -> None:
        try:
            database.create_experiment(client, tracking)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # by a concurrent first start
                raise

    name = tracking.location
    client, found = retry(find, name, echo)
    if found is None and mode == "read":
        known = retry(lambda: client.search_experiments(max_results=20), name, echo)
        raise NotFoundError(
            f"tracking.experiment={tracking.experiment}: {name} holds no such experiment; it has "
            f"{', '.join(repr(one.name) for one in known)}."
        )
    if found is None:
        retry(make, name, echo)
        client, found = retry(find, name, echo)
    return client, _check_active(tracking, found)


def _check_active(tracking: Tracking, experiment: Experiment | None) -> Experiment:
    """Return the experiment; raise StoreError if it is None or was deleted."""
    if experiment is not None and experiment.lifecycle_stage == "active":
        return experiment
    raise StoreError(
        f"tracking.experiment={tracking.experiment} was deleted in {tracking.location}; bring it "
        f"back by MLFLOW_TRACKING_URI='{without_password(tracking.address)}' mlflow experiments "
        f"restore --experiment-id {experiment.experiment_id if experiment else 'ID'}, or choose "
        "another name."
    )
