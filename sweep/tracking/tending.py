"""Bring a store in order: deliver what waits, close what processes that are gone left open."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import filelock
from mlflow.entities import Param, Run, RunTag

from sweep.errors import StoreError
from sweep.tracking import read, spool
from sweep.tracking.claims import is_claimed
from sweep.tracking.deliver import deliver, waiting, waiting_elsewhere
from sweep.tracking.files import CONFIG, config_bytes
from sweep.tracking.holder import Holder
from sweep.tracking.leases import is_gone, leases_of
from sweep.tracking.patience import UnreachableError
from sweep.tracking.store import Store
from sweep.tracking.texts import entity_name, is_plain_id, short

__all__ = ["close_abandoned", "tend"]

OTHERS_CLOSE = 10.0
"""Seconds to wait for another command that closes what was left open."""

OTHERS_DELIVER = 60.0
"""Seconds to wait for another command that delivers."""


def tend(store: Store, *, resumed: bool = False) -> list[str]:
    """Bring the store in order: deliver what waits, close what was left open.

    Parameters
    ----------
    resumed
        A sweep is about to be resumed: another command that delivers is waited for, a minute
        at most, so that results that wait are not trained again.

    Returns
    -------
    One sentence for each thing that was done. Every command that may write calls this.
    """
    if store.mode == "read":
        return []
    said = []
    delivered = deliver(store, OTHERS_DELIVER if resumed else 0.0)
    if delivered:
        said.append(f"{delivered} results that waited on disk were delivered to the store.")
    said += [
        f"{count} results wait in {store.tracking.spool} for {name or 'an unknown store'}; "
        "a command with that store delivers them."
        for name, count in waiting_elsewhere(store).items()
    ]
    closed = close_abandoned(store)
    if closed:
        said.append(
            f"{len(closed)} runs whose process is gone were still open; they are KILLED now."
        )
    return said


def close_abandoned(store: Store) -> list[str]:
    """Close as KILLED every open run whose holder is gone; return their ids.

    What lives on this or another machine is never touched, nor what waits for delivery.
    """
    if store.mode == "read":
        return []
    lock = filelock.FileLock(store.tracking.locks / "close.lock")
    try:
        store.tracking.locks.mkdir(exist_ok=True)
        lock.acquire(timeout=OTHERS_CLOSE)
    except filelock.Timeout:
        return []  # another command is at it
    except (OSError, NotImplementedError):  # where nothing can be locked, `_persistently` is left
        return _close_abandoned(store)
    try:
        return _close_abandoned(store)
    finally:
        lock.release()


def _close_abandoned(store: Store) -> list[str]:
    delivering = {entry.delivery for _, entry in waiting(store)}
    children: dict[str, list[Run]] = defaultdict(list)
    parents: dict[str, Run] = {}
    closed: list[str] = []
    for run in read.search(store, "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        if tags.get("sweep.role") == "sweep":
            parents[tags.get("sweep.id", "")] = run
        elif tags.get("sweep.role") == "run":
            children[tags.get("sweep.id", "")].append(run)
    for sweep_id, runs in children.items():
        if is_claimed(store.tracking, sweep_id):
            continue  # its driver may be gone, and what records for it is not
        leases = _sweep_leases(store, sweep_id, parents) if sweep_id else []
        plan = None
        for run in runs:
            waits = run.data.tags.get("sweep.delivery") in delivering
            if waits or not _is_abandoned(run, leases):
                continue
            plan = _cells(store, sweep_id) if plan is None else plan
            if _persistently(store, run, plan):
                closed.append(run.info.run_id)
    for sweep_id, run in parents.items():
        left = [child for child in children[sweep_id] if child.info.run_id not in closed]
        leases = leases_of(run.data.tags)
        if is_claimed(store.tracking, sweep_id):
            continue
        if leases and not left and all(is_gone(holder, heard) for holder, heard in leases):
            if _persistently(store, run, {}):
                closed.append(run.info.run_id)
    return closed


def _persistently(
    store: Store, run: Run, plan: Mapping[tuple[str, str], Mapping[str, Any]]
) -> bool:
    """Close a run; return whether it was still open.

    A client of the same server may close it, too: then one of the two is refused.
    """
    for pause in (0.2, 1.0, None):
        now = store.call(partial(store.client.get_run, run.info.run_id))
        if now.info.status != "RUNNING":
            return False
        try:
            _close(store, now, plan)
            return True
        except UnreachableError:
            raise
        except StoreError:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _is_abandoned(run: Run, leases: list[tuple[Holder, float]]) -> bool:
    alone = leases_of(run.data.tags)
    if alone:
        return all(is_gone(holder, heard) for holder, heard in alone)
    holder = Holder.from_json(run.data.tags.get("sweep.holder", ""))
    if holder is None:
        return False  # not one of ours
    heard = max([run.info.start_time / 1000, *(time for who, time in leases if who == holder)])
    return is_gone(holder, heard)


def _sweep_leases(
    store: Store, sweep_id: str, parents: Mapping[str, Run]
) -> list[tuple[Holder, float]]:
    if sweep_id in parents:
        return leases_of(parents[sweep_id].data.tags)
    if not is_plain_id(sweep_id):
        return []
    condition = f"{read.SWEEPS} and tags.`sweep.id` = '{sweep_id}'"
    return [lease for run in read.search(store, condition) for lease in leases_of(run.data.tags)]


def _cells(store: Store, sweep_id: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the cells of the sweep's plan: an abandoned run has no params and no files yet."""
    if not is_plain_id(sweep_id):
        return {}
    for run in read.search(store, f"{read.SWEEPS} and tags.`sweep.id` = '{sweep_id}'"):
        content = store.artifacts.read(run.info.run_id, "plan.json")
        cells = json.loads(content).get("cells", ()) if content else ()
        return {(str(cell.get("name")), str(cell.get("signature"))): cell for cell in cells}
    return {}


def _close(store: Store, run: Run, plan: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    tags = run.data.tags
    cell = plan.get((run.info.run_name, tags.get("sweep.signature", "")), {})
    params = [
        Param(entity_name(key), short(value))
        for key, value in (cell.get("params") or {}).items()
        if key not in run.data.params
    ]
    run_id = run.info.run_id
    if cell.get("config"):
        with spool.staging(store) as folder:
            (folder / CONFIG).write_bytes(config_bytes(cell["config"]))
            store.call(lambda: store.artifacts.put(run_id, folder))
    outcome = [RunTag("sweep.outcome", "interrupted")]
    store.call(lambda: store.client.log_batch(run_id, params=params[:100], tags=outcome))
    end = max(run.info.start_time, time.time_ns() // 1_000_000)
    store.call(lambda: store.client.set_terminated(run_id, "KILLED", end))
