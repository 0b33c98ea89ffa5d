"""Tables: exact data frames for the files, short texts for people.

A frame keeps every number as the store has it; a `Table` is what terminal, Markdown and HTML
show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sweep.report.data import Frame, SweepData, outcome_of
from sweep.report.formats import figure, natural, plain

__all__ = [
    "Table",
    "csv_text",
    "final_error_frame",
    "final_error_table",
    "runs_frame",
    "table_of",
]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Table:
    """A table to show: every cell a text, numbers aligned right where `numeric` says so.

    `marked` are (row, column) pairs to stand out: the best.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    note: str = ""
    marked: frozenset[tuple[int, int]] = frozenset()


def table_of(
    title: str,
    columns: Iterable[str],
    rows: Iterable[Iterable[object]],
    note: str = "",
    marked: Iterable[tuple[int, int]] = (),
    text: Iterable[str] = (),
) -> Table:
    """Return a table of plain texts; columns hold numbers but for those named in `text`."""
    names = tuple(plain(name) for name in columns)
    words = {plain(name) for name in text}
    cells = tuple(tuple(plain(str(cell), 200) for cell in row) for row in rows)
    numeric = tuple(name not in words for name in names)
    return Table(title, names, cells, numeric, note, frozenset(marked))


def runs_frame(data: SweepData) -> pd.DataFrame:
    """Return a row a run, a column a param and metric, named as in the store.

    Columns: run_id, name, status, outcome, params in the order of the first runs, metrics
    by name. A name that stands for two things becomes params.x and metrics.x.
    """
    runs = data.stored
    fixed = [(run.run_id, run.name, run.status, outcome_of(run)) for run in runs]
    frame = pd.DataFrame(fixed, columns=["run_id", "name", "status", "outcome"], dtype=object)
    params = dict.fromkeys(name for run in runs for name in run.params)
    found = {"diverged_at", "stalled_at", *(name for run in runs for name in run.metrics)}
    metrics = sorted(found, key=natural)
    columns: dict[str, list[object]] = {}
    for name in params:
        doubled = name in frame or name in found
        columns[f"params.{name}" if doubled else name] = [run.params.get(name) for run in runs]
    for name in metrics:
        doubled = name in frame or name in params
        columns[f"metrics.{name}" if doubled else name] = [run.metrics.get(name) for run in runs]
    return pd.concat([frame, pd.DataFrame(columns, index=frame.index, dtype=object)], axis=1)


def final_error_frame(data: SweepData) -> Frame:
    """Return the final errors: a row for lr and the other keys, a column for each iters.

    A cell is one run's final error, NaN where there is none, and never an aggregate; rows are
    in plan order of the other keys, then by lr.
    """
    wide = _wide(data, data.grid.error)
    keys = _keys(data).assign(lr=[lr for _, lr in wide.index])
    frame = pd.concat([keys, wide.reset_index(drop=True)], axis=1)
    frame.columns = pd.Index([*keys.columns, *map(str, wide.columns)])
    return frame


def _wide(data: SweepData, column: Any) -> Frame:
    """Return a column of the grid: combination and lr down, iteration counts across."""
    grid = data.grid.assign(shown=column)
    return grid.pivot(index=["combination", "lr"], columns="iters", values="shown")


def _keys(data: SweepData) -> Frame:
    """Return the texts of lr and the other keys for each row of `_wide`."""
    rows = data.grid.drop_duplicates(["combination", "lr"]).sort_values(["combination", "lr"])
    return data.values.loc[rows.index, ["lr", *data.others]].reset_index(drop=True)


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV: numbers by repr, no text that a spreadsheet would run."""
    cells = [[_cell(value) for value in frame.iloc[:, at]] for at in range(frame.shape[1])]
    names = [_safe(str(name)) for name in frame.columns]
    shown = pd.DataFrame(dict(enumerate(cells)), dtype=object).set_axis(names, axis=1)
    return shown.to_csv(index=False, lineterminator="\n")


def final_error_table(data: SweepData) -> Table:
    """Return the final errors to show; a run without one says what became of it."""
    texts = pd.Series([_ending(row) for row in data.grid.itertuples()], data.grid.index)
    wide = _wide(data, texts).fillna("")  # nobody asked for that combination
    keys = _keys(data)
    marked = []
    if data.best is not None:
        row = wide.index.get_loc((data.best.combination, data.best.lr))
        marked.append((row, len(keys.columns) + wide.columns.get_loc(data.best.iters)))
    return table_of(
        "Final error E by learning rate and iterations",
        [*keys.columns, *map(str, wide.columns)],
        pd.concat([keys, wide.reset_index(drop=True)], axis=1).to_numpy().tolist(),
        "Columns: iterations. E: the error after that many.",
        marked,
        data.others,
    )


def _ending(row: Any) -> str:
    if row.error == row.error:
        return figure(row.error)
    step = math.nan if row.run is None else row.run.metrics.get("diverged_at", math.nan)
    if math.isfinite(step):
        return f"diverged at {int(step)}"
    return "not run" if row.run is None else "none" if row.outcome == "completed" else row.outcome


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else _safe(str(value))


def _safe(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text
