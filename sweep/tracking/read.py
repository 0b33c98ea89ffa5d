"""Read sweeps and runs back: from the store alone, every page of it, files by run id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from mlflow.entities import Run, ViewType

from sweep.errors import NotFoundError
from sweep.tracking.retry import GoneError
from sweep.tracking.store import Store
from sweep.tracking.stored import SUPERSEDED, StoredRun, StoredSweep
from sweep.tracking.texts import is_plain_id

__all__ = [
    "NAME",
    "SUPERSEDED",
    "SWEEPS",
    "StoredRun",
    "StoredSweep",
    "counting",
    "find_run",
    "find_sweep",
    "list_sweeps",
    "next_sequence",
    "search",
    "stored_run",
    "stored_sweep",
    "sweep_runs",
]

PAGE = 1000
NAME = "sweep.name"
"""The tag of a sweep that was given a name."""

SWEEPS = "tags.`sweep.role` = 'sweep'"


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
    return [stored_sweep(store, run) for run in search(store, SWEEPS, *NEWEST)]


NEWEST = ("tags.`sweep.sequence` DESC", "attributes.start_time DESC")


def find_sweep(store: Store, sweep_id: str) -> StoredSweep:
    """Return the sweep of an id, the newest one of a name, or the newest one for ``last``.

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
                f"{store.tracking.experiment}; run `python -m sweep -m` first."
            )
        return stored_sweep(store, newest)
    if is_plain_id(sweep_id):
        condition = f"{SWEEPS} and tags.`sweep.id` = '{sweep_id}'"
        found = _first(store, condition)
        if found is not None:
            return stored_sweep(store, found)
        found = _first(store, f"{SWEEPS} and tags.`{NAME}` = '{sweep_id}'", *NEWEST)
        if found is not None:
            return stored_sweep(store, found)
        gone = next(search(store, condition, deleted=True), None)
        if gone is not None:
            store.check_experiment()
            raise NotFoundError(
                f"sweep={sweep_id} was deleted; {store.restore_command(gone.info.run_id)} brings "
                "it back."
            )
    raise NotFoundError(
        f"sweep={sweep_id}: {store.where} holds no such sweep in experiment "
        f"{store.tracking.experiment}; say `last`, or an id or name that `python -m sweep.list` "
        "shows."
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
    cells = find_sweep(store, sweep_id).plan().get("cells", ())
    known = {
        (str(cell.get("name")), str(cell.get("signature"))): at for at, cell in enumerate(cells)
    }
    runs = []
    for run in search(store, condition, "attributes.start_time ASC"):
        text = run.data.tags.get("sweep.cell", "")
        key = run.info.run_name, run.data.tags.get("sweep.signature", "")
        # Sweeps of earlier versions have no such tag.
        cell = int(text) if text.isdecimal() else known.get(key, len(cells))
        runs.append(replace(stored_run(store, run), cell=cell))
    runs.sort(key=lambda run: run.cell)
    return runs if every else counting(runs)


def counting(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the attempts that count, one a grid point, in the order of the plan.

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
    except GoneError as error:
        raise missing from error
    if run.info.lifecycle_stage != "active":
        raise NotFoundError(
            f"run={run_id} was deleted; {store.restore_command(run_id)} brings it back."
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


def stored_sweep(store: Store, run: Run) -> StoredSweep:
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
