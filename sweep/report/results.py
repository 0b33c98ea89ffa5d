"""The tables that a report derives from the runs: what is reached when, by what, what failed."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from sweep.report.axes import effects
from sweep.report.curves import artifact
from sweep.report.data import Frame, SweepData
from sweep.report.formats import FLOOR, counted, duration, figure, grouped, plain
from sweep.report.tables import Table, table_of

__all__ = [
    "budget_table",
    "cost",
    "effect_table",
    "metrics_of",
    "metrics_table",
    "missing_table",
    "rule_table",
    "stalled_table",
    "threshold_table",
    "top_table",
    "trained",
    "trouble_table",
]

TOP = 10
MOST_VALUES = 12
"""So many values of a key stand in the table of effects, evenly over all of them."""

MOST_ROWS = 200
"""Of more runs the other metrics stand in the table of all runs alone."""

USUAL = frozenset(
    (
        "best_error",
        "best_step",
        "diverged_at",
        "error",
        "final_error",
        "final_error_log10",
        "initial_error",
        "stalled_at",
        "train_seconds",
        "validation_error",
    )
)
"""Metrics of every run that the report shows elsewhere."""


def top_table(data: SweepData) -> Table:
    """Return the best runs with the keys that vary."""
    names = [axis.name for axis in data.varying]
    best, texts = data.ranked.head(TOP), data.texts(names)
    rows = [
        [at, *texts[row.Index], figure(row.error), _seconds(row)]
        for at, row in enumerate(best.itertuples(), 1)
    ]
    title = f"The best {len(rows)} of {counted(len(data.grid), 'run')}"
    return table_of(title, ["", *names, "final error", "seconds"], rows, text=names)


def _seconds(row: Any) -> str:
    return figure(row.run.metrics.get("train_seconds"), 3)


def effect_table(data: SweepData) -> Table:
    """Return mean and range of the final error by each value of each key that varies."""
    rows = []
    for name, group in effects(data).groupby("axis", sort=False):
        step = -(-len(group) // MOST_VALUES)
        for row in group.iloc[::step].itertuples():
            numbers = (figure(row.mean), figure(row.low), figure(row.high))
            rows.append([name, row.value, row.runs, *numbers])
    mean = "geometric mean" if data.logarithmic else "mean"
    return table_of(
        "Effect of each axis",
        ["axis", "value", "runs", mean, "lowest", "highest"],
        rows,
        "Final errors of all runs with that value; the axis that matters most comes first.",
        text=["axis", "value"],
    )


def threshold_table(data: SweepData) -> Table:
    """Return the first step at which each trajectory's error is at most 10^-k."""
    lines = data.trajectories
    reached = {k for line in lines for k, at in (line.thresholds or {}).items() if at is not None}
    levels = [k for k in (1, *range(3, 31, 3)) if k <= max(reached, default=0)]
    names = ["lr", *data.others]
    rows, texts = [], data.texts(names)
    for line in lines if levels else ():
        cells = [_reached(line.thresholds or {}, k, line.reach) for k in levels]
        rows.append([*texts[line.rows[0]], *cells])
    return table_of(
        "Iterations needed to reach an error",
        [*names, *(f"E ≤ 1e-{k}" for k in levels)],
        rows,
        "Exact, from every step of the training; “> n” means not within the n steps trained.",
        text=data.others,
    )


def _reached(thresholds: Any, k: int, reach: int | None) -> str:
    step = thresholds.get(k)
    if step is not None:
        return grouped(step)
    return f"> {grouped(reach or 0)}" if k in thresholds else ""


def budget_table(data: SweepData) -> Table:
    """Return the best run for each budget of iterations."""
    names = ["lr", *data.others]
    rows, texts = [], data.texts(names)
    for budget in sorted(set(data.ranked.iters)):
        best = data.ranked[data.ranked.iters <= budget].iloc[0]
        rows.append([budget, *texts[best.name], best.needed, figure(best.error)])
    return table_of(
        "Best run for each budget of iterations",
        ["at most", *names, "iterations", "final error"],
        rows,
        text=data.others,
    )


def trouble_table(data: SweepData) -> Table:
    """Return the runs that diverged, failed or did not finish, with where."""
    bad = data.started[(data.started.outcome != "completed") | data.started.error.isna()]
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
    still = data.started[data.started.error > FLOOR]
    rows = [
        (row.name, grouped(row.needed), figure(row.error))
        for row in still.itertuples()
        if "stalled_at" in row.run.metrics
    ]
    note = "Training longer changes nothing of them; another learning rate or start may."
    columns = ["run", "stalled at iteration", "final error"]
    return table_of("Runs that stopped changing", columns, rows, note, text=["run"])


def missing_table(data: SweepData) -> Table:
    """Return the grid points that no run is stored for."""
    rows = [[name] for name in data.missing["name"]]
    return table_of("Runs that are missing", ["run"], rows, text=["run"])


def metrics_of(data: SweepData) -> list[str]:
    """Return the metrics that some run has beside the usual, those of the validation first."""
    names = {name for run in data.started.run for name in run.metrics} - USUAL
    shown = sorted(name for name in names if not name.startswith("weights/"))
    return sorted(shown, key=lambda name: "validation_error" not in name)


def metrics_table(data: SweepData) -> Table:
    """Return a row a run with its metrics beside the error, in plan order."""
    names = metrics_of(data)
    keys = ["lr", *data.others, "iters"]
    rows, texts = [], data.texts(keys)
    for row in data.started.itertuples() if names and len(data.started) <= MOST_ROWS else ():
        values = [row.run.metrics.get(name) for name in names]
        rows.append([*texts[row.Index], *map(figure, values)])
    return table_of("Other metrics at the end of each run", [*keys, *names], rows, text=data.others)


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


def cost(data: SweepData) -> dict[str, str]:
    """Return what the sweep took."""
    count = len(data.trajectories)
    found = {"runs": grouped(len(data.started)), "trajectories": grouped(count)}
    iterations, seconds = trained(data)
    found["iterations trained"] = grouped(iterations)
    alone = sum(data.started.iters)
    if alone > iterations > 0:
        times = f"{alone / iterations:.2f}"
        if times != "1.00":
            found["separate training"] = f"{grouped(alone)} iterations ({times} times as many)"
    found["training"] = duration(seconds)
    ends = pd.Series([data.sweep.end_time, *(run.end_time for run in data.started.run)]).max()
    start = data.sweep.start_time
    if start is not None and ends >= start:
        found["from start to end"] = duration((ends - start) / 1000)
    return found


def trained(data: SweepData) -> tuple[int, float]:
    """Return the iterations that this sweep trained itself, and the seconds they took.

    Runs that were taken over from another sweep cost nothing. The runs of a trajectory share
    its training, unless the sweep's launcher or trainer cannot.
    """
    iterations, seconds = 0, 0.0
    whole = max if data.plan.get("shared", True) else sum
    rows = list(data.runs.itertuples())
    for line in data.trajectories:
        own = [
            (min(row.iters, line.reach or 0), row.run.metrics.get("train_seconds", 0.0))
            for row in (rows[at] for at in line.rows)
            if "sweep.reused_from" not in row.run.tags
        ]
        steps, times = [n for n, _ in own], [s for _, s in own]
        iterations += whole(steps) if own else 0
        seconds += whole(times) if own else 0.0
    return iterations, seconds
