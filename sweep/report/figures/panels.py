"""Which panels a picture has: one for each combination of the keys that it does not show."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sweep.report.axes import Axis, by_influence, remaining
from sweep.report.data import SweepData
from sweep.report.figures.canvas import columns_of, text_inches
from sweep.report.formats import counted, plain, short

__all__ = ["Panels", "ceiling_of", "main_axis", "panels_of"]

MOST = 6


class Panels(NamedTuple):
    """Titles of the panels and the rows of `SweepData.runs` in each of them.

    `whole` is True where one panel holds several combinations; `note` says so.
    """

    titles: tuple[str, ...]
    rows: tuple[Any, ...]
    columns: int
    whole: bool
    note: str


def panels_of(data: SweepData, *used: Axis, inches: float = 3.4) -> Panels:
    """Return the panels of a picture whose axes and colours show the keys in `used`.

    There are at most six, and only where the titles fit into `inches`; else one for all.
    """
    rest = remaining(data, *used)
    if not rest:
        return Panels(("",), (data.runs.index,), 1, False, "")
    names = [axis.label for axis in rest]
    groups = list(data.values.groupby([axis.name for axis in rest], sort=False))
    titles = tuple(
        ", ".join(f"{name}={short(text)}" for name, text in zip(names, key, strict=True))
        for key, _ in groups
    )
    distinct = len(set(titles)) == len(groups)
    if len(groups) > MOST or not distinct or text_inches(titles) > inches:
        note = f"all {counted(len(groups), 'combination')} of {', '.join(names)}"
        return Panels(("",), (data.runs.index,), 1, True, plain(note, 90))
    counts = [len(axis.values) for axis in rest]
    table = len(counts) == 2 and math.prod(counts) == len(groups) and counts[1] <= 3
    columns = counts[1] if table else columns_of(len(groups))
    return Panels(titles, tuple(own.index for _, own in groups), columns, False, "")


def main_axis(data: SweepData) -> Axis:
    """Return the key whose values colour the lines: lr, else the one that matters most."""
    lr = data.axes["lr"]
    others = [axis for axis in by_influence(data) if axis.name not in ("iters", "lr")]
    return lr if lr in data.varying or not others else others[0]


def ceiling_of(data: SweepData) -> float:
    """Return the error above which a picture shows only that it is above.

    A thousand times the largest first error: more room for a run that diverges would press
    what one wants to compare into a thin line.
    """
    starts = [run.metrics.get("initial_error", math.nan) for run in data.started.run]
    starts += [t.curve[1][0] for t in data.trajectories if len(t.curve[1])]
    known = [value for value in starts if np.isfinite(value)] or list(data.ranked.error[:1])
    return min(max(max(map(abs, known), default=1.0), 1e-300) * 1e3, 1e300)
