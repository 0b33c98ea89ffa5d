"""The tables that a report derives from the runs: what is best, what is reached when, what failed.

Where grid points were repeated a row is a point and a number reads ``mean ± sd (n)``: the
standard deviation is that of the sample, n - 1 in its denominator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from sweep.report.axes import effects
from sweep.report.curves import artifact
from sweep.report.data import POINT, Frame, SweepData
from sweep.report.formats import FLOOR, counted, figure, grouped, plain, spread
from sweep.report.tables import Table, table_of, wide

__all__ = ["budget_table", "effect_table", "final_error_table", "metrics_table"]
__all__ += ["missing_table", "repeats_table", "rule_table", "stalled_table", "threshold_table"]
__all__ += ["top_table", "trouble_table"]

TOP = 10

MOST_VALUES = 12
"""So many values of a key stand in the table of effects, evenly over all of them."""

MOST_ROWS = 200
"""Of more grid points the other metrics stand in the table of all runs alone."""

USUAL = ["best_error", "best_step", "diverged_at", "final_error", "final_error_log10"]
USUAL += ["initial_error", "stalled_at", "train_seconds"]
"""Metrics of every run that the report shows elsewhere."""


def _over(data: SweepData) -> str:
    """Return the sentence that says what a number with a spread is; empty without repeats."""
    if not data.repeats:
        return ""
    return f"Mean ± standard deviation (runs) over {', '.join(data.repeats)}."


def _value(data: SweepData, mean: float, sd: float, n: float) -> str:
    one = " (1)" if data.repeats and n == 1 else ""
    return spread(mean, sd, n) + one


def final_error_table(data: SweepData) -> Table:
    """Return the deciding metric of every point; one without it says what became of it."""
    points = data.grid
    texts = pd.Series(
        [_ending(data, row) for row in points.itertuples()], points.index, dtype=object
    )
    table = wide(data, points.assign(rank=points.combination), texts, data.others)
    marked = []
    if data.best is not None:
        order = points.sort_values(["combination", "lr"])[["combination", "lr"]].drop_duplicates()
        row = list(order.itertuples(index=False, name=None)).index(tuple(data.best[POINT[:2]]))
        marked.append((row, table.columns.get_loc(str(data.best.iters))))
    name = "Final error E" if data.metric == "final_error" else data.metric
    what = "E: the error" if data.metric == "final_error" else f"The value is {data.metric}"
    return table_of(
        f"{name} by learning rate and iterations",
        table.columns,
        table.assign(lr=[repr(lr) for lr in table.lr]).fillna("").to_numpy().tolist(),
        f"Columns: iterations. {what} after that many. {_over(data)}".strip(),
        marked,
        data.others,
    )


def _ending(data: SweepData, row: Any) -> str:
    if row.value == row.value:
        return _value(data, row.value, row.sd, row.n)
    step = math.nan if row.run is None else row.run.metrics.get("diverged_at", math.nan)
    if math.isfinite(step):
        return f"diverged at {int(step)}"
    return "not run" if row.run is None else "none" if row.outcome == "completed" else row.outcome


def _ranks(data: SweepData, points: Frame, title: str, first: Iterable[object], head: str) -> Table:
    """Return a row for each of some points: keys, the deciding metric, the final error, seconds."""
    names = [axis.name for axis in data.varying if axis.name != "iters"]
    other = data.metric != "final_error"
    several = len(data.axes["iters"].values) > 1
    seconds = data.metrics.get("train_seconds", pd.Series(dtype=float))
    rows, texts = [], data.texts(names)
    for begin, row in zip(first, points.itertuples(), strict=True):
        values = [_value(data, row.value, row.sd, row.n)]
        if other:
            values.append(figure(row.error))
        time = figure(seconds.get(row.Index), 3)
        rows.append([begin, *texts[row.Index], *([row.needed] * several), *values, time])
    columns = [head, *names, *(["iterations"] * several), data.label]
    columns += [*(["final error"] * other), "seconds"]
    return table_of(title, columns, rows, _over(data), text=names)


def top_table(data: SweepData) -> Table:
    """Return the best grid points with the keys that vary."""
    best = data.ranked.head(TOP)
    things = counted(len(data.grid), "grid point" if data.repeats else "run")
    title = f"The best {len(best)} of {things}, by {data.label}"
    return _ranks(data, best, title, range(1, len(best) + 1), "")


def budget_table(data: SweepData) -> Table:
    """Return the best grid point for each budget of iterations."""
    ranked = data.ranked
    budgets = sorted(set(ranked.iters))
    rows = [ranked[ranked.iters <= budget].iloc[[0]] for budget in budgets]
    best = pd.concat(rows) if rows else ranked
    return _ranks(data, best, "Best run for each budget of iterations", budgets, "at most")


def repeats_table(data: SweepData) -> Table:
    """Return number, mean, spread, median and range of the deciding metric at every point."""
    texts, names = data.texts(data.keys), list(data.keys)
    points = data.ranked if data.repeats else data.ranked[:0]
    rows = []
    for row in points.itertuples():
        numbers = (row.value, row.sd, row.median, row.low, row.high)
        rows.append([*texts[row.Index], row.n, *map(figure, numbers)])
    columns = [*names, "runs", "mean", "standard deviation", "median", "lowest", "highest"]
    title = f"Spread of {data.label} over {', '.join(data.repeats)}"
    return table_of(title, columns, rows, "The best comes first.", text=data.others)


def effect_table(data: SweepData) -> Table:
    """Return mean and range of the deciding metric by each value of each key that varies."""
    rows = []
    for name, group in effects(data).groupby("axis", sort=False):
        for row in group.iloc[:: -(-len(group) // MOST_VALUES)].itertuples():
            numbers = (figure(row.mean), figure(row.low), figure(row.high))
            rows.append([name, row.value, row.runs, *numbers])
    mean = "geometric mean" if data.logarithmic else "mean"
    what = f"{data.label[0].upper()}{data.label[1:]}s" if "error" in data.label else data.label
    return table_of(
        "Effect of each axis",
        ["axis", "value", "runs", mean, "lowest", "highest"],
        rows,
        f"{what} of all runs with that value; the axis that matters most comes first.",
        text=["axis", "value"],
    )


def threshold_table(data: SweepData) -> Table:
    """Return the first step at which each trajectory's error is at most 10^-k."""
    lines = [(line.rows[-1], line.thresholds or {}, line.reach or 0) for line in data.trajectories]
    deepest = max((k for _, own, _ in lines for k, at in own.items() if at is not None), default=0)
    levels = [k for k in (1, *range(3, 31, 3)) if k <= deepest]
    groups: dict[Any, list[Any]] = {}
    points = data.runs.loc[[line[0] for line in lines], POINT].itertuples(name=None)
    for line, (at, *point) in zip(lines, points, strict=True) if levels else ():
        groups.setdefault(tuple(point) if data.repeats else at, []).append(line)
    names = ["lr", *data.others]
    texts = data.texts(names)
    rows = [[*texts[own[0][0]], *(_reached(own, k) for k in levels)] for own in groups.values()]
    return table_of(
        "Iterations needed to reach an error",
        [*names, *(f"E ≤ 1e-{k}" for k in levels)],
        rows,
        "Exact, from every step of the training; “> n” means not within the n steps trained. "
        + _over(data),
        text=data.others,
    )


