"""Close what says RUNNING though nobody works on it any more."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from functools import partial

import filelock
from mlflow.entities import Param, Run, RunTag

from sweep.errors import StoreError
from sweep.tracking import read, results
from sweep.tracking.files import CONFIG, config_bytes
from sweep.tracking.locks import Beat, acquire, is_held
from sweep.tracking.retry import UnreachableError
from sweep.tracking.store import Store
from sweep.tracking.texts import entity_name, is_plain_id, short

__all__ = ["close_abandoned", "recover"]

OTHERS_CLOSE = 10.0
"""Seconds to wait for another command that closes what was left open."""


def recover(store: Store) -> list[str]:
    """Close what is left open, and say what waits; every command that may write calls this.

    Returns
    -------
    One sentence for each thing that was done, or is to be done.
    """
    if store.mode == "read":
        return []
    closed = close_abandoned(store)
    said = [
        f"{len(closed)} {'run was' if len(closed) == 1 else 'runs were'} still open though the "
        "process is gone; KILLED now."
    ]
    return (said if closed else []) + _waiting(store)


def _waiting(store: Store) -> list[str]:
    """Return a sentence for each sweep or single run whose result files nobody stores."""
    found: Counter[str] = Counter()
    outputs = store.tracking.outputs
    for path in outputs.glob("[rs]*s/*/results/*/run.json"):
        owner = path.parents[2]
        record = results.read(path.parent)
        if record is not None and not is_held(owner / "lock"):
            found[f"{owner.name}\n{record.store}"] += record.status == "FINISHED"
    said = []
    for key, count in found.items():
        owner_id, _, name = key.partition("\n")
        where = "" if name == store.tracking.name else f" in {name}"
        if count:
            said.append(
                f"{count} {'result waits' if count == 1 else 'results wait'} on disk; "
                f"resume={owner_id} stores {'it' if count == 1 else 'them'}{where}."
            )
    return said


def close_abandoned(store: Store) -> list[str]:
    """Close as KILLED every open run that nobody works on any more; return their ids.

    Raises
    ------
    StoreError
        The store cannot be written, or the file system cannot lock.
    """
    if store.mode == "read":
        return []
    running = list(read.search(store, "attributes.status = 'RUNNING'"))
    if not running:
        return []
    try:
        lock = acquire(store.tracking.locks / "recover.lock", OTHERS_CLOSE)
    except filelock.Timeout:
        return []  # another command is at it
    try:
        return _close_abandoned(store, running)
    finally:
        lock.release()


def _close_abandoned(store: Store, running: list[Run]) -> list[str]:
    parents: dict[str, Run] = {}
    children: dict[str, list[Run]] = defaultdict(list)
    for run in running:
        role, sweep_id = run.data.tags.get("sweep.role"), run.data.tags.get("sweep.id", "")
        if role == "sweep":
            parents[sweep_id] = run
        elif role == "run":
            children[sweep_id].append(run)
    closed: list[str] = []
    for sweep_id in {**parents, **children}:
        parent = parents.get(sweep_id) or _parent(store, sweep_id)
        alive = parent is not None and _is_alive(store, parent)
        left = 0
        for run in children[sweep_id]:
            own = Beat.read(run.data.tags)
            ours = own is not None or parent is not None
            if not ours or (own.is_alive(store.tracking) if own is not None else alive):
                left += 1
            elif _close(store, run, parent):
                closed.append(run.info.run_id)
        if sweep_id in parents and not alive and not left and parent is not None:
            if _close(store, parent, None):
                closed.append(parent.info.run_id)
    return closed


def _is_alive(store: Store, parent: Run) -> bool:
    beat = Beat.read(parent.data.tags)
    return parent.info.status == "RUNNING" and beat is not None and beat.is_alive(store.tracking)


def _parent(store: Store, sweep_id: str) -> Run | None:
    """Return the parent run of a sweep that is open no more, though runs of it are."""
    if not is_plain_id(sweep_id):
        return None
    return next(read.search(store, f"{read.SWEEPS} and tags.`sweep.id` = '{sweep_id}'"), None)


def _close(store: Store, run: Run, parent: Run | None) -> bool:
    """Close a run as KILLED; return whether it was still open.

    A client of the same server may close it, too: then one of the two is refused.
    """
    for pause in (0.2, 1.0, None):
        now = store.call(partial(store.client.get_run, run.info.run_id))
        if now.info.status != "RUNNING":
            return False
        try:
            _write_end(store, now, parent)
            return True
        except UnreachableError:
            raise
        except StoreError:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _write_end(store: Store, run: Run, parent: Run | None) -> None:
    """Write the end of a run; its params and configuration are in the sweep's plan alone."""
    run_id, tags = run.info.run_id, run.data.tags
    number = tags.get("sweep.cell", "")
    cells = read.stored_sweep(store, parent).plan().get("cells", []) if parent is not None else []
    known = number.isdecimal() and int(number) < len(cells)
    cell = cells[int(number)] if known else {}
    params = [
        Param(entity_name(key), short(value))
        for key, value in (cell.get("params") or {}).items()
        if key not in run.data.params
    ]
    if cell.get("config"):
        files = {CONFIG: config_bytes(cell["config"])}
        store.call(lambda: store.artifacts.copy(run_id, files))
    outcome = [RunTag("sweep.outcome", "interrupted")]
    store.call(lambda: store.client.log_batch(run_id, params=params[:100], tags=outcome))
    end = max(run.info.start_time, time.time_ns() // 1_000_000)
    store.call(lambda: store.client.set_terminated(run_id, "KILLED", end))
