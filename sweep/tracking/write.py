"""Write a sweep and its runs. The one place that sets a run's status and outcome.

A run has three requests: its creation when its training starts, one batch with all that it
has to say, and its status, last. Its files are in place before the batch.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, RunTag

from sweep.tracking import provenance, spool
from sweep.tracking.artifacts import write_whole
from sweep.tracking.entry import Entry
from sweep.tracking.files import CONFIG, TRACEBACK, config_bytes, result_files
from sweep.tracking.holder import me
from sweep.tracking.metrics import Point, run_metrics
from sweep.tracking.patience import UnreachableError
from sweep.tracking.store import Store
from sweep.tracking.texts import entity_name, short, short_lines
from sweep.training import RunResult

__all__ = [
    "StartedRun",
    "fail",
    "finish_sweep",
    "kill",
    "kill_running",
    "record",
    "start_run",
    "start_sweep",
]

STATUS = {
    "completed": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
"""Outcome -> MLflow's status."""

NOTE_LENGTH = 7500


@dataclass(frozen=True)
class StartedRun:
    """A run that this process has started and not ended.

    Attributes
    ----------
    run_id
        None while the store could not be reached.
    clock
        The monotonic clock at the start: the wall clock may be set meanwhile.
    """

    run_id: str | None
    sweep_id: str | None
    delivery: str
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    start_time: int
    clock: float

    def entry(self, outcome: str, metrics: list[Point] | None = None) -> Entry:
        """Return the end of this run, now."""
        return Entry(
            delivery=self.delivery,
            run_id=self.run_id,
            sweep_id=self.sweep_id,
            name=self.name,
            params=self.params,
            tags={**self.tags, "sweep.outcome": outcome},
            metrics=tuple(metrics or ()),
            status=STATUS[outcome],
            start_time=self.start_time,
            end_time=self.start_time + round((time.monotonic() - self.clock) * 1000),
        )


def start_run(
    store: Store,
    *,
    name: str,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    sweep_id: str | None = None,
    parent_run_id: str | None = None,
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
    try:
        run_id = spool.create(store, run.entry("interrupted"), search=False)
    except UnreachableError as error:
        store.say(f"{error} The run starts all the same; its result will wait on disk.")
        store.started[f"waiting-{attempt}"] = run
        return f"waiting-{attempt}"
    store.started[run_id] = StartedRun(**{**vars(run), "run_id": run_id})
    return run_id


def record(store: Store, run_id: str, result: RunResult, config: Mapping[str, Any]) -> bool:
    """Store a result: files, then one batch of metrics, params and tags, then the status.

    Returns
    -------
    Whether the store has it. False: the server does not answer, and the result waits on
    disk for the next `spool.deliver`.

    Raises
    ------
    StoreError
        The disk is full, or the store refused; what was written before stays on disk.
    """
    entry = _started(store, run_id).entry(result.outcome, run_metrics(result))
    return _end(store, run_id, entry, result_files(result, config))


def fail(
    store: Store, run_id: str, traceback_text: str, config: Mapping[str, Any] | None = None
) -> bool:
    """Store that a run failed, with its traceback as an artifact; see `record`."""
    files = {TRACEBACK: traceback_text.encode("utf-8", "backslashreplace")}
    if config is not None:
        files[CONFIG] = config_bytes(config)
    return _end(store, run_id, _started(store, run_id).entry("failed"), files)


def kill(
    store: Store,
    run_id: str,
    result: RunResult | None = None,
    config: Mapping[str, Any] | None = None,
) -> bool:
    """Store that a run was interrupted, with the finite curve that it had; see `record`."""
    if result is not None:
        metrics = run_metrics(result)
        files = result_files(result, config or {})
        return _end(store, run_id, _started(store, run_id).entry("interrupted", metrics), files)
    files = {CONFIG: config_bytes(config)} if config is not None else {}
    return _end(store, run_id, _started(store, run_id).entry("interrupted"), files)


def kill_running(store: Store, sweep_id: str | None = None) -> int:
    """End as KILLED what this process has started of a sweep and not ended; return how many."""
    left = [key for key, run in store.started.items() if run.sweep_id == sweep_id]
    for run_id in left:
        if store.started[run_id].run_id is None:
            del store.started[run_id]  # the store never heard of it
        else:
            kill(store, run_id)
    return len(left)


def start_sweep(
    store: Store, sweep_id: str, plan: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    """Create a sweep's parent run with its plan, before any of its runs; return the run's id.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    from sweep.tracking.read import next_sequence

    ours = {
        "sweep.role": "sweep",
        "sweep.id": sweep_id,
        "sweep.sequence": next_sequence(store),
        "sweep.lease": spool.lease(),
        **provenance.tags(),
    }
    all_tags = {entity_name(key): short(value) for key, value in {**tags, **ours}.items()}
    run = store.call(
        lambda: store.client.create_run(
            store.experiment_id, start_time=_now(), tags=all_tags, run_name=sweep_id
        )
    )
    run_id: str = run.info.run_id
    write_plan(store, run_id, plan)
    total = Metric("runs_total", float(len(plan.get("cells", ()))), _now(), 0)
    store.call(lambda: store.client.log_batch(run_id, metrics=[total]))
    return run_id


def write_plan(store: Store, parent_run_id: str, plan: Mapping[str, Any]) -> None:
    """Write or replace a sweep's ``plan.json``."""
    content = json.dumps(plan, allow_nan=False, ensure_ascii=False).encode("utf-8")
    with spool.staging(store) as folder:
        write_whole(folder / "plan.json", content)
        store.call(lambda: store.artifacts.put(parent_run_id, folder))


def finish_sweep(
    store: Store,
    parent_run_id: str,
    *,
    sweep_id: str,
    status: str,
    note: str | None = None,
    report_folder: Path | None = None,
) -> None:
    """Write a sweep's metrics, note and report, and its status last.

    Parameters
    ----------
    status
        FINISHED, FAILED or KILLED.
    note
        Markdown that MLflow's UI shows beside the run.
    report_folder
        Its files become the artifacts ``report/…``; it is left as it is.
    """
    from sweep.tracking.read import sweep_runs

    now = _now()
    metrics = [
        Metric(key, value, now, 0) for key, value in _totals(sweep_runs(store, sweep_id)).items()
    ]
    tags = []
    if note:
        tags.append(RunTag("mlflow.note.content", short_lines(note, NOTE_LENGTH)))
    if report_folder is not None:
        with spool.staging(store, copy_of=report_folder) as folder:
            store.call(lambda: store.artifacts.put(parent_run_id, folder, "report"))
    store.call(lambda: store.client.log_batch(parent_run_id, metrics=metrics, tags=tags))
    store.call(lambda: store.client.set_terminated(parent_run_id, status))


def _totals(runs: list[Any]) -> dict[str, float]:
    finals = [run.metrics["final_error"] for run in runs if "final_error" in run.metrics]
    totals = {
        "runs_finished": float(sum(run.status == "FINISHED" for run in runs)),
        "runs_failed": float(sum(run.status == "FAILED" for run in runs)),
        "runs_diverged": float(sum(run.outcome == "diverged" for run in runs)),
    }
    return totals | ({"best_final_error": min(finals)} if finals else {})


def _end(store: Store, run_id: str, entry: Entry, files: Mapping[str, bytes]) -> bool:
    folder = spool.save(store, entry, files)
    store.started.pop(run_id, None)  # from here on the spool answers for it
    return spool.hand_over(store, folder, entry)


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
