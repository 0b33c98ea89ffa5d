"""Write a sweep's parent run: its plan before the first run, its totals and report at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, RunTag

from sweep.errors import StoreBusyError
from sweep.tracking import provenance, read, spool
from sweep.tracking.artifacts import write_whole
from sweep.tracking.deliver import await_delivery, supersede
from sweep.tracking.store import Store
from sweep.tracking.stored import StoredRun, StoredSweep
from sweep.tracking.texts import entity_name, short, short_lines

__all__ = [
    "check_same_cells",
    "finish_sweep",
    "gather",
    "reopen_sweep",
    "start_sweep",
    "totals_of",
    "write_plan",
]

NOTE_LENGTH = 7500


def start_sweep(
    store: Store, sweep_id: str, plan: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    """Create a sweep's parent run with its plan, before any of its runs; return the run's id.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    ours = {
        "sweep.role": "sweep",
        "sweep.id": sweep_id,
        "sweep.sequence": read.next_sequence(store),
        "sweep.lease": spool.lease(),
        **provenance.tags(),
    }
    all_tags = {entity_name(key): short(value) for key, value in {**tags, **ours}.items()}
    run = store.call(
        lambda: store.client.create_run(
            store.experiment_id, start_time=_now(), tags=all_tags, run_name=sweep_id
        )
    )
    store.remember(run)
    run_id: str = run.info.run_id
    write_plan(store, run_id, plan)
    return run_id


def reopen_sweep(store: Store, parent_run_id: str) -> None:
    """Set a sweep's parent run RUNNING again, held by this process: it is resumed."""
    store.call(lambda: store.client.set_tag(parent_run_id, "sweep.lease", spool.lease()))
    store.call(lambda: store.client.update_run(parent_run_id, status="RUNNING"))


def check_same_cells(store: Store, sweep_id: str, plan: Mapping[str, Any]) -> None:
    """Refuse a plan from which cells are missing that the stored one has.

    Raises
    ------
    StoreBusyError
        Another command added cells after this one had read the plan.
    """
    stored = read.find_sweep(store, sweep_id).plan().get("cells", ())
    ours = [cell["config"] for cell in plan["cells"][: len(stored)]]
    if [cell["config"] for cell in stored] != ours:
        raise StoreBusyError(
            f"Sweep {sweep_id} got other cells from another command meanwhile; run the command "
            "again."
        )


def write_plan(store: Store, parent_run_id: str, plan: Mapping[str, Any]) -> None:
    """Write or replace a sweep's ``plan.json``, how many runs it has, and what it is called."""
    content = json.dumps(plan, allow_nan=False, ensure_ascii=False).encode("utf-8")
    with spool.staging(store) as folder:
        write_whole(folder / "plan.json", content)
        store.call(lambda: store.artifacts.put(parent_run_id, folder))
    total = Metric("runs_total", float(len(plan.get("cells", ()))), _now(), 0)
    about = plan.get("about", {})
    tags = {entity_name(key): short(value) for key, value in about.get("tags", {}).items()}
    if "name" in about:
        tags[read.NAME] = about["name"]
    if "note" in about:
        tags["mlflow.note.content"] = short_lines(about["note"], NOTE_LENGTH)
    shown = [RunTag(key, text) for key, text in tags.items()]
    store.call(lambda: store.client.log_batch(parent_run_id, metrics=[total], tags=shown))


def finish_sweep(
    store: Store,
    parent_run_id: str,
    *,
    sweep_id: str,
    status: str,
    note: str | None = None,
    report_folder: Path | None = None,
    totals: Mapping[str, float] | None = None,
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
    totals
        The metrics; None where they are to be counted from the runs in the store.

    Raises
    ------
    StoreError
        Results still wait for a server that does not answer; `resume` delivers them.
    """
    await_delivery(store, hurry=status == "KILLED")
    if totals is None:
        totals = totals_of(gather(store, read.find_sweep(store, sweep_id)))
    metrics = [Metric(key, value, _now(), 0) for key, value in totals.items()]
    tags = []
    if note:
        tags.append(RunTag("mlflow.note.content", short_lines(note, NOTE_LENGTH)))
    if report_folder is not None:
        with spool.staging(store, copy_of=report_folder) as folder:
            store.call(lambda: store.artifacts.put(parent_run_id, folder, "report"))
    store.call(lambda: store.client.log_batch(parent_run_id, metrics=metrics, tags=tags))
    store.call(lambda: store.client.set_terminated(parent_run_id, status))


def gather(store: Store, sweep: StoredSweep) -> list[StoredRun]:
    """Return a sweep's runs that count, one for each cell, and tag the other attempts."""
    every = read.sweep_runs(store, sweep.sweep_id, every=True)
    runs = read.counting(every, sweep.plan().get("cells", ()))
    if len(every) > len(runs):
        supersede(store, every, runs)
    return runs


def totals_of(runs: Sequence[StoredRun]) -> dict[str, float]:
    """Return the metrics of a sweep, counted from its runs."""
    best = {
        f"best_{name}": min(run.metrics[name] for run in runs if name in run.metrics)
        for name in ("final_error", "final_error_log10")
        if any(name in run.metrics for run in runs)
    }
    totals = {
        "runs_finished": float(sum(run.status == "FINISHED" for run in runs)),
        "runs_failed": float(sum(run.status == "FAILED" for run in runs)),
        "runs_diverged": float(sum(run.outcome == "diverged" for run in runs)),
    }
    return totals | best


def _now() -> int:
    return time.time_ns() // 1_000_000
