"""Write runs and sweeps to MLflow; the status is set last.

A run takes three requests: creation, one batch with all values, and status, before which its files
are in place. Every step may be repeated: files are replaced, and points with equal time and value
are stored once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Metric, Param, RunTag

from sweep.errors import RunGoneError, StoreBusyError
from sweep.tracking import read, results
from sweep.tracking.entities import (
    CURVES,
    Point,
    curve_points,
    entity_name,
    is_plain_id,
    short,
    short_lines,
    source_tags,
)
from sweep.tracking.results import RunRecord
from sweep.tracking.store import Store
from sweep.tracking.stored import SUPERSEDED, StoredRun, StoredSweep
from sweep.training.curve import CurveSlice, charted

NOTE_LENGTH = 7500

REQUEST = 1000
"""MLflow's limit of entries per batch, of them 100 params and 100 tags."""


def create_run(store: Store, record: RunRecord, more: Mapping[str, str] = {}) -> str:
    """Create a run with status RUNNING and return its id; `more` are further tags."""
    name = short(record.name, 250) or "run"
    return _create(store, record.start_time, {**record.tags, **more}, name)


def _create(store: Store, start_time: int, tags: Mapping[str, str], name: str) -> str:
    texts = {entity_name(key): short(value) for key, value in tags.items()}
    create = partial(store.client.create_run, store.experiment_id, start_time, texts, name)
    run = store.call(create)
    store.artifacts.remember(run)
    return str(run.info.run_id)


def find(store: Store, record: RunRecord) -> tuple[str | None, bool]:
    """Return the id of a grid point's run and whether it is finished; the id is None without one.

    A finished run is preferred, else the one of the same attempt is returned.
    """
    sweep_id, signature = record.sweep_id, record.tags.get("sweep.signature", "")
    if not is_plain_id(signature if sweep_id is None else sweep_id):
        return None, False
    if sweep_id is None:
        same = f"tags.`sweep.signature` = '{signature}'"
        condition = f"{same} and attributes.start_time = {record.start_time}"
    else:
        condition = f"tags.`sweep.id` = '{sweep_id}' and tags.`sweep.cell` = '{record.cell}'"
    attempt = None
    for run in read.search(store, condition):
        run_id, tags = str(run.info.run_id), run.data.tags
        if tags.get("sweep.id") != sweep_id or SUPERSEDED in tags:
            continue
        if run.info.status == "FINISHED" and store.artifacts.is_whole(run_id):
            return run_id, True
        if run.info.start_time == record.start_time:
            attempt = run_id
    return attempt, False


def store_result(store: Store, path: Path, record: RunRecord, run_id: str | None) -> str:
    """Store a result file, its status last, and remove it; return the run's id.

    `run_id` is None if the run is yet to be created. Raises RunGoneError if the run was deleted,
    StoreError if the disk is full or the server does not answer or refuses it. The result file
    stays then.
    """
    outcome = record.end_tags
    try:
        if run_id is None:
            run_id, outcome = create_run(store, record, outcome), {}
        known = run_id
        _log(store, known, record, outcome)  # first: it fails if the run was deleted
        files = path / results.FILES
        if files.is_dir():
            store.call(lambda: store.artifacts.put(known, files))
        end = max(record.start_time, record.end_time)
        store.call(lambda: store.client.set_terminated(known, record.status, end))
    except RunGoneError as error:
        store.check_experiment()
        raise RunGoneError(
            f"Run {record.name} was deleted while it was written; its result lies in {path}, and "
            f"resume stores it; {store.restore_command(run_id or 'ID')} brings back the run."
        ) from error
    results.remove(path)
    return known


def _log(store: Store, run_id: str, record: RunRecord, texts: Mapping[str, str]) -> None:
    """Write metrics, params and tags in one batch, or in several if they exceed the limit."""
    metrics = _metrics(record.metrics, record.start_time, record.end_time)
    params = [Param(entity_name(key), short(text)) for key, text in record.params.items()]
    tags = [RunTag(key, text) for key, text in texts.items()]
    while metrics or params or tags:
        part = params[:100], tags[:100]
        room = REQUEST - len(part[0]) - len(part[1])
        store.call(partial(store.client.log_batch, run_id, metrics[:room], *part))
        metrics, params, tags = metrics[room:], params[100:], tags[100:]


