"""The tables of a sweep: exact data frames for the files, short texts for people.

A frame keeps every number as the store has it; a `Table` is what terminal, Markdown and
HTML show. No table holds an aggregate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from sweep.report.facts import Facts, Line, Point, outcome_of, read_artifact
from sweep.report.words import figure, grouped, plain, rate

__all__ = [
    "Table",
    "budget_table",
    "csv_text",
    "exact_frame",
    "final_error_frame",
    "final_error_table",
    "runs_frame",
    "threshold_table",
    "trouble_table",
]

RUN_COLUMNS = ("run_id", "name", "status", "outcome")

ENDINGS = ("diverged_at", "stalled_at")
"""Metrics that have a column even where no run has them."""

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


def runs_frame(facts: Facts) -> pd.DataFrame:
    """Return a row a run, a column a param and metric, named as in the store.

    Columns: run_id, name, status, outcome, params in the order of the first runs, metrics
    by name. A name that stands for two things becomes params.x and metrics.x.
    """
    runs = facts.runs
    params = dict.fromkeys(name for run in runs for name in run.params)
    found = {*ENDINGS, *(name for run in runs for name in run.metrics)}
    metrics = dict.fromkeys(sorted(found, key=_natural))
    taken = {*RUN_COLUMNS}
    columns: dict[str, list[object]] = {
        "run_id": [run.run_id for run in runs],
        "name": [run.name for run in runs],
        "status": [run.status for run in runs],
        "outcome": [outcome_of(run) for run in runs],
    }
    for name in params:
        doubled = name in taken or name in metrics
        columns[f"params.{name}" if doubled else name] = [run.params.get(name) for run in runs]
    for name in metrics:
        doubled = name in taken or name in params
        columns[f"metrics.{name}" if doubled else name] = [run.metrics.get(name) for run in runs]
    return pd.DataFrame(columns, dtype=object)


def final_error_frame(facts: Facts) -> pd.DataFrame:
    """Return the final errors: a row for lr and the other axes, a column for each iters.

    A cell is one run's `final_error`, None where there is none; rows in plan order of the
    other axes, then by lr.
    """
    keys = [(lr, others) for others in facts.panels for lr in facts.rates]
    grid = facts.grid
    planned = {(cell.lr, cell.others) for cell in facts.missing}
    present = {(lr, others) for lr, others, _ in grid} | planned
    keys = [key for key in keys if key in present]
    columns: dict[str, list[object]] = {"lr": [lr for lr, _ in keys]}
    for index, axis in enumerate(facts.others):
        columns[axis] = [others[index] for _, others in keys]
    for iters in facts.counts:
        points = [grid.get((lr, others, iters)) for lr, others in keys]
        columns[str(iters)] = [None if p is None else p.final_error for p in points]
    return pd.DataFrame(columns, dtype=object)


def exact_frame(columns: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """Return columns as a frame that changes no value."""
    return pd.DataFrame(dict(columns), dtype=object)


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV: numbers by repr, no text that a spreadsheet would run."""
    shown = pd.DataFrame(
        {_safe(str(name)): [_cell(value) for value in frame[name]] for name in frame.columns},
        dtype=object,
    )
    return shown.to_csv(index=False, lineterminator="\n")


def final_error_table(facts: Facts) -> Table:
    """Return the final errors to show; a run without one says what became of it."""
    frame = final_error_frame(facts)
    first = 1 + len(facts.others)
    best = facts.best
    rows, marked = [], set()
    for index, values in enumerate(frame.itertuples(index=False, name=None)):
        lr, others = float(values[0]), tuple(values[1:first])
        row = [rate(lr), *(plain(str(value)) for value in others)]
        for iters in facts.counts:
            point = facts.grid.get((lr, others, iters))
            if point is not None and point is best:
                marked.add((index, len(row)))
            row.append(_outcome(point))
        rows.append(tuple(row))
    return Table(
        "Final error E by learning rate and iterations",
        ("lr", *map(plain, facts.others), *map(str, facts.counts)),
        tuple(rows),
        (True, *[False] * len(facts.others), *[True] * len(facts.counts)),
        "A column for each number of iterations; E is the error after the last of them.",
        frozenset(marked),
    )


