"""Write a sweep and its runs. The one place that sets a run's status and outcome.

A run has three requests: its creation, when its training starts or soon after, one batch with all
that it has to say, and its status, last. Its files are in place before the batch.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from mlflow.entities import Metric

from sweep.tracking import provenance, spool
from sweep.tracking.deliver import deliver
from sweep.tracking.ending import Ending, ending_of, failure, interruption
from sweep.tracking.holder import me
from sweep.tracking.metrics import curve_points
from sweep.tracking.parent import finish_sweep, reopen_sweep, start_sweep, write_plan
from sweep.tracking.patience import UnreachableError
from sweep.tracking.started import StartedRun
from sweep.tracking.store import Store
from sweep.tracking.texts import entity_name, short
from sweep.training.curve import charted
from sweep.training.history import RunResult

__all__ = [
    "create_begun",
    "created",
    "end",
    "fail",
    "finish_sweep",
    "kill",
    "kill_running",
    "record",
    "reopen_sweep",
    "show",
    "start_run",
    "start_sweep",
    "write_plan",
]


def start_run(
    store: Store,
    *,
    name: str,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    sweep_id: str | None = None,
    parent_run_id: str | None = None,
    later: bool = False,
) -> str:
    """Create a run, status RUNNING, and return its id.

    Where a server does not answer, the id is one of our own: the run is created when the
    server is back, and its result waits on disk until then.

    Parameters
    ----------
    name
        From the swept axes.
    params
        Written when the run ends.
    tags
        ``sweep.signature`` and the others that the specification determines.
    sweep_id, parent_run_id
        The sweep that the run belongs to; None for a single run.
    later
        Leave the creation to `create_begun`, or to the run's end where that comes first.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    attempt = uuid.uuid4().hex
    signature = tags.get("sweep.signature", "")
    delivery = f"{sweep_id or 'single'}/{signature[:32]}/{attempt[:12]}"
    ours = {"sweep.role": "run", "sweep.delivery": delivery, **provenance.tags()}
    if sweep_id is not None and parent_run_id is not None:
        ours |= {"sweep.id": sweep_id, "mlflow.parentRunId": parent_run_id}
        ours["sweep.holder"] = me().to_json()
    else:
        ours["sweep.lease"] = spool.lease()
    run = StartedRun(
        run_id=None,
        sweep_id=sweep_id,
        delivery=delivery,
        name=short(name, 250) or "run",
        params={entity_name(key): short(value) for key, value in params.items()},
        tags={entity_name(key): short(value) for key, value in {**tags, **ours}.items()},
        start_time=_now(),
        clock=time.monotonic(),
    )
    key = f"{'begun' if later else 'waiting'}-{attempt}"
    store.started[key] = replace(run, asked=False)
    if later:
        return key
    known = _create(store, key)
    if known is None:
        return key
    store.started[known] = store.started.pop(key)
    return known


def create_begun(store: Store, after: float = 0.0) -> None:
    """Create what was begun `after` seconds ago or before, so that it is seen while it trains."""
    now = time.monotonic()
    for key, run in list(store.started.items()):
        if not run.asked and now - run.clock >= after:
            _create(store, key)


def created(store: Store, key: str) -> str | None:
    """Return the id of a begun run, created if need be; None where the server does not answer."""
    run: StartedRun = store.started[key]
    return run.run_id or (None if run.asked else _create(store, key))


def _create(store: Store, key: str) -> str | None:
    """Create a begun run and return its id; None where the server does not answer."""
    run: StartedRun = store.started[key]
    store.started[key] = replace(run, asked=True)
    try:
        run_id = spool.create(store, run.entry("interrupted"))
    except UnreachableError:  # the run starts all the same; its result waits on disk
        return None
    store.started[key] = replace(run, asked=True, run_id=run_id)
    return run_id


def record(store: Store, run_id: str, result: RunResult, config: Mapping[str, Any]) -> bool:
    """Store a result: files, then one batch of metrics, params and tags, then the status.

    A server's writers do it while the training goes on; `finish_sweep` waits for them.

    Returns
    -------
    False where the server does not answer: the result waits on disk for `deliver`.

    Raises
    ------
    StoreError
        The disk is full, or the store refused; what was written before stays on disk.
    """
    return end(store, run_id, ending_of(result, config)) is not None


