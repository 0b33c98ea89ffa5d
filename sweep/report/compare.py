"""Two sweeps side by side: what changed in the configuration and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.report.answer import distinct
from sweep.report.content import trained
from sweep.report.data import Frame, SweepData, planned_value
from sweep.report.formats import counted, duration, figure, plain, spread
from sweep.report.tables import Table, table_of

__all__ = [
    "SIDES",
    "Comparison",
    "change_table",
    "compared",
    "cost_table",
    "exact_frame",
    "result_table",
]

MOST_VALUES = 12

INPUTS = "data's content, trainer's source or algorithm"

MEASURED = ["error", "value", "decisive", "sd", "n"]
KEPT = ["lr", "iters", "run", "cell", "outcome", *MEASURED]

SIDES = ("first", "second")


@dataclass(frozen=True)
class Comparison:
    """What two sweeps have in common and what not.

    Attributes
    ----------
    axes
        The keys beside lr and iters that either sweep has swept, without repeats.
    points
        The grid points that both ran, in the order of the first sweep: lr, iters, the axes,
        and from each sweep the columns of `SweepData.grid` in KEPT with the suffixes ``_first``
        and ``_second``; ``same`` is True where both ended alike to the last bit, ``inputs``
        where only what the configuration does not show differs.
    alone
        How many grid points only the first and only the second ran.
    """

    data: tuple[SweepData, SweepData]
    axes: tuple[str, ...]
    points: Frame
    alone: tuple[int, int]

    @property
    def answer(self) -> str:
        """Return in words which sweep did better, and how alike they are."""
        words = [self._verdict()]
        for data, which in zip(self.data, SIDES, strict=True):
            best = data.best
            if best is None:
                words.append(f"The {which} has no {data.label}.")
            else:
                value = spread(best.value, best.sd, best.n)
                words.append(f"Best of the {which}: {data.words(best)}: {value}.")
        differ = int(self.points.inputs.sum())
        if differ:
            points = "1 of them" if differ == 1 else f"{differ} of them"
            words.append(f"At {points} the configuration is equal, but not the {INPUTS}.")
        if any(self.alone):
            alone = f"{self.alone[0]} only in the first and {self.alone[1]} only in the second"
            words.append(f"Grid points: {alone}.")
        return " ".join(words)

    def _verdict(self) -> str:
        count = len(self.points)
        if not count:
            return "The sweeps have no grid point in common, so neither is named better."
        points = f"{counted(count, 'grid point')} that both ran"
        if self.points.same.all():
            return f"The {points} {'ends' if count == 1 else 'end'} the same to the last bit."
        one, two = (self.points[[f"{name}_{which}" for name in MEASURED]] for which in SIDES)
        one, two = (side.set_axis(MEASURED, axis=1) for side in (one, two))
        first, second = one.decisive.fillna(np.inf), two.decisive.fillna(np.inf)
        apart = distinct(one, two)
        better, worse = int((apart & (second < first)).sum()), int((apart & (second > first)).sum())
        equal = count - better - worse
        text = f"Of {points} the second sweep is better at {better}, worse at {worse}"
        text += f" and equally good at {equal}" if equal else ""
        if better == worse:
            return f"{text}: neither is better."
        return f"{text}: the {'second' if better > worse else 'first'} is better."


def compared(first: SweepData, second: SweepData) -> Comparison:
    """Match the grid points of two sweeps.

    An axis that only one of them has is matched by what the other's plan says of that key; one
    that repeats the points of either is left out.
    """
    repeats = {*first.repeats, *second.repeats}
    axes = tuple(dict.fromkeys(k for k in first.others + second.others if k not in repeats))
    keys = ["lr", "iters", *(f"axis {axis}" for axis in axes)]
    frames = []
    for data in (first, second):
        grid = data.grid[data.grid.run.notna()]
        texts = {
            f"axis {axis}": [
                planned_value(cell, axis) or run.params.get(axis, "")
                for cell, run in zip(grid.cell, grid.run, strict=True)
            ]
            for axis in axes
        }
        frames.append(grid[KEPT].assign(**texts, order=range(len(grid))))
    suffixes = tuple(f"_{which}" for which in SIDES)
    both = frames[0].merge(frames[1], "outer", keys, suffixes=suffixes, indicator=True)
    counts = both._merge.value_counts()
    points = both[both._merge == "both"].sort_values("order_first", ignore_index=True)
    alike = (points.value_first == points.value_second) | (
        points.value_first.isna() & points.value_second.isna()
    )
    points["same"] = alike & (points.outcome_first == points.outcome_second)
    points["inputs"] = [
        bool(a.get("signature") and b.get("signature") and "config" in a)
        and a.get("config") == b.get("config")
        and a["signature"] != b["signature"]
        for a, b in zip(points.cell_first, points.cell_second, strict=True)
    ]
    alone = (int(counts["left_only"]), int(counts["right_only"]))
    return Comparison((first, second), axes, points, alone)


def result_table(comparison: Comparison) -> Table:
    """Return the deciding metric of both sweeps at every grid point that both ran."""
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
    return table_of(
        f"{'Final error E' if metric == 'final_error' else metric} in both sweeps",
        frame,
        "The ratio is second / first.",
        text=[*comparison.axes, "bits"],
    )


def exact_frame(comparison: Comparison) -> Frame:
    """Return comparison.csv: a row for each grid point that both sweeps ran.

    Beside the (mean) final errors of both there is the deciding metric, where it is another,
    and for repeats the standard deviation and their number.
    """
    points, (first, second) = comparison.points, comparison.data
    named = {f"axis {axis}": axis for axis in comparison.axes}
    frame = points[["lr", "iters", *named]].rename(columns=named)
    for which in SIDES:
        frame[f"{which}_run_id"] = [run.run_id for run in points[f"run_{which}"]]
        frame[f"{which}_outcome"] = points[f"outcome_{which}"]
        frame[f"{which}_final_error"] = points[f"error_{which}"]
        if first.metric != "final_error":
            frame[f"{which}_{first.metric}"] = points[f"value_{which}"]
        if first.repeats or second.repeats:
            frame[f"{which}_sd"], frame[f"{which}_n"] = points[f"sd_{which}"], points[f"n_{which}"]
    return frame


def change_table(comparison: Comparison) -> Table:
    """Return every key of the configuration whose values differ between the sweeps."""
    first, second = (_configuration(data) for data in comparison.data)
    rows = []
    for key in dict.fromkeys([*first.columns, *second.columns]):
        a, b = (_texts(frame, key) for frame in (first, second))
        if set(a) != set(b):
            rows.append((key, _listed(a), _listed(b)))
    differ = int(comparison.points.inputs.sum())
    if differ:
        where = f"not the same, under an equal configuration, in {counted(differ, 'run')}"
        rows.append((INPUTS, "", where))
    columns = ["key", *SIDES]
    frame = pd.DataFrame(rows, columns=columns)
    note = "" if rows else "Nothing."
    return table_of("What changed in the configuration", frame, note, text=columns)


def cost_table(comparison: Comparison) -> Table:
    """Return runs, iterations and training time of both sweeps."""
    columns: dict[str, list[Any]] = {
        "what": ["runs", "completed", "iterations trained", "training"]
    }
    for which, data in zip(SIDES, comparison.data, strict=True):
        iterations, seconds = trained(data)
        done = int(data.cells.value.notna().sum())
        columns[which] = [len(data.started), done, iterations, duration(seconds)]
    return table_of("Time and cost", pd.DataFrame(columns), text=["what"])


def _configuration(data: SweepData) -> Frame:
    """Return a row a grid point with its params and its whole configuration, keys dotted."""
    configs = pd.json_normalize([cell.get("config") or {} for cell in data.runs.cell])
    params = pd.DataFrame([cell.get("params") or {} for cell in data.runs.cell])
    frame = pd.concat([params[params.columns.difference(configs.columns)], configs], axis=1)
    for tag in ("sweep.versions", "sweep.platform"):
        frame[tag] = pd.Series([run.tags.get(tag) for run in data.stored], dtype=object)
    return frame.assign(command=str(data.plan.get("command", "")))


def _texts(frame: Frame, key: str) -> list[str]:
    """Return the distinct values of a key as text, in order."""
    values: Any = frame[key].dropna() if key in frame else ()
    texts = (v if isinstance(v, str) else json.dumps(v, default=str) for v in values)
    return list(dict.fromkeys(texts))


def _listed(values: list[str]) -> str:
    more = len(values) - MOST_VALUES
    shown = ", ".join(plain(text, 200) for text in values[:MOST_VALUES])
    return f"{shown} and {more} more" if more > 0 else shown
