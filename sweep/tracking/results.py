"""Result files: a finished run is complete on disk before the recorder stores it.

``results/<cell>/`` below the folder of a sweep or single run has the run's artifacts in
``artifacts/`` and all else in ``run.json``. It is written under a temporary name and renamed. It
is removed once its run is stored; until then `resume` finds it. Files are not synced, for speed:
``run.json`` has their sizes, so that a result file left incomplete by a power cut is recognised.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.tracking.artifacts import (
    CONFIG,
    CURVE,
    LOG,
    PREPARATION,
    THRESHOLDS,
    TRACEBACK,
    WEIGHTS,
    WEIGHTS_LARGE,
    config_bytes,
    curve_bytes,
    json_bytes,
    named_curves,
    read_curve,
    read_thresholds,
    read_weights,
    weights_file,
)
from sweep.tracking.entities import (
    NOT_FINITE,
    NOTE,
    NOTE_LENGTH,
    ORIGINAL,
    Point,
    chart_points,
    curves_of,
    metric_tags,
    run_metrics,
    short_lines,
)
from sweep.tracking.settings import translated
from sweep.training.history import RunResult
from sweep.training.surroundings import Failure

if TYPE_CHECKING:
    from sweep.tracking.read import StoredRun

FILES = "artifacts"
RECORD = "run.json"

STATUS = {
    "completed": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}


def run_files(
    outcome: RunResult | Failure | None,
    config: Mapping[str, Any],
    preparation: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Return the artifacts of a run (name -> content).

    An outcome of None is a run that was stopped before it had a result; `preparation` is None for
    unprepared data.
    """
    files = {CONFIG: config_bytes(config)}
    if outcome is None:
        return files
    failure = outcome if isinstance(outcome, Failure) else outcome.failure
    texts = {TRACEBACK: failure and (failure.traceback or failure.sentence), LOG: outcome.printed}
    for name, text in texts.items():
        if text:
            files[name] = text.encode("utf-8", "backslashreplace")
    result = outcome.trained if isinstance(outcome, Failure) else outcome
    if result is not None:
        name, files[name] = weights_file(result)
        files[THRESHOLDS] = json_bytes({f"1e-{k}": at for k, at in result.thresholds.items()})
        files[CURVE] = curve_bytes(result.steps, result.errors, result.validation, result.curves)
        if preparation is not None:
            files[PREPARATION] = json_bytes(preparation)
    return files


