"""The tables of a report, as text; over repeats ``mean ± sd (n)`` (sample sd, n - 1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sweep.question import FLOOR
from sweep.report.axes import axis_of, effects
from sweep.report.curves import EMPTY, Frame, Trajectory, artifact
from sweep.report.data import POINT, SweepData
from sweep.report.files import wide
from sweep.report.formats import (
    Table,
    counted,
    exact,
    figure,
    grouped,
    natural,
    plain,
    spread,
    table_of,
)

HINT = "Filter by text, or by column and value: lr=0.05 iters>100 final_error<1e-9 completed"

STALLED = "stalled"

TOP = 10
MOST_VALUES = 12
"""The table of effects shows this many values of a key, evenly spaced."""
MOST_ROWS = 200
"""With more grid points, the other metrics are only in the table of all runs."""

EARLY = ["final_error", "best_error", "best_step", "final_validation_error"]
LATE = ["initial_error", "final_error_log10", "train_seconds"]
"""Metrics that come first and last in the table of all runs."""
USUAL = {*EARLY[:3], *LATE, "diverged_at", "stalled_at"}
"""Metrics of every run that the report shows elsewhere."""


def _over(data: SweepData) -> str:
    if not data.repeats:
        return ""
    return f"Mean ± standard deviation (runs) over {', '.join(data.repeats)}."


def _shown(data: SweepData, points: Frame) -> Frame:
    """Return ``value`` of grid points as text, with repeats as "0.1 ± 0.02 (3)"."""
    texts = [
        f"{figure(value)} (1)" if data.repeats and n == 1 else spread(value, sd, n)
        for value, sd, n in points[["value", "sd", "n"]].to_numpy(float)
    ]
    return pd.Series(texts, points.index, dtype=object)


def final_error_table(data: SweepData) -> Table:
    """Return the deciding metric of each grid point, or its outcome if it has no value."""
    final = data.metric == "final_error"
    points = data.grid.assign(rank=data.grid.combination)
    endings = np.array([_ending(data, row) for row in points.itertuples()], object)
    texts = _shown(data, points).where(points.value.notna(), endings)
    table = wide(data, points, texts, data.others)
    best = (points.index == (None if data.best is None else data.best.name)).tolist()
    marked = np.argwhere(wide(data, points, best, data.others).map(lambda cell: cell is True))
    return table_of(
        f"{'Final error E' if final else data.metric} by learning rate and iterations",
        table.assign(lr=table.lr.map(repr)).fillna(""),
        f"Columns: iterations. {'E: the error' if final else f'The value is {data.metric}'} after "
        f"that many. {_over(data)}",
        [(row, column) for row, column in marked.tolist()],
        data.others,
    )


def _ending(data: SweepData, row: Any) -> str:
    if row.run is None:
        return "not run"
    if "diverged_at" in row.run.metrics:
        return f"diverged at {int(row.run.metrics['diverged_at'])}"
    odd = row.run.not_finite().get(data.metric, "none")
    return odd if row.outcome == "completed" else str(row.outcome)


def _ranks(data: SweepData, points: Frame, title: str, head: str, first: Iterable[int]) -> Table:
    """Return keys, deciding metric, final error and seconds of the given grid points."""
    names = [axis.name for axis in data.varying if axis.name != "iters"]
    frame = data.values.loc[points.index, names]
    frame.insert(0, head, list(first))
    if len(data.axes["iters"].values) > 1:
        frame["iterations"] = [
            f"{needed} of {iters}" if needed < iters else str(iters)
            for needed, iters in zip(points.needed, points.iters, strict=True)
        ]
    frame[data.label] = _shown(data, points)
    if data.metric != "final_error":
        frame["final error"] = points.error
    seconds = data.metrics.reindex(points.index, columns=["train_seconds"]).train_seconds
    frame["seconds"] = [figure(value, 3) for value in seconds]
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
    best = data.ranked.loc[[data.ranked.index[data.ranked.iters <= n][0] for n in budgets]]
    return _ranks(data, best, "Best run for each budget of iterations", "at most", budgets)


def repeats_table(data: SweepData) -> Table:
    """Return number, mean, spread, median and range of the deciding metric at each grid point."""
    points = data.ranked if data.repeats else data.ranked[:0]
    names = {"value": "mean", "sd": "standard deviation", "median": "median"}
    names |= {"low": "lowest", "high": "highest"}
    frame = data.values.loc[points.index, list(data.keys)].assign(runs=points.n)
    frame = frame.join(points[[*names]].rename(columns=names))
    title = f"Spread of {data.label} over {', '.join(data.repeats)}"
    return table_of(title, frame, "The best comes first.", text=data.others)


def effect_table(data: SweepData) -> Table:
    """Return mean and range of the deciding metric for each value of each varying key."""
    every = effects(data)
    place = every.groupby("axis").cumcount()
    size = every["axis"].map(every["axis"].value_counts())
    names = {"mean": "geometric mean" if data.logarithmic else "mean"}
    names |= {"low": "lowest", "high": "highest"}
    kept = every[place % -(-size // MOST_VALUES) == 0]
    kept = kept.assign(mean=kept["mean"].astype(object).mask(kept.diverged, "diverged"))
    each = "grid points" if data.repeats else "runs"
    frame = kept[["axis", "value", "runs", *names]].rename(columns={"runs": each, **names})
    what = "Final errors" if data.metric == "final_error" else data.label
    note = f"{what} of all {each} with that value; the axis that matters most comes first."
    return table_of("Means and ranges by axis", frame, note, text=["axis", "value"])


def threshold_table(data: SweepData) -> Table:
    """Return the first step at which each trajectory's error is at most 10^-k."""
    known = [line.thresholds or {} for line in data.trajectories]
    reached = max((k for own in known for k, at in own.items() if at is not None), default=0)
    levels = [k for k in (1, *range(3, 31, 3)) if k <= reached]
    lines = data.curves if levels else []
    frame = data.values.loc[[line.rows[0] for line in lines], ["lr", *data.others]]
    for k in levels:
        frame[f"E ≤ 1e-{k}"] = [_reached(line.repeats or (line,), k) for line in lines]
    return table_of(
        "Iterations needed to reach an error",
        frame,
        "Exact, from every step of the training; “> n” means not within the n steps trained. "
        + _over(data),
        text=data.others,
    )


