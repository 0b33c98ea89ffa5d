"""Read sweeps and runs back: from the store alone, every page of it, files by run id."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from mlflow.entities import Run, ViewType

from sweep.errors import NotFoundError
from sweep.tracking import files
from sweep.tracking.artifacts import Artifacts
from sweep.tracking.patience import GoneError
from sweep.tracking.store import Store
from sweep.tracking.texts import is_plain_id

__all__ = [
    "SUPERSEDED",
    "SWEEPS",
    "StoredRun",
    "StoredSweep",
    "cell_key",
    "find_run",
    "find_sweep",
    "list_sweeps",
    "next_sequence",
    "search",
    "stored_run",
    "sweep_runs",
]

PAGE = 1000
SUPERSEDED = "sweep.superseded_by"
SWEEPS = "tags.`sweep.role` = 'sweep'"


@dataclass(frozen=True)
class StoredRun:
    """A run as the store holds it.

    Attributes
    ----------
    outcome
        ``completed``, ``diverged``, ``failed`` or ``interrupted``; None while it runs.
    metrics
        The last value of each; floats come back exactly.
    start_time, end_time
        Milliseconds since the epoch, or None.
    """

    run_id: str
    name: str
    status: str
    outcome: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    start_time: int | None
    end_time: int | None
    artifacts: Artifacts | None = field(default=None, repr=False, compare=False)

    def _file(self, name: str) -> bytes | None:
        return self.artifacts.read(self.run_id, name) if self.artifacts else None

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration; empty where none was written."""
        content = self._file(files.CONFIG)
        return files.read_config(content) if content else {}

    def curve(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the kept steps and their errors, shape (n,) each; n = 0 where there are none."""
        content = self._file(files.CURVE)
        if not content:
            return np.empty(0, dtype=np.int64), np.empty(0)
        return files.read_curve(content)

    def validation(self) -> npt.NDArray[np.float64] | None:
        """Return the validation errors at the curve's steps; None where there are none."""
        content = self._file(files.CURVE)
        return files.read_validation(content) if content else None

    def weights(self) -> dict[str, dict[str, Any]]:
        """Return ``{"initial": {name: value}, "final": {…}}``; empty where none were written."""
        for name in (files.WEIGHTS, files.WEIGHTS_LARGE):
            content = self._file(name)
            if content:
                return files.read_weights(content, name)
        return {}

    def thresholds(self) -> dict[int, int | None]:
        """Return k -> first step with error <= 10^-k, or None."""
        content = self._file(files.THRESHOLDS)
        return files.read_thresholds(content) if content else {}

    def traceback(self) -> str | None:
        """Return the traceback of a failed run."""
        content = self._file(files.TRACEBACK)
        return None if content is None else content.decode("utf-8", "replace")


@dataclass(frozen=True)
class StoredSweep:
    """A sweep's parent run as the store holds it."""

    sweep_id: str
    run_id: str
    status: str
    tags: dict[str, str]
    metrics: dict[str, float]
    start_time: int | None
    end_time: int | None
    artifacts: Artifacts | None = field(default=None, repr=False, compare=False)

    def plan(self) -> dict[str, Any]:
        """Return ``plan.json``; empty where the sweep died before it was written."""
        content = self.artifacts.read(self.run_id, "plan.json") if self.artifacts else None
        loaded = json.loads(content) if content else {}
        return loaded if isinstance(loaded, dict) else {}


def search(store: Store, condition: str, *order: str, deleted: bool = False) -> Iterator[Run]:
    """Yield every run of the experiment that meets a condition, page by page."""
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    token = None
    while True:
        arguments = ([store.experiment_id], condition, view, PAGE, list(order) or None, token)
        page = store.call(partial(store.client.search_runs, *arguments))
        yield from page
        token = page.token
        if not token:
            return


def list_sweeps(store: Store) -> list[StoredSweep]:
    """Return all sweeps of the experiment, the newest first.

    The order is that of their sequence numbers: the wall clock may have been set back.
    """
    return [_sweep(store, run) for run in search(store, SWEEPS, *NEWEST)]


NEWEST = ("tags.`sweep.sequence` DESC", "attributes.start_time DESC")


def find_sweep(store: Store, sweep_id: str) -> StoredSweep:
    """Return the sweep of an id, or the newest one for ``last``.

    Raises
    ------
    NotFoundError
        There is none, or it was deleted.
    """
    if sweep_id == "last":
        newest = _first(store, SWEEPS, *NEWEST)
        if newest is None:
            raise NotFoundError(
                f"sweep=last: {store.where} holds no sweep of experiment "
                f"{store.experiment_name}; run `python -m sweep -m` first."
            )
        return _sweep(store, newest)
    if is_plain_id(sweep_id):
        condition = f"{SWEEPS} and tags.`sweep.id` = '{sweep_id}'"
        found = _first(store, condition)
        if found is not None:
            return _sweep(store, found)
        gone = next(search(store, condition, deleted=True), None)
        if gone is not None:
            store.check_experiment()
            raise NotFoundError(
                f"sweep={sweep_id} was deleted; MLFLOW_TRACKING_URI='{store.uri}' mlflow runs "
                f"restore --run-id {gone.info.run_id} brings it back."
            )
    raise NotFoundError(
        f"sweep={sweep_id}: {store.where} holds no such sweep in experiment "
        f"{store.experiment_name}; say `last` or the id that the sweep printed."
    )


def sweep_runs(store: Store, sweep_id: str, *, every: bool = False) -> list[StoredRun]:
    """Return a sweep's runs in plan order, one for each cell that has been started.

    Of several attempts at a cell the finished one counts, else the newest; what a later
    duplicate left is dropped.

    Parameters
    ----------
    every
        Return all attempts instead, the superseded ones too.
    """
    if not is_plain_id(sweep_id):
        return []
    condition = f"tags.`sweep.role` = 'run' and tags.`sweep.id` = '{sweep_id}'"
    runs = [stored_run(store, run) for run in search(store, condition, "attributes.start_time ASC")]
    cells = find_sweep(store, sweep_id).plan().get("cells", ())
    order: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, cell in enumerate(cells):
        order[(str(cell.get("name")), str(cell.get("signature")))].append(at)
    if not every:
        runs = list(_counting(runs, Counter({key: len(at) for key, at in order.items()})))
    last = [len(cells)]
    return sorted(runs, key=lambda run: (order.get(cell_key(run), last)[0], run.start_time or 0))


def cell_key(run: StoredRun) -> tuple[str, str]:
    """Return what tells a run's cell from the others of its sweep."""
    return run.name, run.tags.get("sweep.signature", "")


def _counting(runs: Iterable[StoredRun], wanted: Counter[tuple[str, str]]) -> Iterator[StoredRun]:
    """Yield the attempts that count, as many of a cell as the plan has of it."""
    attempts: dict[tuple[str, str], list[StoredRun]] = defaultdict(list)
    for run in runs:
        if SUPERSEDED not in run.tags:
            attempts[cell_key(run)].append(run)
    for key, tries in attempts.items():
        finished = [run for run in tries if run.status == "FINISHED"]
        others = [run for run in reversed(tries) if run.status != "FINISHED"]
        yield from (finished + others)[: max(1, wanted[key])]


def find_run(store: Store, run_id: str) -> StoredRun:
    """Return one run by its id.

    Raises
    ------
    NotFoundError
        There is none, or it was deleted.
    """
    missing = NotFoundError(
        f"run={run_id}: {store.where} holds no such run; say the id that a run printed."
    )
    if not is_plain_id(run_id):
        raise missing
    try:
        run = store.call(lambda: store.client.get_run(run_id))
    except GoneError as error:
        raise missing from error
    if run.info.lifecycle_stage != "active":
        raise NotFoundError(
            f"run={run_id} was deleted; MLFLOW_TRACKING_URI='{store.uri}' mlflow runs restore "
            f"--run-id {run_id} brings it back."
        )
    return stored_run(store, run)


def next_sequence(store: Store) -> str:
    """Return the sequence number of the next sweep: later sweeps sort after earlier ones."""
    newest = _first(store, SWEEPS, *NEWEST)
    last = newest.data.tags.get("sweep.sequence", "") if newest else ""
    return f"{int(last) + 1 if last.isdecimal() else 1:08d}"


def _first(store: Store, condition: str, *order: str) -> Run | None:
    found = store.call(
        lambda: store.client.search_runs(
            [store.experiment_id], condition, max_results=1, order_by=list(order) or None
        )
    )
    return found[0] if found else None


def _sweep(store: Store, run: Run) -> StoredSweep:
    store.remember(run)
    tags = dict(run.data.tags)
    return StoredSweep(
        sweep_id=tags.get("sweep.id", ""),
        run_id=run.info.run_id,
        status=run.info.status,
        tags=tags,
        metrics=dict(run.data.metrics),
        start_time=run.info.start_time,
        end_time=run.info.end_time,
        artifacts=store.artifacts,
    )


def stored_run(store: Store, run: Run) -> StoredRun:
    """Return one of MLflow's runs as the rest of the program reads it."""
    tags = dict(run.data.tags)
    return StoredRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        outcome=tags.get("sweep.outcome"),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=tags,
        start_time=run.info.start_time,
        end_time=run.info.end_time,
        artifacts=store.artifacts,
    )
