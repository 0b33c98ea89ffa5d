"""Two sweeps side by side: what changed in the configuration and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.report.data import Frame, SweepData, planned_value
from sweep.report.formats import counted, duration, figure, plain
from sweep.report.results import trained
from sweep.report.tables import Table, table_of

__all__ = ["Comparison", "change_table", "compared", "cost_table", "exact_frame", "result_table"]

MOST_VALUES = 12

INPUTS = "data's content, trainer's source or algorithm"


@dataclass(frozen=True)
class Comparison:
    """What two sweeps have in common and what not.

    Attributes
    ----------
    axes
        The keys beside lr and iters that either sweep has swept.
    points
        The grid points that both ran, in the order of the first sweep: lr, iters, the axes,
        and from each sweep ``run``, ``cell``, ``outcome``, ``error`` and ``decisive`` with the
        suffixes ``_first`` and ``_second``; ``same`` is True where both ended alike to the
        last bit, ``inputs`` where only what the configuration does not show differs.
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
        words = [self._verdict(), *self._best()]
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
            ends = "ends" if count == 1 else "end"
            return f"The {points} {ends} the same to the last bit."
        first, second = (self.points[f"decisive_{w}"].fillna(np.inf) for w in ("first", "second"))
        better, worse = int((second < first).sum()), int((second > first).sum())
        equal = count - better - worse
        text = f"Of {points} the second sweep is better at {better}, worse at {worse}"
        text += f" and equally good at {equal}" if equal else ""
        if better == worse:
            return f"{text}: neither is better."
        return f"{text}: the {'second' if better > worse else 'first'} is better."

    def _best(self) -> list[str]:
        found = []
        for data, which in zip(self.data, ("first", "second"), strict=True):
            best = data.best
            if best is None:
                found.append(f"The {which} has no final error.")
            else:
                found.append(f"Best of the {which}: {data.words(best)}: {figure(best.error)}.")
        return found


def compared(first: SweepData, second: SweepData) -> Comparison:
    """Match the grid points of two sweeps.

    An axis that only one of them has is matched by what the other's plan says of that key.
    """
    axes = tuple(dict.fromkeys(first.others + second.others))
    keys = ["lr", "iters", *(f"axis {axis}" for axis in axes)]
    frames = [_keyed(data, axes) for data in (first, second)]
    both = frames[0].merge(frames[1], "outer", keys, suffixes=("_first", "_second"), indicator=True)
    counts = both._merge.value_counts()
    points = both[both._merge == "both"].sort_values("order_first", ignore_index=True)
    alike = (points.error_first == points.error_second) | (
        points.error_first.isna() & points.error_second.isna()
    )
    points["same"] = alike & (points.outcome_first == points.outcome_second)
    points["inputs"] = [
        _inputs_differ(a, b) for a, b in zip(points.cell_first, points.cell_second, strict=True)
    ]
    alone = (int(counts["left_only"]), int(counts["right_only"]))
    return Comparison((first, second), axes, points, alone)


def _keyed(data: SweepData, axes: tuple[str, ...]) -> Frame:
    grid = data.grid[data.grid.run.notna()]
    frame = grid[["lr", "iters", "run", "cell", "outcome", "error", "decisive"]].copy()
    for axis in axes:
        frame[f"axis {axis}"] = [
            planned_value(row.cell, axis) or row.run.params.get(axis, "")
            for row in grid.itertuples()
        ]
    return frame.assign(order=range(len(frame)))


def _inputs_differ(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Return whether two runs of one configuration were made of something else all the same."""
    if any(not cell.get("signature") or "config" not in cell for cell in (one, two)):
        return False
    return bool(one["config"] == two["config"] and one["signature"] != two["signature"])


def result_table(comparison: Comparison) -> Table:
    """Return the final errors of both sweeps at every grid point that both ran."""
    rows = []
    for row in comparison.points.to_dict("records"):
        a, b = row["error_first"], row["error_second"]
        ratio = figure(b / a, 3) if a and abs(b / a) < 1e300 else ""
        ends = [figure(a) or row["outcome_first"], figure(b) or row["outcome_second"]]
        others = [row[f"axis {axis}"] for axis in comparison.axes]
        bits = "the same" if row["same"] else "differs"
        rows.append([repr(row["lr"]), row["iters"], *others, *ends, ratio, bits])
    return table_of(
        "Final error E in both sweeps",
        ["lr", "iterations", *comparison.axes, "first", "second", "ratio", "bits"],
        rows,
        "The ratio is second / first.",
        text=[*comparison.axes, "bits"],
    )


def exact_frame(comparison: Comparison) -> Frame:
    """Return comparison.csv: a row for each grid point that both sweeps ran."""
    points = comparison.points
    named = {f"axis {axis}": axis for axis in comparison.axes}
    frame = points[["lr", "iters", *named]].rename(columns=named)
    for which in ("first", "second"):
        frame[f"{which}_run_id"] = [run.run_id for run in points[f"run_{which}"]]
        frame[f"{which}_outcome"] = points[f"outcome_{which}"]
        frame[f"{which}_final_error"] = points[f"error_{which}"]
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
    columns = ["key", "first", "second"]
    title, note = "What changed in the configuration", "" if rows else "Nothing."
    return table_of(title, columns, rows, note, text=columns)


def cost_table(comparison: Comparison) -> Table:
    """Return runs, iterations and training time of both sweeps."""
    columns = []
    for data in comparison.data:
        iterations, seconds = trained(data)
        columns.append((len(data.started), len(data.ranked), iterations, duration(seconds)))
    names = ("runs", "completed", "iterations trained", "training")
    rows = zip(names, *columns, strict=True)
    return table_of("Time and cost", ["what", "first", "second"], rows, text=["what"])


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
    values = frame[key].dropna() if key in frame else ()
    return list(
        dict.fromkeys(v if isinstance(v, str) else json.dumps(v, default=str) for v in values)
    )


def _listed(values: list[str]) -> str:
    more = len(values) - MOST_VALUES
    shown = ", ".join(plain(text, 200) for text in values[:MOST_VALUES])
    return f"{shown} and {more} more" if more > 0 else shown
