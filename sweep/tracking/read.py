"""Stored sweeps and runs, and searches for them. MLflow is loaded by a search alone.

Values read from the store can be pickled and read their files themselves.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from sweep.errors import NotFoundError, RunGoneError
from sweep.tracking import artifacts
from sweep.tracking.artifacts import Artifacts
from sweep.tracking.entities import NOT_FINITE, ORIGINAL, PARAM, is_plain_id

if TYPE_CHECKING:
    from mlflow.entities import Run

    from sweep.tracking.store import Store
    from sweep.training.curve import Points

PAGE = 1000
MOST_EXPERIMENTS = 50_000  # MLflow's own limit
CELL = "sweep.cell"
"""Tag of a run with the index of its grid point in the plan."""

NAME = "sweep.name"
"""Tag with the name of a sweep."""

SUPERSEDED = "sweep.superseded_by"
"""The tag of a run that does not count, with the id of the attempt that does."""

SWEEPS = "tags.`sweep.role` = 'sweep'"
NEWEST = ("tags.`sweep.sequence` DESC", "attributes.start_time DESC")
"""Order of sweeps: by sequence number first, because the clock may have been set back."""

History = Mapping[str, tuple[tuple[int, float], ...]]
"""Metric -> its (step, value) pairs, ascending, without duplicates."""


@dataclass(frozen=True)
class StoredRun:
    """A run as stored."""

    run_id: str
    name: str
    status: str
    params: dict[str, str]  # ours, where training code logged another value first
    metrics: dict[str, float]  # the last value of each; floats are exact
    tags: dict[str, str]
    start_time: int | None  # milliseconds since the epoch
    end_time: int | None = None
    artifacts: Artifacts | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, store: Store, run: Run) -> Self:
        """Convert an MLflow run."""
        store.artifacts.remember(run)
        info, data = run.info, run.data
        params = data.params | _tagged(data.tags, PARAM)
        values = params, dict(data.metrics), dict(data.tags), info.start_time, info.end_time
        return cls(info.run_id, info.run_name, info.status, *values, store.artifacts)

    @property
    def outcome(self) -> str | None:
        """``completed``, ``diverged``, ``failed`` or ``interrupted``; None while it runs."""
        return self.tags.get("sweep.outcome")

    @property
    def cell(self) -> int:
        """Index of the grid point in the sweep's plan; 0 for a single run."""
        text = self.tags.get(CELL, "")
        return int(text) if text.isdecimal() else 0

    def is_whole(self) -> bool:
        """Return whether the files of a finished run are complete; a power cut may empty them."""
        return self.artifacts is None or self.artifacts.is_whole(self.run_id)

    def file(self, name: str) -> bytes | None:
        """Return the content of an artifact, or None."""
        return self.artifacts.read(self.run_id, name) if self.artifacts else None

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration; empty if none was written."""
        content = self.file(artifacts.CONFIG)
        return artifacts.read_config(content) if content else {}

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of the curve's file by name, each of shape (n,)."""
        content = self.file(artifacts.CURVE)
        if content is None:
            return {"step": np.empty(0, dtype=np.int64), "error": np.empty(0)}
        return artifacts.read_curve(content)

    def curve(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the kept steps and their errors, shape (n,) each; n = 0 without a curve."""
        columns = self.columns()
        return columns["step"], columns["error"]

    def named_curves(self) -> dict[str, Points]:
        """Return the steps and values of each metric that a user's trainer yielded by name."""
        return artifacts.named_curves(self.columns())

    def metric_names(self) -> dict[str, str]:
        """Return metric -> its original name, where MLflow does not accept that name."""
        return _tagged(self.tags, ORIGINAL)

    def not_finite(self) -> dict[str, str]:
        """Return metric -> ``nan``, ``inf`` or ``-inf``, which are not stored as values."""
        return _tagged(self.tags, NOT_FINITE)

    def weights(self) -> dict[str, dict[str, Any]]:
        """Return ``{"initial": {name: value}, "final": {…}}``; empty if none were written."""
        for name in (artifacts.WEIGHTS, artifacts.WEIGHTS_LARGE):
            if content := self.file(name):
                return artifacts.read_weights(content, name)
        return {}

    def preparation(self) -> dict[str, Any] | None:
        """Return how the run's data was prepared; None if its rows were used unchanged."""
        content = self.file(artifacts.PREPARATION)
        return None if content is None else dict(json.loads(content))

    def thresholds(self) -> dict[int, int | None]:
        """Return k -> first step with error <= 10^-k, or None."""
        content = self.file(artifacts.THRESHOLDS)
        return artifacts.read_thresholds(content) if content else {}

    def traceback(self) -> str | None:
        """Return the traceback of a failed run, or None."""
        content = self.file(artifacts.TRACEBACK)
        return None if content is None else content.decode("utf-8", "replace")


def _tagged(tags: Mapping[str, str], start: str) -> dict[str, str]:
    return {key.removeprefix(start): text for key, text in tags.items() if key.startswith(start)}


@dataclass(frozen=True)
class StoredSweep(StoredRun):
    """A sweep's parent run as stored."""

    deleted: frozenset[int] = frozenset()  # grid points without a run, by `with_deleted`

    @property
    def sweep_id(self) -> str:
        """The sweep's id."""
        return self.tags.get("sweep.id", "")

    def plan(self, *, strict: bool = True) -> dict[str, Any]:
        """Return ``plan.json``; empty if the sweep died before it was written.

        A damaged one raises ValueError; it is empty too if not `strict`.
        """
        try:
            loaded = json.loads(self.file("plan.json") or "{}")
        except ValueError:
            if strict:
                raise
            return {}
        return loaded if isinstance(loaded, dict) else {}


def search(
    store: Store, condition: str, *order: str, deleted: bool = False, most: int | None = None
) -> Iterator[Run]:
    """Yield the experiment's runs that match a filter, fetched in pages; at most `most`."""
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    experiments = [store.experiment_id]
    if not store.experiment_id:
        every = store.call(store.client.search_experiments, max_results=MOST_EXPERIMENTS)
        experiments = [one.experiment_id for one in every]
    token = None
    while True:
        arguments = experiments, condition, view, most or PAGE, list(order) or None, token
        page = store.call(store.client.search_runs, *arguments)
        yield from page
        token = page.token
        if not token or most is not None:
            return


def first(store: Store, condition: str, *order: str, deleted: bool = False) -> Run | None:
    """Return the first of the runs that `search` finds, or None."""
    return next(search(store, condition, *order, deleted=deleted, most=1), None)


def list_sweeps(store: Store) -> list[StoredSweep]:
    """Return all sweeps of the experiment, or of all experiments, newest first in each."""
    return [StoredSweep.of(store, run) for run in search(store, SWEEPS, *NEWEST)]


def find_sweep(store: Store, sweep_id: str) -> StoredSweep:
    """Return the sweep with this id, else the newest with this name; ``last`` is the newest.

    Raises NotFoundError if there is none or it was deleted.
    """
    where, experiment = store.where, store.tracking.experiment
    if sweep_id == "last":
        found = first(store, SWEEPS, *NEWEST)
        if found is None:
            raise NotFoundError(
                f"sweep=last: {where} holds no sweep of experiment {experiment}; run "
                "`python -m sweep -m` first."
            )
        return StoredSweep.of(store, found)
    if is_plain_id(sweep_id):
        by_id = f"{SWEEPS} and tags.`sweep.id` = '{sweep_id}'"
        by_name = f"{SWEEPS} and tags.`{NAME}` = '{sweep_id}'"
        found = first(store, by_id) or first(store, by_name, *NEWEST)
        if found is not None:
            return StoredSweep.of(store, found)
        deleted = first(store, by_id, deleted=True)
        if deleted is not None:
            store.check_experiment()
            how = store.restore_command(deleted.info.run_id)
            raise NotFoundError(f"sweep={sweep_id} was deleted; {how} brings it back.")
    raise NotFoundError(
        f"sweep={sweep_id}: {where} holds no such sweep in experiment {experiment}; say `last`, "
        "or an id or name that `python -m sweep.list` shows."
    )


def sweep_runs(store: Store, sweep_id: str, *, every: bool = False) -> list[StoredRun]:
    """Return a sweep's runs in plan order, one for each started grid point.

    With `every`, return all attempts instead, including superseded ones.
    """
    runs = [StoredRun.of(store, run) for run in _attempts(store, sweep_id)]
    runs.sort(key=lambda run: run.cell)
    return runs if every else counting(runs)


def with_deleted(store: Store, sweep: StoredSweep, runs: Sequence[StoredRun]) -> StoredSweep:
    """Return a sweep that has `runs` with the grid points whose runs were deleted."""
    deleted = {int(run.data.tags[CELL]) for run in _attempts(store, sweep.sweep_id, deleted=True)}
    return replace(sweep, deleted=frozenset(deleted - {run.cell for run in runs}))


def _attempts(store: Store, sweep_id: str, *, deleted: bool = False) -> Iterator[Run]:
    if is_plain_id(sweep_id):
        condition = f"tags.`sweep.role` = 'run' and tags.`sweep.id` = '{sweep_id}'"
        for run in search(store, condition, "attributes.start_time ASC", deleted=deleted):
            if run.data.tags.get(CELL, "").isdecimal():
                yield run


def counting(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return one run for each grid point, in plan order: the first finished, else the newest.

    `runs` are all attempts, those of a grid point by start time; superseded ones are ignored. Of
    several finished attempts, one whose files are complete is preferred.
    """
    attempts: dict[int, list[StoredRun]] = {}
    for run in runs:
        if SUPERSEDED not in run.tags:
            attempts.setdefault(run.cell, []).append(run)
    counted = []
    for _, tries in sorted(attempts.items()):
        finished = [run for run in tries if run.status == "FINISHED"] or tries[-1:]
        whole = (run for run in finished if len(finished) == 1 or run.is_whole())
        counted.append(next(whole, finished[0]))
    return counted


def find_run(store: Store, run_id: str) -> StoredRun:
    """Return a run. Raises NotFoundError if there is none, or it was deleted or is a sweep."""
    missing = NotFoundError(
        f"run={run_id}: {store.where} holds no such run; say the id that a run printed."
    )
    if not is_plain_id(run_id):
        raise missing
    try:
        run = store.call(store.client.get_run, run_id)
    except RunGoneError as error:
        raise missing from error
    if run.info.lifecycle_stage != "active":
        how = store.restore_command(run_id)
        raise NotFoundError(f"run={run_id} was deleted; {how} brings it back.")
    if run.data.tags.get("sweep.role") == "sweep":
        raise NotFoundError(f"run={run_id} is a sweep; write sweep={run.data.tags['sweep.id']}.")
    return StoredRun.of(store, run)


def finished_by_signature(store: Store, signatures: Collection[str]) -> dict[str, StoredRun]:
    """Return signature -> the oldest finished run with it, over all sweeps."""
    found: dict[str, StoredRun] = {}
    condition = "tags.`sweep.role` = 'run' and attributes.status = 'FINISHED'"
    for run in search(store, condition, "attributes.start_time ASC"):
        signature = run.data.tags.get("sweep.signature", "")
        if signature in signatures and signature not in found:
            found[signature] = StoredRun.of(store, run)
    return found