@dataclass(frozen=True)
class RunRecord:
    """Everything to be stored of a run except its artifacts."""

    store: str  # `Tracking.name`: several stores may share a folder of outputs
    cell: int  # index of the grid point in the plan; 0 for a single run
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    start_time: int  # milliseconds since the epoch; with `cell` it identifies an attempt
    end_time: int = 0
    outcome: str = "interrupted"
    metrics: tuple[Point, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of each artifact

    @property
    def sweep_id(self) -> str | None:
        """The sweep's id; None for a single run."""
        return self.tags.get("sweep.id")

    @property
    def end_tags(self) -> dict[str, str]:
        """The tags known only at the end of the run, including its outcome."""
        own = (ORIGINAL, NOT_FINITE, NOTE)
        found = {key: text for key, text in self.tags.items() if key.startswith(own)}
        return {**found, "sweep.outcome": self.outcome}

    @property
    def status(self) -> str:
        """MLflow's status: FINISHED, FAILED or KILLED."""
        return STATUS[self.outcome]


def folder_of(outputs: Path, run_or_sweep: str) -> Path:
    """Return the folder of result files of ``sweeps/<id>`` or ``runs/<id>``."""
    return outputs / run_or_sweep / "results"


def ended(record: RunRecord, outcome: RunResult | Failure | None, seconds: float) -> RunRecord:
    """Return the record of a run that ended `seconds` after its start (see `run_files`)."""
    record = replace(record, end_time=record.start_time + round(1000 * seconds))
    result = outcome.trained if isinstance(outcome, Failure) else outcome
    if result is not None:
        tags, metrics = {**record.tags, **metric_tags(result)}, tuple(run_metrics(result))
        record = replace(record, outcome=result.outcome, metrics=metrics, tags=tags)
    if isinstance(outcome, Failure):
        record = replace(record, outcome="failed")
    if NOTE not in record.tags:
        return record
    return replace(record, tags={**record.tags, NOTE: _description(record, outcome)})


def _description(record: RunRecord, outcome: RunResult | Failure | None) -> str:
    """Return what a single run trained, its end, and the command in its note, as Markdown."""
    trained, end = ", ".join(f"{k}={v}" for k, v in record.params.items()), record.outcome
    if isinstance(outcome, Failure):
        end = f"failed: {outcome.sentence}"
    elif outcome is not None and outcome.final_error is not None:
        end += f", final error {outcome.final_error!r}"
    lines = trained, end, record.tags[NOTE]
    text = "\n\n".join(f"    {' '.join(line.split())}" for line in lines)  # shown unchanged
    return short_lines(text, NOTE_LENGTH)


def copied(
    record: RunRecord, run: StoredRun, config: Mapping[str, Any]
) -> tuple[RunRecord, dict[str, bytes]] | None:
    """Return a record and artifacts that repeat a finished run; None if its files are damaged."""
    names = (CURVE, LOG, PREPARATION, THRESHOLDS, WEIGHTS, WEIGHTS_LARGE)
    try:
        files = {name: content for name in names if (content := run.file(name))}
        weights = WEIGHTS if WEIGHTS in files else WEIGHTS_LARGE
        columns = read_curve(files[CURVE])
        steps, errors, others = columns["step"], columns["error"], columns.get("validation_error")
        curves = curves_of(steps, errors, others, named_curves(columns))
        drawn = chart_points(curves, run.metrics.get("best_step"))
        whole = read_weights(files[weights], weights) and read_thresholds(files[THRESHOLDS])
    except (KeyError, OSError, ValueError):
        return None
    if not len(steps) or not whole:
        return None
    charts = {point.key for point in drawn}
    single = [Point(key, value) for key, value in run.metrics.items() if key not in charts]
    own = {key: text for key, text in run.tags.items() if key.startswith((ORIGINAL, NOT_FINITE))}
    tags = {**record.tags, **own, "sweep.reused_from": run.run_id}
    outcome, metrics = run.outcome or "completed", (*drawn, *single)
    new = replace(record, outcome=outcome, metrics=metrics, tags=tags, end_time=record.start_time)
    return new, {CONFIG: config_bytes(config), **files}


def write(folder: Path, record: RunRecord, files: Mapping[str, bytes]) -> Path:
    """Write a complete result file or none, replacing an earlier attempt's; return its path.

    Raises StoreError if the disk is full or cannot be written.
    """
    path, part = folder / str(record.cell), folder / f".{record.cell}.{os.getpid()}.part"
    sizes = {name: len(content) for name, content in files.items()}
    values = vars(record) | {"sizes": sizes}  # asdict would copy each point: 3 ms a run
    try:
        with suppress(FileNotFoundError):  # another job has just removed the empty folder
            (part / FILES).mkdir(parents=True)
        (part / FILES).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (part / FILES / name).write_bytes(content)
        (part / RECORD).write_text(json.dumps(values, allow_nan=False), encoding="ascii")
        remove(path)
        os.rename(part, path)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise translated(error, str(folder)) from error
    return path


def read(path: Path) -> RunRecord | None:
    """Return the record of a result file, or None if incomplete.

    Its artifacts may be absent: they may be in the store already.
    """
    try:
        values: dict[str, Any] = json.loads((path / RECORD).read_bytes())
        points = tuple(Point(str(k), float(v), int(s)) for k, v, s in values.pop("metrics"))
        record = RunRecord(metrics=points, **values)
        files = path / FILES
        if files.is_dir():
            found = {file.name: file.stat().st_size for file in files.iterdir()}
            if found != record.sizes:
                return None
        return record if record.outcome in STATUS else None
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return None


def remove(path: Path) -> None:
    """Remove a result file, its record first."""
    (path / RECORD).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def remove_empty(folder: Path) -> None:
    """Remove a folder of result files if nothing is in it, complete or being written."""
    with suppress(OSError):
        folder.rmdir()