def _reached(lines: list[Any], k: int) -> str:
    """Return when an error was reached, of repeats the mean of those that did."""
    steps = pd.Series([own[k] for _, own, _ in lines if own.get(k) is not None], dtype=float)
    if steps.empty:
        ends = [reach for _, own, reach in lines if k in own]
        return f"> {grouped(max(ends))}" if ends else ""
    if len(lines) == 1:
        return grouped(int(steps.iloc[0]))
    count = f"{len(steps)}" if len(steps) == len(lines) else f"{len(steps)} of {len(lines)}"
    sd = f" ± {figure(steps.std(), 2)}" if len(steps) > 1 else ""
    return f"{grouped(round(steps.mean()))}{sd} ({count})"


def trouble_table(data: SweepData) -> Table:
    """Return the runs that diverged, failed or did not finish, with where."""
    runs = data.started
    bad = runs[(runs.outcome != "completed") | (runs.error.isna() & runs.value.isna())]
    return table_of(
        "Runs that diverged, failed or did not finish",
        ["run", "what", "where"],
        [_trouble(row) for row in bad.itertuples()],
        text=["run", "what", "where"],
    )


def _trouble(row: Any) -> tuple[str, str, str]:
    run, name = row.run, plain(row.name)
    if row.outcome == "completed":
        return name, "no final error", "the store has none for this run"
    step = run.metrics.get("diverged_at", math.nan)
    if math.isfinite(step):
        best = run.metrics.get("best_error")
        kept = "" if best is None else f"; best error before: {figure(best)}"
        return name, row.outcome, f"NaN or infinity at step {int(step)}{kept}"
    if row.outcome == "failed":
        trace = artifact(run.traceback, "traceback", []) or ""
        lines = [line for line in trace.splitlines() if line.strip()]
        return name, row.outcome, lines[-1] if lines else "no traceback stored"
    curve = artifact(run.curve, "curve", [])
    known = curve is not None and len(curve[0]) > 0
    where = f"its curve ends at step {curve[0][-1]}" if curve and known else "no curve stored"
    return name, row.outcome, where