def show(
    store: Store,
    run_id: str,
    steps: npt.NDArray[np.int64],
    errors: npt.NDArray[np.float64],
    validation: npt.NDArray[np.float64] | None = None,
) -> None:
    """Show a part of a long run's curve while it trains: those points that its chart will have.

    Parameters
    ----------
    steps, errors, validation
        What was trained since the last call, shape (n,) each.
    """
    run: StartedRun | None = store.started.get(run_id)
    if run is None or run.run_id is None or not len(steps):
        return
    chosen = np.flatnonzero(np.isin(steps, np.append(0, charted(int(steps[-1])))))
    points = curve_points(steps, errors, validation, chosen)
    new = [point for point in points if (point.key, point.step) not in run.shown]
    now, known = _now(), run.run_id
    metrics = [Metric(point.key, point.value, now, point.step) for point in new]
    try:
        store.call(lambda: store.client.log_batch(known, metrics=metrics))
    except UnreachableError:
        return  # the whole curve comes at the end
    shown = run.shown | {(point.key, point.step) for point in new}
    store.started[run_id] = replace(run, shown=shown)


def fail(
    store: Store, run_id: str, traceback_text: str, config: Mapping[str, Any] | None = None
) -> bool:
    """Store that a run failed, with its traceback as an artifact; see `record`."""
    return end(store, run_id, failure(traceback_text, config)) is not None


def kill(
    store: Store,
    run_id: str,
    result: RunResult | None = None,
    config: Mapping[str, Any] | None = None,
) -> bool:
    """Store that a run was interrupted, with the finite curve that it had; see `record`."""
    ending = interruption(config) if result is None else ending_of(result, config or {})
    return end(store, run_id, replace(ending, outcome="interrupted")) is not None


def kill_running(
    store: Store,
    sweep_id: str | None = None,
    configs: Mapping[str, Mapping[str, Any]] = {},
) -> int:
    """End as KILLED what this process has started of a sweep and not ended; return how many.

    Parameters
    ----------
    configs
        The resolved configuration of each run, by what `start_run` returned.
    """
    left = [key for key, run in store.started.items() if run.sweep_id == sweep_id]
    for run_id in left:
        run: StartedRun = store.started[run_id]
        if run.run_id is None and run.asked:
            del store.started[run_id]  # the store never heard of it
        else:
            kill(store, run_id, config=configs.get(run_id))
    return len(left)


def end(store: Store, run_id: str, ending: Ending) -> str | None:
    """Store the end of a run; see `record`.

    Returns
    -------
    The run's id in the store, empty where a writer is still about to create it; None where
    the result waits on disk.
    """
    run = _started(store, run_id)
    tags = {entity_name(key): short(value) for key, value in ending.tags.items()}
    entry = run.entry(ending.outcome, ending.metrics, tags)
    folder = spool.save(store, entry, ending.files)
    store.started.pop(run_id, None)  # from here on the spool answers for it
    hand_over = partial(spool.hand_over, store, folder, entry, search=run.asked)
    if store.writers is not None and entry.sweep_id is not None:
        store.writers.submit(folder, hand_over)
        return entry.run_id or ""
    known = hand_over()
    if known is None:
        store.waiting += 1
    elif store.waiting:  # the server is back
        deliver(store)
    elif entry.sweep_id is None:  # a sweep's runs are many: it tidies once
        spool.tidy(store)
    return known


def _started(store: Store, run_id: str) -> StartedRun:
    """Return what is known of a started run; of another process's, what the store knows."""
    known: StartedRun | None = store.started.get(run_id)
    if known is not None:
        return known
    run = store.call(lambda: store.client.get_run(run_id))
    tags = dict(run.data.tags)
    return StartedRun(
        run_id=run_id,
        sweep_id=tags.get("sweep.id"),
        delivery=tags.get("sweep.delivery", run_id),
        name=run.info.run_name,
        params=dict(run.data.params),
        tags=tags,
        start_time=run.info.start_time,
        clock=time.monotonic() - max(0.0, (_now() - run.info.start_time) / 1000),
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