def threshold_table(facts: Facts) -> Table:
    """Return the first step at which each trajectory's error is at most 10^-k."""
    levels = _levels(facts.lines)
    rows = []
    for line in facts.lines:
        cells = []
        for k in levels:
            step = line.thresholds.get(k)
            known = line.reach is not None and k in line.thresholds
            reach = f"> {grouped(line.reach or 0)}" if known else ""
            cells.append(reach if step is None else grouped(step))
        rows.append((rate(line.lr), *map(plain, line.others), *cells))
    return Table(
        "Iterations needed to reach an error",
        ("lr", *map(plain, facts.others), *(f"E ≤ 1e-{k}" for k in levels)),
        tuple(rows),
        (True, *[False] * len(facts.others), *[True] * len(levels)),
        "Exact, from every step of the training; “> n” means not within the n steps trained.",
    )


def budget_table(facts: Facts) -> Table:
    """Return the best run for each budget of iterations."""
    rows = []
    for budget in facts.counts:
        inside = [point for point in facts.completed if point.iters <= budget]
        if not inside:
            continue
        point = inside[0]
        others = map(plain, point.others)
        rows.append(
            (
                str(budget),
                rate(point.lr),
                *others,
                str(point.iters),
                figure(point.final_error),
            )
        )
    return Table(
        "Best run for each budget of iterations",
        ("at most", "lr", *map(plain, facts.others), "iterations", "final error"),
        tuple(rows),
        (True, True, *[False] * len(facts.others), True, True),
    )


def trouble_table(facts: Facts) -> Table:
    """Return the runs that diverged, stalled, failed or never started, with where."""
    rows = []
    for point in facts.points:
        for what, where in _trouble(point):
            rows.append((plain(point.run.name), what, where))
    rows += [(plain(cell.name), "not started", "") for cell in facts.missing]
    return Table(
        "Runs that diverged, stalled, failed or did not finish",
        ("run", "what", "where"),
        tuple(rows),
        (False, False, False),
    )


def _trouble(point: Point) -> list[tuple[str, str]]:
    found = []
    stalled = point.step("stalled_at")
    if point.outcome != "completed":
        found.append((plain(point.outcome), _where(point)))
    elif point.final_error is None:
        found.append(("no final error", "the store has none for this run"))
    if stalled is not None:
        value = figure(point.final_error)
        end = f"{value}, at the floor of double precision" if point.at_floor else value
        found.append(("stalled", f"no weight changes from step {stalled} on (E = {end})"))
    return found


def _where(point: Point) -> str:
    step = point.step("diverged_at")
    if step is not None:
        best = point.metric("best_error")
        kept = "" if best is None else f"; best error before: {figure(best)}"
        return f"NaN or infinity at step {step}{kept}"
    if point.outcome == "failed":
        trace = read_artifact(point.run.traceback, "traceback", [])
        lines = [line for line in (trace or "").splitlines() if line.strip()]
        return plain(lines[-1], 200) if lines else "no traceback stored"
    curve = read_artifact(point.run.curve, "curve", [])
    if curve is None or not len(curve[0]):
        return "no curve stored"
    return f"its curve ends at step {curve[0][-1]}"


def _levels(lines: Sequence[Line]) -> list[int]:
    """Return k = 1 and each multiple of three that some trajectory reached."""
    reached = [k for line in lines for k, step in line.thresholds.items() if step is not None]
    deepest = max(reached, default=0)
    return [k for k in (1, *range(3, 31, 3)) if k <= max(deepest, 3)]


def _outcome(point: Point | None) -> str:
    if point is None:
        return "not run"
    if point.final_error is not None:
        return figure(point.final_error)
    step = point.step("diverged_at")
    return plain(point.outcome) if step is None else f"diverged at {step}"


def _natural(name: str) -> tuple[object, ...]:
    """Order w2 before w10: texts and numbers in turn."""
    parts: list[object] = [""]
    for char in name:
        digit = char.isascii() and char.isdigit()
        if digit == isinstance(parts[-1], int):
            last = parts[-1]
            parts[-1] = last * 10 + int(char) if isinstance(last, int) else f"{last}{char}"
        else:
            parts.append(int(char) if digit else char)
    return tuple(parts)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return repr(value)
    return _safe(str(value))


def _safe(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text