def stalled_table(data: SweepData) -> Table:
    """Return the runs whose weights stopped changing above the floor of double precision."""
    rows = [
        (row.name, grouped(row.needed), figure(row.error))
        for row in data.started[data.started.error > FLOOR].itertuples()
        if "stalled_at" in row.run.metrics
    ]
    note = "Training longer changes nothing of them; another learning rate or start may."
    columns = ["run", "stalled at iteration", "final error"]
    return table_of("Runs that stopped changing", columns, rows, note, text=["run"])


def missing_table(data: SweepData) -> Table:
    """Return the grid points that no run is stored for."""
    rows = [[name] for name in data.missing["name"]]
    return table_of("Runs that are missing", ["run"], rows, text=["run"])


def metrics_table(data: SweepData) -> Table:
    """Return the other metrics of every grid point, those of the validation first."""
    found = sorted(set(data.metrics) - set(USUAL) - {data.metric})
    names = sorted(found, key=lambda name: "validation_error" not in name)
    rows, keys = [], ["lr", *data.others, "iters"]
    texts = data.texts(keys)
    if names and len(data.grid) <= MOST_ROWS:
        table = data.metrics[names].join(data.runs[POINT]).groupby(POINT, sort=False)
        mean, sd, count = table.mean(), table.std(), table.count()
        points = data.grid[data.grid.run.notna()]
        for row in points.itertuples():
            at = (row.combination, row.lr, row.iters)
            numbers = zip(mean.loc[at], sd.loc[at], count.loc[at], strict=True)
            rows.append([*texts[row.Index], *(_value(data, *three) for three in numbers)])
    title = f"Other metrics at the end of each {'grid point' if data.repeats else 'run'}"
    return table_of(title, [*keys, *names], rows, _over(data), text=data.others)


def rule_table(data: SweepData, pairs: Frame) -> Table:
    """Return errors and weights of both rules at every grid point."""
    rest = [key for key in data.others if key != "rule"]
    rows = []
    for row in pairs.to_dict("records"):
        one, two = row["error_notebook"], row["error_gradient"]
        ratio = figure(one / two, 3) if two > 0 and one / two < 1e300 else ""
        known = isinstance(row["where"], str)
        where = f"{row['where']}: {figure(row['from'])} against {figure(row['to'])}"
        rows.append(
            [
                *(repr(row["lr"]), row["iters"], *(row[key] for key in rest)),
                *(figure(one), figure(two), ratio),
                *(figure(row["apart"], 3), where if known else "", figure(row["rms"], 3)),
            ]
        )
    heads = ("E notebook", "E gradient", "E ratio", "largest weight difference", "where", "RMS")
    return table_of(
        "The notebook’s rule against the gradient",
        ["lr", "iterations", *rest, *heads],
        rows,
        "Under notebook b2 moves by ∂E/∂b1 and b1 never; under gradient every bias by its own "
        "derivative. RMS is the root mean square of the differences of all weights.",
        text=[*rest, "where"],
    )