def _metrics(points: Iterable[Point], start_time: int, end_time: int) -> list[Metric]:
    """Return points as MLflow metrics.

    Curve points have the run's start time, so that those logged during training and at the end
    are equal.
    """
    return [
        Metric(p.key, p.value, start_time if p.key in CURVES else end_time, p.step) for p in points
    ]


def log_curve(store: Store, run_id: str, start_time: int, part: CurveSlice) -> None:
    """Log those points of a training run's curve that its final chart will have."""
    if len(part.steps):
        chosen = np.flatnonzero(np.isin(part.steps, np.append(0, charted(int(part.steps[-1])))))
        points = curve_points(part.steps, part.errors, part.validation, chosen)
        metrics = _metrics(points, start_time, start_time)
        store.call(lambda: store.client.log_batch(run_id, metrics=metrics))


def start_sweep(
    store: Store, sweep_id: str, plan: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    """Create a sweep's parent run with its plan, before its runs; return the run's id."""
    ours = {
        "sweep.role": "sweep",
        "sweep.id": sweep_id,
        "sweep.sequence": read.next_sequence(store),
        **source_tags(),
    }
    run_id = _create(store, _now(), {**tags, **ours}, sweep_id)
    write_plan(store, run_id, plan)
    return run_id


def check_same_cells(store: Store, sweep_id: str, plan: Mapping[str, Any]) -> None:
    """Raise StoreBusyError if another command added grid points after the plan was read."""
    stored = read.find_sweep(store, sweep_id).plan().get("cells", ())
    ours = [cell["config"] for cell in plan["cells"][: len(stored)]]
    if [cell["config"] for cell in stored] != ours:
        raise StoreBusyError(
            f"Sweep {sweep_id} got other cells from another command meanwhile; run the command "
            "again."
        )


def write_plan(store: Store, parent_run_id: str, plan: Mapping[str, Any]) -> None:
    """Write or replace a sweep's ``plan.json``, number of runs, name, tags and note."""
    text = json.dumps(plan, allow_nan=False, ensure_ascii=False)
    files = {"plan.json": text.encode("utf-8", "backslashreplace")}
    store.call(lambda: store.artifacts.copy(parent_run_id, files))
    about = plan.get("about", {})
    tags = {entity_name(key): short(value) for key, value in about.get("tags", {}).items()}
    if "name" in about:
        tags[read.NAME] = about["name"]
    totals = {"runs_total": float(len(plan.get("cells", ())))}
    _describe(store, parent_run_id, totals, tags, about.get("note"))


def finish_sweep(
    store: Store,
    parent_run_id: str,
    status: str,
    totals: Mapping[str, float],
    note: str | None = None,
    report_folder: Path | None = None,
) -> None:
    """Write a sweep's metrics, note and report, then its status.

    `status` is FINISHED, FAILED or KILLED, `note` is Markdown for MLflow's UI. The files of
    `report_folder` become the artifacts ``report/…``.
    """
    if report_folder is not None:
        files = {
            f"report/{path.relative_to(report_folder).as_posix()}": path.read_bytes()
            for path in sorted(report_folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")  # being written by another command
        }
        store.call(lambda: store.artifacts.copy(parent_run_id, files))
    _describe(store, parent_run_id, totals, {}, note or None)
    store.call(lambda: store.client.set_terminated(parent_run_id, status))


def _describe(
    store: Store,
    run_id: str,
    totals: Mapping[str, float],
    tags: dict[str, str],
    note: str | None,
) -> None:
    if note is not None:
        tags["mlflow.note.content"] = short_lines(note, NOTE_LENGTH)
    metrics = [Metric(key, value, _now(), 0) for key, value in totals.items()]
    texts = [RunTag(key, text) for key, text in tags.items()]
    store.call(lambda: store.client.log_batch(run_id, metrics=metrics, tags=texts))


def deduplicate_runs(store: Store, sweep: StoredSweep) -> list[StoredRun]:
    """Return a sweep's runs, one per grid point, and tag the other attempts as superseded."""
    every = read.sweep_runs(store, sweep.sweep_id, every=True)
    runs = read.counting(every)
    kept = {run.cell: run.run_id for run in runs}
    for run in every:
        other = run.run_id != kept[run.cell]
        if other and SUPERSEDED not in run.tags and run.status != "RUNNING":
            tag = partial(store.client.set_tag, run.run_id, SUPERSEDED, kept[run.cell])
            store.call(tag)
    return runs


def _now() -> int:
    return time.time_ns() // 1_000_000