def _reached(lines: Sequence[Trajectory], k: int) -> str:
    """Return the step at which an error was reached; for repeats the mean of those that did."""
    known = [(x.thresholds[k], x.reach or 0) for x in lines if x.thresholds and k in x.thresholds]
    steps = pd.Series([step for step, _ in known if step is not None], dtype=float)
    if steps.empty:
        return f"> {grouped(max(reach for _, reach in known))}" if known else ""
    if len(lines) == 1:
        return grouped(int(steps.iloc[0]))
    count = f"{len(steps)}" if len(steps) == len(lines) else f"{len(steps)} of {len(lines)}"
    sd = f" ± {figure(steps.std(), 2)}" if len(steps) > 1 else ""
    return f"{grouped(round(steps.mean()))}{sd} ({count})"


def trouble_table(data: SweepData) -> Table:
    """Return the runs that did not complete or stalled, then those that are missing."""
    columns = ["run", "what", "where"]
    rows = [
        (plain(row.name), *what) for row in data.started.itertuples() if (what := _trouble(row))
    ]
    rows += [(name, "missing", "") for name in data.missing["name"]]
    note = ""
    if any(what == STALLED for _, what, _ in rows):
        note = f"Of a run that {STALLED} no weight changes any more; try another rate or start."
    title = f"Runs that diverged, failed, {STALLED} or are missing"
    return table_of(title, pd.DataFrame(rows, columns=columns), note, text=columns)


