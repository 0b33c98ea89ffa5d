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


def _shown(data: SweepData, points: Frame) -> Frame:
    """Return the deciding metric of grid points as text, "0.1 ± 0.02 (3)" where repeated."""
    texts = [spread(*numbers) for numbers in points[["value", "sd", "n"]].to_numpy(float)]
    if data.repeats:
        texts = [f"{text} (1)" if n == 1 else text for text, n in zip(texts, points.n, strict=True)]
    return pd.Series(texts, points.index, dtype=object)


def final_error_table(data: SweepData) -> Table:
    """Return the deciding metric of every point; one without it says what became of it."""
    final = data.metric == "final_error"
    points = data.grid.assign(rank=data.grid.combination)
    endings = pd.Series(map(_ending, points.itertuples()), points.index, dtype=object)
    texts = _shown(data, points).where(points.value.notna(), endings)
    table = wide(data, points, texts, data.others)
    marked = []
    if data.best is not None:
        order = points.drop_duplicates(["rank", "lr"]).sort_values(["rank", "lr"])
        same = (order["rank"] == data.best.combination) & (order.lr == data.best.lr)
        marked = [(int(same.argmax()), table.columns.get_loc(str(data.best.iters)))]
    return table_of(
        f"{'Final error E' if final else data.metric} by learning rate and iterations",
        table.assign(lr=[repr(lr) for lr in table.lr]).fillna(""),
        f"Columns: iterations. {'E: the error' if final else f'The value is {data.metric}'} after "
        f"that many. {_over(data)}",
        marked,
        data.others,
    )


def _ending(row: Any) -> str:
    """Return what became of a grid point, for one without a value."""
    step = math.nan if row.run is None else row.run.metrics.get("diverged_at", math.nan)
    if math.isfinite(step):
        return f"diverged at {int(step)}"
    return "not run" if row.run is None else "none" if row.outcome == "completed" else row.outcome


def _ranks(data: SweepData, points: Frame, title: str, head: str, first: Iterable[int]) -> Table:
    """Return a row for each of some points: keys, the deciding metric, the final error, seconds."""
    names = [axis.name for axis in data.varying if axis.name != "iters"]
    frame = data.values.loc[points.index, names]
    frame.insert(0, head, list(first))
    if len(data.axes["iters"].values) > 1:
        frame["iterations"] = [
            f"{row.needed} of {row.iters}" if row.needed < row.iters else str(row.iters)
            for row in points.itertuples()
        ]
    frame[data.label] = _shown(data, points)
    if data.metric != "final_error":
        frame["final error"] = points.error.map(figure)
    seconds = data.metrics.get("train_seconds", pd.Series(dtype=float))
    frame["seconds"] = [figure(value, 3) for value in seconds.reindex(points.index)]
    return table_of(title, frame, _over(data), text=names)


def top_table(data: SweepData) -> Table:
    """Return the best grid points with the keys that vary."""
    best = data.ranked.head(TOP)
    things = counted(len(data.grid), "grid point" if data.repeats else "run")
    title = f"The best {len(best)} of {things}, by {data.label}"
    return _ranks(data, best, title, "", range(1, len(best) + 1))


def budget_table(data: SweepData) -> Table:
    """Return the best grid point for each budget of iterations."""
    budgets = sorted(set(data.ranked.iters))
    best = [data.ranked.index[data.ranked.iters <= budget][0] for budget in budgets]
    title = "Best run for each budget of iterations"
    return _ranks(data, data.ranked.loc[best], title, "at most", budgets)


def repeats_table(data: SweepData) -> Table:
    """Return number, mean, spread, median and range of the deciding metric at every point."""
    points = data.ranked if data.repeats else data.ranked[:0]
    frame = data.values.loc[points.index, list(data.keys)].assign(runs=points.n)
    columns = {"mean": "value", "standard deviation": "sd", "median": "median"}
    for name, column in {**columns, "lowest": "low", "highest": "high"}.items():
        frame[name] = points[column].map(figure)
    title = f"Spread of {data.label} over {', '.join(data.repeats)}"
    return table_of(title, frame, "The best comes first.", text=data.others)


