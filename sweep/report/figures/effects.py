"""Effect of each axis: mean and range of the final error by each value of each key."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from sweep.report.axes import Axis, effects
from sweep.report.colours import INK, QUIET, ramp
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import Picture, frame, legend, sheet
from sweep.report.figures.final_errors import RATES_FROM
from sweep.report.figures.lines import line_style, mark_style
from sweep.report.figures.panels import ceiling_of
from sweep.report.figures.scale import Scale, error_scale, floor_band, set_scale, value_axis
from sweep.report.formats import figure, joined

__all__ = ["EffectsData", "effects_data", "effects_picture"]

MOST_AXES = 6


class EffectsData(NamedTuple):
    """For each axis, the most influential first: its place, mean, lowest and highest error."""

    axes: tuple[Axis, ...]
    tables: tuple[Frame, ...]
    influence: tuple[float, ...]
    mean: str
    y: Scale
    note: str


def effects_picture(data: SweepData) -> Picture | None:
    """Return the effect of each axis; None where nothing varies or other pictures show it all."""
    names = {axis.name for axis in data.varying}
    shown_elsewhere = len(names) < 3 and "iters" in names
    if names == {"lr"} and len(data.axes["lr"].values) >= RATES_FROM:
        shown_elsewhere = True
    if data.ranked.empty or not names or shown_elsewhere:
        return None
    shown = effects_data(data)
    best = [table.value[table["mean"].idxmin()] for table in shown.tables if table.runs.any()]
    order = joined([axis.label for axis in shown.axes], best)
    alt = (
        f"Final error by the values of each axis, {shown.mean} and range, the axis that matters "
        f"most first. The lowest {shown.mean} is at {order}."
    )
    caption = f"Dots: {shown.mean} of all runs with that value. Lines: lowest to highest."
    draw = partial(_draw, shown)
    return Picture("effect_of_each_axis", "Effect of each axis", alt, caption, draw)


def effects_data(data: SweepData) -> EffectsData:
    """Return mean and range of the final error by each value of the axes that matter most."""
    every = effects(data)
    axes, tables, influence = [], [], []
    for name, table in list(every.groupby("axis", sort=False))[:MOST_AXES]:
        axis = data.axes[str(name)]
        axes.append(axis)
        tables.append(table.assign(place=list(axis.places)))
        influence.append(float(table.influence.iloc[0]))
    seen = pd.concat([table[["low", "high"]] for table in tables]).stack()
    mean = "geometric mean" if data.logarithmic else "mean"
    count = len(data.varying)
    note = f"{MOST_AXES} of {count} axes" if count > MOST_AXES else ""
    y = error_scale(seen, ceiling_of(data))
    return EffectsData(tuple(axes), tuple(tables), tuple(influence), mean, y, note)


def _draw(data: EffectsData, subtitle: str) -> Figure:
    subtitle = f"{subtitle} · {data.note}" if data.note else subtitle
    tall = any(axis.scale == "category" for axis in data.axes)
    gap = (0.35, 1.25 if tall else 0.95)
    foot = 0.35 if tall else 0.0
    page = sheet("Effect of each axis", subtitle, len(data.axes), gap=gap, foot=foot, right=2.1)
    width = 7.2 if len(data.axes) == 1 else 3.4
    for index, (axis, table) in enumerate(zip(data.axes, data.tables, strict=True)):
        title = f"spread of the means: {_spread(data, index)}" if len(axis.values) > 1 else ""
        axes = frame(page, index, title, ("", "final error E"))
        axes.set_xlabel(axis.label, size=11, color=INK, parse_math=False)
        set_scale(axes, "y", data.y)
        value_axis(axes, axis, width)
        axes.tick_params(labelbottom=True)
        floor_band(axes, data.y, named=False)
        low, high = data.y.inside(table.low), data.y.inside(table.high)
        axes.vlines(table.place, low, high, color=QUIET, linewidth=1.4, alpha=0.7)
        mean = data.y.inside(table["mean"])
        style = line_style(ramp(0.0)) | {"linestyle": "" if axis.scale == "category" else "-"}
        axes.plot(table.place, mean, **style)
        size = 7 if len(table) < 30 else 3
        axes.plot(table.place, mean, clip_on=False, zorder=3, **mark_style(ramp(0.0), "o", size))
    entries = [
        (data.mean, mark_style(ramp(0.0), "o", 7)),
        ("lowest to highest", {"color": QUIET, "linewidth": 1.4}),
    ]
    legend(page, "", entries)
    return page.figure


def _spread(data: EffectsData, index: int) -> str:
    value = data.influence[index]
    if data.mean == "mean":
        return figure(value, 3)
    return f"×{figure(10.0 ** min(value, 300.0), 3)}"
