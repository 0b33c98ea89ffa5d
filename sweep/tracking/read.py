"""Read sweeps and runs from the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.errors import NotFoundError, RunGoneError
from sweep.tracking.entities import is_plain_id
from sweep.tracking.stored import SUPERSEDED, StoredRun, StoredSweep

if TYPE_CHECKING:
    from mlflow.entities import Run

    from sweep.tracking.store import Store

PAGE = 1000
CELL = "sweep.cell"
"""Tag of a run with the index of its grid point in the plan."""

NAME = "sweep.name"
"""Tag with the name of a sweep."""

SWEEPS = "tags.`sweep.role` = 'sweep'"
NEWEST = ("tags.`sweep.sequence` DESC", "attributes.start_time DESC")
"""Order of sweeps: by sequence number first, because the clock may have been set back."""

History = Mapping[str, tuple[tuple[int, float], ...]]
"""Metric -> its (step, value) pairs, ascending, without duplicates."""


def search(
    store: Store, condition: str, *order: str, deleted: bool = False, most: int | None = None
) -> Iterator[Run]:
    """Yield the experiment's runs that match a filter, fetched in pages; at most `most`."""
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    token = None
    while True:
        arguments = [store.experiment_id], condition, view, most or PAGE, list(order) or None, token
        page = store.call(store.client.search_runs, *arguments)
        yield from page
        token = page.token
        if not token or most is not None:
            return


def _first(store: Store, condition: str, *order: str, deleted: bool = False) -> Run | None:
    return next(search(store, condition, *order, deleted=deleted, most=1), None)


def list_sweeps(store: Store) -> list[StoredSweep]:
    """Return all sweeps of the experiment, newest first."""
    return [stored_sweep(store, run) for run in search(store, SWEEPS, *NEWEST)]


def find_sweep(store: Store, sweep_id: str) -> StoredSweep:
    """Return the sweep with this id, else the newest with this name; ``last`` is the newest.

    Raises NotFoundError if there is none or it was deleted.
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
    """Return the next sweep's sequence number, zero-padded to sort as text."""
    newest = _first(store, SWEEPS, *NEWEST)
    last = newest.data.tags.get("sweep.sequence", "") if newest else ""
    return f"{int(last) + 1 if last.isdecimal() else 1:08d}"


def stored_sweep(store: Store, run: Run) -> StoredSweep:
    """Convert an MLflow parent run to a StoredSweep."""
    return StoredSweep(run.data.tags.get("sweep.id", ""), **_fields(store, run))


def sweep_runs(store: Store, sweep_id: str, *, every: bool = False) -> list[StoredRun]:
    """Return a sweep's runs in plan order, one for each started grid point.

    With `every`, return all attempts instead, including superseded ones.
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
    """Return one run for each grid point, in plan order: the first finished, else the newest.

    `runs` are all attempts, those of a grid point by start time; superseded ones are ignored.
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
    """Return a run by its id. Raises NotFoundError if there is none or it was deleted."""
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
        raise NotFoundError(
            f"run={run_id} was deleted; {store.restore_command(run_id)} brings it back."
        )
    return stored_run(store, run)


def finished_by_signature(store: Store, signatures: Collection[str]) -> dict[str, StoredRun]:
    """Return signature -> the oldest finished run with it, over all sweeps."""
    found: dict[str, StoredRun] = {}
    condition = "tags.`sweep.role` = 'run' and attributes.status = 'FINISHED'"
    for run in search(store, condition, "attributes.start_time ASC"):
        signature = run.data.tags.get("sweep.signature", "")
        if signature in signatures and signature not in found:
            found[signature] = stored_run(store, run)
    return found


def histories(store: Store, run: StoredRun) -> History:
    """Return all stored values of a run's metrics."""
    found = {}
    for key in run.metrics:
        values = store.call(store.client.get_metric_history, run.run_id, key)
        found[key] = tuple(sorted({(one.step, one.value) for one in values}))
    return found


def stored_run(store: Store, run: Run) -> StoredRun:
    """Convert an MLflow run to a StoredRun."""
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