def effect_table(data: SweepData) -> Table:
    """Return mean and range of the deciding metric by each value of each key that varies."""
    every = effects(data)
    place = every.groupby("axis").cumcount()
    size = every["axis"].map(every["axis"].value_counts())
    frame = every[place % -(-size // MOST_VALUES) == 0].drop(columns="influence")
    for name in ("mean", "low", "high"):
        frame[name] = frame[name].map(figure)
    mean = "geometric mean" if data.logarithmic else "mean"
    what = "Final errors" if data.metric == "final_error" else data.label
    return table_of(
        "Effect of each axis",
        frame[["axis", "value", "runs", "mean", "low", "high"]].rename(
            columns={"mean": mean, "low": "lowest", "high": "highest"}
        ),
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
    frame = data.values.loc[[own[0][0] for own in groups.values()], ["lr", *data.others]]
    for k in levels:
        frame[f"E ≤ 1e-{k}"] = [_reached(own, k) for own in groups.values()]
    return table_of(
        "Iterations needed to reach an error",
        frame,
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
    columns = ["run", "what", "where"]
    frame = pd.DataFrame([_trouble(row) for row in bad.itertuples()], columns=columns)
    return table_of("Runs that diverged, failed or did not finish", frame, text=columns)


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
    still = data.started[data.started.error > FLOOR]
    mark = ["stalled_at" in run.metrics for run in still.run]
    still = still[pd.Series(mark, still.index, dtype=bool)]
    frame = still[["name"]].set_axis(["run"], axis=1)
    frame["stalled at iteration"] = still.needed.map(grouped)
    frame["final error"] = still.error.map(figure)
    note = "Training longer changes nothing of them; another learning rate or start may."
    return table_of("Runs that stopped changing", frame, note, text=["run"])


def missing_table(data: SweepData) -> Table:
    """Return the runs that are planned and not stored."""
    frame = data.missing[["name"]].set_axis(["run"], axis=1)
    return table_of("Runs that are missing", frame, text=["run"])


def metrics_table(data: SweepData) -> Table:
    """Return the other metrics of every grid point, those of the validation first."""
    found = sorted(set(data.metrics) - set(USUAL) - {data.metric})
    found.sort(key=lambda name: "validation_error" not in name)
    points = data.grid[data.grid.run.notna()]
    points = points if found and len(points) <= MOST_ROWS else points[:0]
    frame = data.values.loc[points.index, ["lr", *data.others, "iters"]]
    groups = data.metrics.join(data.runs[POINT]).groupby(POINT, sort=False)
    names = {key: name for run in data.started.run for key, name in run.metric_names().items()}
    for name in found:
        numbers = groups[name].agg(value="mean", sd="std", n="count")
        frame[names.get(name, name)] = _shown(data, points[POINT].join(numbers, on=POINT))
    title = f"Other metrics at the end of each {'grid point' if data.repeats else 'run'}"
    return table_of(title, frame, _over(data), text=data.others)


def rule_table(data: SweepData, pairs: Frame) -> Table:
    """Return errors and weights of both rules at every grid point."""
    rest = [key for key in data.others if key != "rule"]
    frame = pd.DataFrame() if pairs.empty else pairs[["lr", "iters", *rest]].copy()
    if not pairs.empty:
        ratio = pairs.error_notebook / pairs.error_gradient.where(pairs.error_gradient > 0)
        frame["lr"] = frame.lr.map(repr)
        frame["E notebook"] = pairs.error_notebook.map(figure)
        frame["E gradient"] = pairs.error_gradient.map(figure)
        frame["E ratio"] = [figure(one, 3) for one in ratio.where(ratio < 1e300)]
        frame["largest weight difference"] = [figure(value, 3) for value in pairs.difference]
        frame["where"] = [
            f"{where}: {figure(one)} against {figure(two)}" if isinstance(where, str) else ""
            for where, one, two in pairs[["where", "from", "to"]].to_numpy()
        ]
        frame["RMS"] = [figure(value, 3) for value in pairs.rms]
    return table_of(
        "The notebook’s rule against the gradient",
        frame.rename(columns={"iters": "iterations"}),
        "Under notebook b2 moves by ∂E/∂b1 and b1 never; under gradient every bias by its own "
        "derivative. RMS is the root mean square of the differences of all weights.",
        text=[*rest, "where"],
    )
