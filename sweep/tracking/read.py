"""Read sweeps and runs back: from the store alone, every page of it, files by run id."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mlflow.entities import Run, ViewType

from sweep.errors import NotFoundError
from sweep.tracking.patience import GoneError
from sweep.tracking.store import Store
from sweep.tracking.stored import SUPERSEDED, StoredRun, StoredSweep, cell_key
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
    return [_sweep(store, run) for run in search(store, SWEEPS, *NEWEST)]


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
                f"{store.experiment_name}; run `python -m sweep -m` first."
            )
        return _sweep(store, newest)
    if is_plain_id(sweep_id):
        condition = f"{SWEEPS} and tags.`sweep.id` = '{sweep_id}'"
        found = _first(store, condition)
        if found is not None:
            return _sweep(store, found)
        found = _first(store, f"{SWEEPS} and tags.`{NAME}` = '{sweep_id}'", *NEWEST)
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
        f"{store.experiment_name}; say `last`, or an id or name that `python -m sweep.list` shows."
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
    return _in_plan_order(runs, cells) if every else counting(runs, cells)


def counting(runs: Sequence[StoredRun], cells: Sequence[Mapping[str, Any]]) -> list[StoredRun]:
    """Return the attempts that count, in the order of the plan's `cells`.

    Parameters
    ----------
    runs
        All attempts; of the same cell the earlier ones first.
    """
    wanted = Counter(_key(cell) for cell in cells)
    return _in_plan_order(list(_counting(runs, wanted)), cells)


def _in_plan_order(
    runs: Sequence[StoredRun], cells: Sequence[Mapping[str, Any]]
) -> list[StoredRun]:
    order: dict[tuple[str, str], int] = {}
    for at, cell in enumerate(cells):
        order.setdefault(_key(cell), at)
    last = len(cells)
    return sorted(runs, key=lambda run: (order.get(cell_key(run), last), run.start_time or 0))


def _key(cell: Mapping[str, Any]) -> tuple[str, str]:
    return str(cell.get("name")), str(cell.get("signature"))


def _counting(runs: Iterable[StoredRun], wanted: Counter[tuple[str, str]]) -> Iterator[StoredRun]:
    """Yield the attempts that count, as many of a cell as the plan has of it."""
    attempts: dict[tuple[str, str], list[StoredRun]] = defaultdict(list)
    for run in runs:
        if SUPERSEDED not in run.tags:
            attempts[cell_key(run)].append(run)
    names = {name for name, signature in attempts if (name, signature) in wanted}
    for key, tries in attempts.items():
        if key not in wanted and key[0] in names:  # of a trainer that was mended since
            tries = [run for run in tries if run.status == "FINISHED"]
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
