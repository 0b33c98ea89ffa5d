"""Read sweeps and runs from the store alone, with every page of an answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mlflow.entities import Run, ViewType

from sweep.errors import NotFoundError, RunGoneError
from sweep.tracking.entities import is_plain_id
from sweep.tracking.store import Store
from sweep.tracking.stored import SUPERSEDED, StoredRun, StoredSweep

PAGE = 1000
CELL = "sweep.cell"
"""The tag of a grid point's index in the plan, by which its runs are found."""

NAME = "sweep.name"
"""The tag of a sweep that was given a name."""

SWEEPS = "tags.`sweep.role` = 'sweep'"
NEWEST = ("tags.`sweep.sequence` DESC", "attributes.start_time DESC")
"""Order of sweeps: by their sequence numbers, as the wall clock may have been set back."""

History = Mapping[str, tuple[tuple[int, float], ...]]
"""Metric -> its (step, value) pairs, ascending; a value that was written twice comes once."""


def search(
    store: Store, condition: str, *order: str, deleted: bool = False, most: int | None = None
) -> Iterator[Run]:
    """Yield the runs of the experiment that meet a condition, page by page, at most `most`."""
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    token = None
    while True:
        arguments = [store.experiment_id], condition, view, most or PAGE, list(order) or None, token
        page = store.call(partial(store.client.search_runs, *arguments))
        yield from page
        token = page.token
        if not token or most is not None:
            return


def _first(store: Store, condition: str, *order: str, deleted: bool = False) -> Run | None:
    return next(search(store, condition, *order, deleted=deleted, most=1), None)


# --- sweeps ------------------------------------------------------------------------------


def list_sweeps(store: Store) -> list[StoredSweep]:
    """Return all sweeps of the experiment, the newest first."""
    return [stored_sweep(store, run) for run in search(store, SWEEPS, *NEWEST)]


def find_sweep(store: Store, sweep_id: str) -> StoredSweep:
    """Return the sweep of an id, the newest one of a name, or the newest one for ``last``.

    Raises
    ------
    NotFoundError
        There is none, or it was deleted.
    """
    where, experiment = store.where, store.tracking.experiment
    if sweep_id == "last":
        found = _first(store, SWEEPS, *NEWEST)
        if found is None:
            raise NotFoundError(
                f"sweep=last: {where} holds no sweep of experiment {experiment}; run "
                "`python -m sweep -m` first."
            )
        return stored_sweep(store, found)
    if is_plain_id(sweep_id):
        by_id = f"{SWEEPS} and tags.`sweep.id` = '{sweep_id}'"
        by_name = f"{SWEEPS} and tags.`{NAME}` = '{sweep_id}'"
        found = _first(store, by_id) or _first(store, by_name, *NEWEST)
        if found is not None:
            return stored_sweep(store, found)
        deleted = _first(store, by_id, deleted=True)
        if deleted is not None:
            store.check_experiment()
            raise NotFoundError(
                f"sweep={sweep_id} was deleted; {store.restore_command(deleted.info.run_id)} "
                "brings it back."
            )
    raise NotFoundError(
        f"sweep={sweep_id}: {where} holds no such sweep in experiment {experiment}; say `last`, "
        "or an id or name that `python -m sweep.list` shows."
    )


def next_sequence(store: Store) -> str:
    """Return the sequence number of the next sweep: later sweeps sort after earlier ones."""
    newest = _first(store, SWEEPS, *NEWEST)
    last = newest.data.tags.get("sweep.sequence", "") if newest else ""
    return f"{int(last) + 1 if last.isdecimal() else 1:08d}"


def stored_sweep(store: Store, run: Run) -> StoredSweep:
    """Return one of MLflow's parent runs as a sweep."""
    return StoredSweep(run.data.tags.get("sweep.id", ""), **_fields(store, run))


# --- runs --------------------------------------------------------------------------------


def sweep_runs(store: Store, sweep_id: str, *, every: bool = False) -> list[StoredRun]:
    """Return a sweep's runs in plan order, one for each grid point that has been started.

    Parameters
    ----------
    every
        Return all attempts instead, the superseded ones too.
    """
    if not is_plain_id(sweep_id):
        return []
    condition = f"tags.`sweep.role` = 'run' and tags.`sweep.id` = '{sweep_id}'"
    runs = [
        stored_run(store, run)
        for run in search(store, condition, "attributes.start_time ASC")
        if run.data.tags.get(CELL, "").isdecimal()
    ]
    runs.sort(key=lambda run: run.cell)
    return runs if every else counting(runs)


def counting(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the attempts that count, one a grid point, in the order of the plan.

    Of several attempts the first finished one counts, else the newest.

    Parameters
    ----------
    runs
        All attempts; of the same grid point the earlier ones first.
    """
    attempts: dict[int, list[StoredRun]] = {}
    for run in runs:
        if SUPERSEDED not in run.tags:
            attempts.setdefault(run.cell, []).append(run)
    return [
        next((run for run in tries if run.status == "FINISHED"), tries[-1])
        for _, tries in sorted(attempts.items())
    ]


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
    except RunGoneError as error:
        raise missing from error
    if run.info.lifecycle_stage != "active":
        raise NotFoundError(
            f"run={run_id} was deleted; {store.restore_command(run_id)} brings it back."
        )
    return stored_run(store, run)


def finished_by_signature(store: Store, signatures: Collection[str]) -> dict[str, StoredRun]:
    """Return for each signature the oldest finished run that has it, over all sweeps."""
    found: dict[str, StoredRun] = {}
    condition = "tags.`sweep.role` = 'run' and attributes.status = 'FINISHED'"
    for run in search(store, condition, "attributes.start_time ASC"):
        signature = run.data.tags.get("sweep.signature", "")
        if signature in signatures and signature not in found:
            found[signature] = stored_run(store, run)
    return found


def histories(store: Store, run: StoredRun) -> History:
    """Return every value that the store holds of each of a run's metrics."""
    found = {}
    for key in run.metrics:
        ask = partial(store.client.get_metric_history, run.run_id, key)
        found[key] = tuple(sorted({(metric.step, metric.value) for metric in store.call(ask)}))
    return found


def stored_run(store: Store, run: Run) -> StoredRun:
    """Return one of MLflow's runs as the rest of the program reads it."""
    tags = run.data.tags
    cell = tags.get(CELL, "")
    return StoredRun(
        name=run.info.run_name,
        outcome=tags.get("sweep.outcome"),
        params=dict(run.data.params),
        cell=int(cell) if cell.isdecimal() else 0,
        **_fields(store, run),
    )


def _fields(store: Store, run: Run) -> dict[str, Any]:
    store.artifacts.remember(run)
    return {
        "run_id": run.info.run_id,
        "status": run.info.status,
        "tags": dict(run.data.tags),
        "metrics": dict(run.data.metrics),
        "start_time": run.info.start_time,
        "end_time": run.info.end_time,
        "artifacts": store.artifacts,
    }