def _trouble(row: Any) -> tuple[str, str] | None:
    """Return what happened to a run and where; None if it completed and changed to its end."""
    run, outcome = row.run, row.outcome
    if outcome == "completed":
        if row.error > FLOOR and "stalled_at" in run.metrics:
            return STALLED, f"at iteration {row.needed} with final error {figure(row.error)}"
        there = row.error == row.error or row.value == row.value
        return None if there else ("no final error", "the store has none for this run")
    step = run.metrics.get("diverged_at", math.nan)
    if math.isfinite(step):
        best = run.metrics.get("best_error")
        kept = "" if best is None else f"; best error before: {figure(best)}"
        return outcome, f"NaN or infinity at step {int(step)}{kept}"
    if outcome == "failed":
        lines = (artifact(run.traceback, "traceback", []) or "").split("\n")
        return outcome, next((x for x in reversed(lines) if x.strip()), "no traceback stored")
    steps, _ = artifact(run.curve, "curve", []) or EMPTY
    return outcome, f"its curve ends at step {steps[-1]}" if len(steps) else "no curve stored"


def metrics_table(data: SweepData) -> Table:
    """Return the other metrics of each grid point, validation metrics first."""
    rest = {*data.metrics, *data.not_finite} - {*USUAL, data.metric}
    found = sorted(rest, key=lambda name: ("validation_error" not in name, name))
    points = data.grid[data.grid.run.notna()]
    points = points if found and len(points) <= MOST_ROWS else points[:0]
    frame = data.values.loc[points.index, ["lr", *data.others, "iters"]]
    each, columns = [data.runs[column] for column in POINT], [frame]
    for name in found:
        odd = data.not_finite.get(name, pd.Series(dtype=object)).reindex(data.runs.index)
        values = data.metrics.get(name, pd.Series(dtype=float)).reindex(data.runs.index)
        numbers = values.groupby(each).agg(value="mean", sd="std", n="count")
        numbers["odd"] = odd.groupby(each).agg(lambda texts: ", ".join(texts.dropna().unique()))
        numbers = points[POINT].join(numbers, on=POINT)
        both = zip(_shown(data, numbers), numbers.odd, strict=True)
        texts = [", ".join(filter(None, pair)) for pair in both]
        columns.append(pd.DataFrame({data.metric_names.get(name, name): texts}, frame.index))
    frame = pd.concat(columns, axis=1)
    title = f"Other metrics at the end of each {'grid point' if data.repeats else 'run'}"
    return table_of(title, frame, _over(data), text=data.others)


def runs_table(data: SweepData) -> Table:
    """Return all runs with every swept key and every metric at full precision."""
    runs, odd = data.started, data.not_finite
    early = dict.fromkeys([data.metric, *EARLY])
    names = sorted({*data.metrics, *odd} - {*early}, key=lambda name: (name in LATE, natural(name)))
    names = [name for name in [*early, *names] if name in data.metrics or name in odd]
    metrics = data.metrics.loc[runs.index].reindex(columns=names)
    texts = {name: [exact(name, value) for value in metrics[name]] for name in names}
    shown = pd.DataFrame(texts, runs.index, dtype=object)
    shown = shown.mask(odd.reindex(columns=names).notna(), odd)
    shown = shown.rename(columns=data.metric_names)
    first = runs[["name"]].set_axis(["run"], axis=1)
    frame = pd.concat([first, data.values.loc[runs.index], runs.outcome, shown], axis=1)
    weights = any(name.startswith("weights/") for run in runs.run for name in run.metrics)
    words = [key for key in data.swept if not axis_of(key, data.values[key]).numbers]
    hint = HINT + (". Weights are in runs.csv." if weights else "")
    return table_of("All runs", frame, hint, text=["run", "outcome", *words])


def rule_table(data: SweepData, pairs: Frame) -> Table:
    """Return errors and weight differences of both rules at each grid point."""
    rest = [key for key in data.others if key != "rule"]
    frame = pd.DataFrame() if pairs.empty else pairs[["lr", "iters", *rest]].copy()
    if not pairs.empty:
        ratio = pairs.error_notebook / pairs.error_gradient.where(pairs.error_gradient > 0)
        frame["lr"] = frame.lr.map(repr)
        frame["E notebook"], frame["E gradient"] = pairs.error_notebook, pairs.error_gradient
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
