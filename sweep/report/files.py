"""The CSV files of a report, and atomic file writing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from sweep.report.curves import Frame
from sweep.report.data import POINT, SweepData, outcome_of
from sweep.report.formats import natural

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def runs_frame(data: SweepData) -> Frame:
    """Return one row for each stored run, one column for each param and metric.

    Columns: run_id, name, status, outcome, params in the order of the first runs, metrics by name.
    Ambiguous names become params.NAME and metrics.NAME.
    """
    runs = data.stored
    fixed = [(run.run_id, run.name, run.status, outcome_of(run)) for run in runs]
    frame = pd.DataFrame(fixed, columns=["run_id", "name", "status", "outcome"], dtype=object)
    params = pd.DataFrame([run.params for run in runs], frame.index, dtype=object)
    metrics = pd.DataFrame([run.metrics for run in runs], frame.index)
    names = sorted({"diverged_at", "stalled_at", *metrics.columns}, key=natural)
    doubled = {name for name in params if name in frame or name in names}
    clash = doubled | {name for name in names if name in frame}
    return pd.concat(
        [
            frame,
            params.rename(columns={name: f"params.{name}" for name in doubled}),
            metrics.reindex(columns=names).rename(columns={n: f"metrics.{n}" for n in clash}),
        ],
        axis=1,
    )


def final_error_frame(data: SweepData) -> Frame:
    """Return the final errors: rows are lr and the other keys, columns the iteration counts.

    Each value is the final error of one run, never an aggregate; NaN if there is none. Rows are in
    plan order of the other keys (including repeats), then sorted by lr.
    """
    others = [key for key in data.swept if key not in ("lr", "iters")]
    texts = data.values.loc[data.cells.index]
    rank = texts.groupby(others, sort=False).ngroup() if others else 0
    return wide(data, data.cells.assign(rank=rank), data.cells.error, others)


def wide(data: SweepData, rows: Frame, shown: Any, others: Iterable[str]) -> Frame:
    """Pivot `shown`: rows are lr and the other keys, columns the iteration counts."""
    texts = [data.values.loc[rows.index, key] for key in others]
    index = pd.MultiIndex.from_arrays([rows["rank"], rows.lr, *texts, rows.iters])
    table = pd.Series(list(shown), index, dtype=object).unstack()
    table.columns = pd.Index(map(str, table.columns))
    return table.rename_axis(["", "lr", *others]).reset_index().iloc[:, 1:]


def repeats_frame(data: SweepData) -> Frame:
    """Return one row for each grid point: keys, number of runs, and aggregates of each metric.

    Columns: the keys, ``runs``, then for each metric ``_mean``, ``_sd`` (of the sample),
    ``_median``, ``_min``, ``_max`` and ``_n`` (completed runs that have it).
    """
    cells = data.cells[data.cells.run.notna()]
    done = data.metrics.loc[cells.index[cells.outcome == "completed"]]
    keys = cells[POINT]
    found = done.join(keys).groupby(POINT, sort=False)[sorted(done.columns, key=natural)]
    table = found.agg(["mean", "std", "median", "min", "max", "count"])
    ends = {"std": "sd", "count": "n"}
    table.columns = pd.Index([f"{name}_{ends.get(what, what)}" for name, what in table.columns])
    texts = data.values.loc[data.grid.index, list(data.keys)]
    counts = keys.groupby(POINT, sort=False).size().rename("runs")
    points = data.grid[POINT].join(counts, on=POINT).join(table, on=POINT)
    return pd.concat([texts, points.drop(columns=POINT)], axis=1).reset_index(drop=True)


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV: floats by repr, no text that a spreadsheet would execute."""
    shown = frame.astype(object).map(lambda cell: _safe(cell) if isinstance(cell, str) else cell)
    return shown.rename(columns=_safe).to_csv(index=False, lineterminator="\n")


def _safe(text: str) -> str:
    """Prefix text that a spreadsheet would read as a formula with an apostrophe."""
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def write(path: Path, content: str | bytes) -> Path:
    """Write a file atomically (temporary name, then rename) and return `path`."""
    if isinstance(content, str):
        content = content.encode("utf-8", errors="backslashreplace")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
