"""Compare two sweeps: differences in configuration and results."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.report.answer import distinct
from sweep.report.curves import Frame
from sweep.report.data import SweepData, planned_value
from sweep.report.formats import Table, counted, duration, figure, plain, spread, table_of

MOST_VALUES = 12

INPUTS = "data's content, trainer's source or algorithm"

MEASURED = ["error", "value", "decisive", "sd", "n"]

SIDES = ("first", "second")


@dataclass(frozen=True)
class Comparison:
    """Two sweeps, matched by grid point.

    Attributes
    ----------
    axes
        The keys other than lr and iters that either sweep has swept, without repeats.
    points
        The grid points that both ran, in the order of the first sweep: lr, iters, ``axis KEY``,
        and columns of both `SweepData.grid` with the suffixes ``_first`` and ``_second``.
        ``same``: value and outcome are identical to the last bit. ``inputs``: the configurations
        are equal, but not the signatures.
    unmatched
        The numbers of grid points that only the first and only the second ran.
    """

    data: tuple[SweepData, SweepData]
    axes: tuple[str, ...]
    points: Frame
    unmatched: tuple[int, int]

    @property
    def answer(self) -> str:
        """Which sweep is better, and how far the results agree, as text."""
        words = [self._verdict()]
        for data, which in zip(self.data, SIDES, strict=True):
            best = data.best
            if best is None:
                words.append(f"The {which} has no {data.label}.")
            else:
                value = spread(best.value, best.sd, best.n)
                words.append(f"Best of the {which}: {data.words(best)}: {value}.")
        if differ := int(self.points.inputs.sum()):
            points = "1 of them" if differ == 1 else f"{differ} of them"
            words.append(f"At {points} the configuration is equal, but not the {INPUTS}.")
        first, second = self.unmatched
        if first or second:
            words.append(f"Grid points: {first} only in the first and {second} only in the second.")
        return " ".join(words)

    def _verdict(self) -> str:
        count = len(self.points)
        if not count:
            return "The sweeps have no grid point in common, so neither is named better."
        points = f"{counted(count, 'grid point')} that both ran"
        if self.points.same.all():
            return f"The {points} {'ends' if count == 1 else 'end'} the same to the last bit."
        one, two = (
            self.points[[f"{name}_{which}" for name in MEASURED]].set_axis(MEASURED, axis=1)
            for which in SIDES
        )
        differ = distinct(one, two)
        gain = one.decisive.fillna(np.inf).sub(two.decisive.fillna(np.inf)).fillna(0.0)
        better, worse = int((differ & (gain > 0)).sum()), int((differ & (gain < 0)).sum())
        equal = count - better - worse
        text = f"Of {points} the second sweep is better at {better}, worse at {worse}"
        text += f" and equally good at {equal}" if equal else ""
        if better == worse:
            return f"{text}: neither is better."
        return f"{text}: the {'second' if better > worse else 'first'} is better."


def compared(first: SweepData, second: SweepData) -> Comparison:
    """Match the grid points of two sweeps by their configuration.

    For an axis that only one sweep has, the value of that key in the other's plan is used. An axis
    that repeats the grid points of either sweep is left out.
    """
    repeats = {*first.repeats, *second.repeats}
    axes = tuple(dict.fromkeys(k for k in first.others + second.others if k not in repeats))
    keys = ["lr", "iters", *(f"axis {axis}" for axis in axes)]
    frames = []
    for data in (first, second):
        grid = data.grid.loc[
            data.grid.run.notna(), [*keys[:2], "run", "cell", "outcome", *MEASURED]
        ]
        for axis in axes:
            both = zip(grid.cell, grid.run, strict=True)
            grid[f"axis {axis}"] = [
                planned_value(cell, axis) or run.params.get(axis, "") for cell, run in both
            ]
        frames.append(grid.assign(order=range(len(grid))))
    suffixes = tuple(f"_{which}" for which in SIDES)
    both = frames[0].merge(frames[1], "outer", keys, suffixes=suffixes, indicator=True)
    counts = both._merge.value_counts()
    points = both[both._merge == "both"].sort_values("order_first", ignore_index=True)
    one, two = points.value_first, points.value_second
    alike = (one == two) | (one.isna() & two.isna())
    points["same"] = alike & (points.outcome_first == points.outcome_second)
    points["inputs"] = [
        bool(a.get("signature") and b.get("signature") and "config" in a)
        and a.get("config") == b.get("config")
        and a["signature"] != b["signature"]
        for a, b in zip(points.cell_first, points.cell_second, strict=True)
    ]
    unmatched = (int(counts["left_only"]), int(counts["right_only"]))
    return Comparison((first, second), axes, points, unmatched)


def result_table(comparison: Comparison) -> Table:
    """Return the deciding metric of both sweeps at each grid point that both ran."""
    points, metric = comparison.points, comparison.data[0].metric
    frame = points[["lr", "iters", *(f"axis {axis}" for axis in comparison.axes)]]
    frame = frame.set_axis(["lr", "iterations", *comparison.axes], axis=1)
    frame["lr"] = frame.lr.map(repr)
    for which in SIDES:
        numbers = points[[f"{name}_{which}" for name in ("value", "sd", "n")]].to_numpy(float)
        texts = pd.Series([spread(*row) for row in numbers], points.index, dtype=object)
        frame[which] = texts.where(texts != "", points[f"outcome_{which}"])
    ratio = points.value_second / points.value_first.where(points.value_first != 0)
    frame["ratio"] = [figure(value, 3) for value in ratio.where(ratio.abs() < 1e300)]
    frame["bits"] = points.same.map({True: "the same", False: "differs"})
    title = f"{'Final error E' if metric == 'final_error' else metric} in both sweeps"
    return table_of(title, frame, "The ratio is second / first.", text=[*comparison.axes, "bits"])


def exact_frame(comparison: Comparison) -> Frame:
    """Return comparison.csv: one row for each grid point that both sweeps ran."""
    points, (first, second) = comparison.points, comparison.data
    named = {f"axis {axis}": axis for axis in comparison.axes}
    frame = points[["lr", "iters", *named]].rename(columns=named)
    columns = {"outcome": "outcome", "error": "final_error"}
    if first.metric != "final_error":
        columns["value"] = first.metric
    if first.repeats or second.repeats:
        columns |= {"sd": "sd", "n": "n"}
    for which in SIDES:
        frame[f"{which}_run_id"] = [run.run_id for run in points[f"run_{which}"]]
        for column, name in columns.items():
            frame[f"{which}_{name}"] = points[f"{column}_{which}"]
    return frame


def change_table(comparison: Comparison) -> Table:
    """Return the configuration keys whose values differ between the sweeps."""
    first, second = (_configuration(data) for data in comparison.data)
    rows = [
        (key, _listed(first.get(key, [])), _listed(second.get(key, [])))
        for key in first | second
        if set(first.get(key, [])) != set(second.get(key, []))
    ]
    if differ := int(comparison.points.inputs.sum()):
        where = f"differ in {counted(differ, 'run')} although the configuration is equal"
        rows.append((INPUTS, "", where))
    frame = pd.DataFrame(rows, columns=["key", *SIDES])
    title, note = "What changed in the configuration", "" if rows else "Nothing."
    return table_of(title, frame, note, text=frame.columns)


def cost_table(comparison: Comparison) -> Table:
    """Return runs, iterations and training time of both sweeps."""
    frame = pd.DataFrame({"what": ["runs", "completed", "iterations trained", "training"]})
    for which, data in zip(SIDES, comparison.data, strict=True):
        (iterations, seconds), done = trained(data), int(data.cells.value.notna().sum())
        frame[which] = pd.Series(
            [len(data.started), done, iterations, duration(seconds)], dtype=object
        )
    return table_of("Time and cost", frame, text=["what"])


def trained(data: SweepData) -> tuple[int, float]:
    """Return the iterations that this sweep trained, and the seconds they took.

    Reused runs count as zero. The runs of a trajectory share its training, unless the launcher or
    trainer does not support that (``shared`` in the plan).
    """
    rows = [
        (at, min(data.runs.iters[row], line.reach or 0), row)
        for at, line in enumerate(data.trajectories)
        for row in line.rows
        if "sweep.reused_from" not in data.runs.run[row].tags
    ]
    own = pd.DataFrame(rows, columns=["line", "steps", "row"])
    seconds = data.metrics.reindex(own.row, columns=["train_seconds"]).train_seconds
    lines = own.assign(seconds=seconds.fillna(0.0).to_numpy(float)).groupby("line")
    each = lines.max() if data.plan.get("shared", True) else lines.sum()
    return int(each.steps.sum()), float(each.seconds.sum())


def _configuration(data: SweepData) -> dict[str, list[str]]:
    """Return the values of each param and configuration key (dotted) as text, without doubles."""
    configs = pd.json_normalize([cell.get("config", {}) for cell in data.runs.cell])
    params = pd.DataFrame([cell.get("params", {}) for cell in data.runs.cell])
    frame = pd.concat([params[params.columns.difference(configs.columns)], configs], axis=1)
    for tag in ("sweep.versions", "sweep.platform"):
        frame[tag] = pd.Series([run.tags.get(tag) for run in data.stored], dtype=object)
    frame = frame.assign(command=str(data.plan.get("command", "")))
    texts = frame.astype(object).map(
        lambda value: value if isinstance(value, str) else json.dumps(value, default=str),
        na_action="ignore",
    )
    return {str(key): own.dropna().unique().tolist() for key, own in texts.items()}


def _listed(values: list[str]) -> str:
    more = len(values) - MOST_VALUES
    shown = ", ".join(plain(text, 200) for text in values[:MOST_VALUES])
    return f"{shown} and {more} more" if more > 0 else shown
