"""The panels of a picture: one for each combination of the keys that it does not show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.report.axes import Axis, by_influence, remaining
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import text_inches
from sweep.report.formats import counted, plain, short

__all__ = ["MOST_LINES", "Panels", "axis_label", "ceiling_of", "heading", "main_axis", "panels_of"]
__all__ += ["values_of"]

MOST = 6
MOST_LINES = 60


@dataclass(frozen=True)
class Panels:
    """Titles of the panels, and for each row of `SweepData.runs` the title of its panel.

    `columns` stand side by side (0: any number); `note` says which combinations share a panel.
    """

    titles: tuple[str, ...] = ("",)
    of: Frame = None
    columns: int = 0
    note: str = ""

    @property
    def most_lines(self) -> int:
        """Return how many lines a panel has at most."""
        return max(MOST_LINES // len(self.titles), 8)

    def noted(self, drawn: int, count: int, noun: str) -> str:
        """Return the picture's note: combinations that share a panel, and what is not drawn."""
        some = f"{drawn} of {counted(count, noun)}" if drawn < count else ""
        return ", ".join(filter(None, (self.note, some)))


def panels_of(data: SweepData, *used: Axis, inches: float = 3.4) -> Panels:
    """Return the panels of a picture whose axes and colours show the keys in `used`.

    There are at most six, and only where the titles fit into `inches`; else one for all.
    """
    rest = remaining(data, *used)
    one = pd.Series("", index=data.runs.index)
    if not rest:
        return Panels(of=one)
    names = [axis.label for axis in rest]
    groups = data.values.groupby([axis.name for axis in rest], sort=False)
    titles = tuple(
        ", ".join(f"{name}={short(text)}" for name, text in zip(names, key, strict=True))
        for key, _ in groups
    )
    if len(titles) > MOST or len(set(titles)) < len(titles) or text_inches(titles) > inches:
        note = f"all {counted(len(titles), 'combination')} of {', '.join(names)}"
        return Panels(of=one, note=plain(note, 90))
    counts = [len(axis.values) for axis in rest]
    table = len(counts) == 2 and math.prod(counts) == len(titles) and counts[1] <= 3
    return Panels(titles, groups.ngroup().map(dict(enumerate(titles))), counts[1] if table else 0)


def main_axis(data: SweepData) -> Axis:
    """Return the key whose values colour the lines: lr, else the one that matters most."""
    lr = data.axes["lr"]
    others = [axis for axis in by_influence(data) if axis.name not in ("iters", "lr")]
    return lr if lr in data.varying or not others else others[0]


def axis_label(data: SweepData) -> str:
    """Return the label of an axis of the deciding metric."""
    return "final error E" if data.metric == "final_error" else data.label


def heading(data: SweepData) -> str:
    """Return the deciding metric as a title begins."""
    return "Final error" if data.metric == "final_error" else data.label


def ceiling_of(data: SweepData) -> float:
    """Return the largest error to draw, a thousand times the largest first error.

    A run that diverges would press all others into a thin line. Other metrics have no ceiling.
    """
    if not data.metric.endswith("error"):
        return math.inf
    starts = [run.metrics.get("initial_error", math.nan) for run in data.started.run]
    starts += [t.curve[1][0] for t in data.trajectories if len(t.curve[1])]
    known = [value for value in starts if np.isfinite(value)] or list(data.ranked.value[:1])
    return min(max(max(map(abs, known), default=1.0), 1e-300) * 1e3, 1e300)


def values_of(key: Axis) -> str:
    """Return the values of a key in words: all of few, else the ends."""
    labels = key.labels
    return ", ".join(labels) if len(labels) <= 5 else f"{labels[0]} to {labels[-1]}"
