"""Leases: who holds what is open, and what to do when its holder is gone.

Each run says by a tag which process holds it, and each sweep by one lease a process when that
process was last heard of. On this machine a holder is alive as long as its process is; of
another machine nothing is known but the lease, so what it holds is left alone until 15
minutes have passed without a renewal. A renewal comes every minute.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from mlflow.entities import Param, Run, RunTag

from sweep.errors import StoreError
from sweep.tracking import read, spool
from sweep.tracking.claims import busy, claimed, is_claimed
from sweep.tracking.deliver import EXPIRY, deliver, waiting, waiting_elsewhere
from sweep.tracking.files import CONFIG, config_bytes
from sweep.tracking.holder import Holder, me
from sweep.tracking.patience import patiently
from sweep.tracking.store import Store
from sweep.tracking.texts import entity_name, is_plain_id, short

__all__ = ["claim", "close_abandoned", "hold", "tend"]

RENEWAL = 60.0
LEASE = "sweep.lease"


@contextmanager
def hold(store: Store, run_id: str, *, beside: bool = False) -> Iterator[None]:
    """Renew this process's lease on a sweep's parent run, or on a single run, in the block.

    Parameters
    ----------
    beside
        Another process drives the sweep; this one, a job that a launcher started elsewhere,
        holds a lease of its own.
    """
    key = f"{LEASE}.{me().key}" if beside else LEASE
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEWAL):
            _renew(store, run_id, key)

    if beside:
        _renew(store, run_id, key)
    thread = threading.Thread(target=renew, name="sweep-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if beside:  # the process may be gone soon, and nobody on another machine could tell
            with suppress(StoreError):
                patiently(lambda: store.client.delete_tag(run_id, key), store.where, store.say)


def _renew(store: Store, run_id: str, key: str) -> None:
    try:
        patiently(
            lambda: store.client.set_tag(run_id, key, spool.lease()), store.where, lambda _: None
        )
    except StoreError:
        return  # the writer meets the same obstacle, and says so; a lease alone is no reason to


@contextmanager
def claim(store: Store, sweep_id: str, parent_run_id: str | None = None) -> Iterator[None]:
    """Be the only process that works on a sweep while the block runs.

    On a local store a file lock makes it so; with a server, whose clients share no disk, the
    lease of the sweep serves as well as it can.

    Parameters
    ----------
    parent_run_id
        The sweep's parent run; None for a sweep that is just being made.

    Raises
    ------
    StoreBusyError
        Another process works on it; the message says which.
    """
    with claimed(store.tracking, sweep_id, store.say):
        if parent_run_id is not None:
            _check_leases(store, sweep_id, parent_run_id)
        yield


def _check_leases(store: Store, sweep_id: str, parent_run_id: str) -> None:
    run = store.call(lambda: store.client.get_run(parent_run_id))
    if run.info.status != "RUNNING":
        return
    for holder, heard in _leases(run.data.tags):
        if holder != me() and not _is_gone(holder, heard):
            ago = max(0, round(time.time() - heard))
            raise busy(sweep_id, f"{holder.name} (last heard of {ago} s ago)")


def tend(store: Store) -> list[str]:
    """Bring the store in order: deliver what waits, close what was left open.

    Returns
    -------
    One sentence for each thing that was done. Every command that may write calls this.
    """
    if store.mode == "read":
        return []
    said = []
    delivered = deliver(store)
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
            if store.call(partial(store.client.get_run, run.info.run_id)).info.status != "RUNNING":
                continue  # it has ended meanwhile
            plan = _cells(store, sweep_id) if plan is None else plan
            _close(store, run, plan)
            closed.append(run.info.run_id)
    for sweep_id, run in parents.items():
        left = [child for child in children[sweep_id] if child.info.run_id not in closed]
        leases = _leases(run.data.tags)
        if is_claimed(store.tracking, sweep_id):
            continue
        if leases and not left and all(_is_gone(holder, heard) for holder, heard in leases):
            _close(store, run, {})
            closed.append(run.info.run_id)
    return closed


def _is_abandoned(run: Run, leases: list[tuple[Holder, float]]) -> bool:
    alone = _leases(run.data.tags)
    if alone:
        return all(_is_gone(holder, heard) for holder, heard in alone)
    holder = Holder.from_json(run.data.tags.get("sweep.holder", ""))
    if holder is None:
        return False  # not one of ours
    heard = max([run.info.start_time / 1000, *(time for who, time in leases if who == holder)])
    return _is_gone(holder, heard)


def _is_gone(holder: Holder, heard: float) -> bool:
    gone = holder.is_gone()
    return time.time() - heard > EXPIRY if gone is None else gone


def _leases(tags: Mapping[str, str]) -> list[tuple[Holder, float]]:
    found = []
    for key, text in tags.items():
        if key == LEASE or key.startswith(f"{LEASE}."):
            holder = Holder.from_json(text)
            if holder is not None:
                found.append((holder, _heard(text)))
    return found


def _heard(text: str) -> float:
    try:
        return float(json.loads(text)["time"])
    except (KeyError, TypeError, ValueError):
        return 0.0


def _sweep_leases(
    store: Store, sweep_id: str, parents: Mapping[str, Run]
) -> list[tuple[Holder, float]]:
    if sweep_id in parents:
        return _leases(parents[sweep_id].data.tags)
    if not is_plain_id(sweep_id):
        return []
    condition = f"{read.SWEEPS} and tags.`sweep.id` = '{sweep_id}'"
    return [lease for run in read.search(store, condition) for lease in _leases(run.data.tags)]


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
