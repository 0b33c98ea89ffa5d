"""Effect of each axis: mean and range of the deciding metric for each value of each key."""

from __future__ import annotations

from functools import partial

from matplotlib.figure import Figure

from sweep.report.axes import effects
from sweep.report.colours import QUIET, ramp
from sweep.report.curves import Frame
from sweep.report.data import SweepData
from sweep.report.figures.canvas import Picture, Sheet
from sweep.report.figures.final_errors import RATES_FROM
from sweep.report.figures.lines import mark_style
from sweep.report.figures.panels import (
    axis_label,
    ceiling_of,
    error_axis,
    floor_band,
    heading,
    inside,
    key_axis,
)
from sweep.report.formats import figure, joined

MOST_AXES = 6


def effects_picture(data: SweepData) -> Picture | None:
    """Return the picture; None if nothing varies or other pictures show the same."""
    names = {axis.name for axis in data.varying}
    by_rate = names == {"lr"} and len(data.axes["lr"].values) >= RATES_FROM
    if data.ranked.empty or not names or by_rate or (len(names) < 3 and "iters" in names):
        return None
    every = effects(data)  # sorted by influence
    shown = every[every["axis"].isin(every["axis"].drop_duplicates()[:MOST_AXES])]
    means = shown.groupby("axis", sort=False)["mean"]
    best = shown.loc[means.idxmax() if data.question.mode == "max" else means.idxmin()]
    mean = "geometric mean" if data.logarithmic else "mean"
    order = joined([data.axes[name].label for name in best["axis"]], best.value)
    alt = (
        f"{heading(data)} by the values of each axis, {mean} and range, the axis that matters "
        f"most first. The best {mean} is at {order}."
    )
    what = "grid points" if data.repeats else "runs"
    caption = f"Dots: {mean} of all {what} with that value. Lines: lowest to highest."
    draw = partial(_draw, data, shown, mean)
    return Picture("effect_of_each_axis", "Effect of each axis", alt, caption, draw)


def _draw(data: SweepData, shown: Frame, mean: str, title: str, subtitle: str) -> Figure:
    tables = [(data.axes[str(name)], rows) for name, rows in shown.groupby("axis", sort=False)]
    count, tall = len(data.varying), any(axis.scale == "category" for axis, _ in tables)
    titles = []
    for _, rows in tables:
        influence = rows.influence.iloc[0]
        times = f"×{figure(10.0 ** min(influence, 300.0), 3)}"
        spread = times if data.logarithmic else figure(influence, 3)
        titles.append(f"spread of the means: {spread}")
    page = Sheet(
        title,
        subtitle,
        titles,
        ("", axis_label(data)),
        note=f"{len(tables)} of {count} axes" if count > len(tables) else "",
        gap=1.25 if tall else 0.95,
        right=2.1,
        share="y",
    )
    ends = shown[["low", "high"]]
    error_axis(page.panels[0], "y", ends, ceiling_of(data), log=data.logarithmic)
    dot = mark_style(ramp(0.0), "o", 7)
    for axes, (axis, rows) in zip(page.panels, tables, strict=True):
        axes.set_xlabel(axis.label)
        key_axis(axes, axis)
        floor_band(axes, named=False)
        low, high, middle = (inside(axes, rows[name]) for name in ("low", "high", "mean"))
        axes.vlines(axis.positions, low, high, color=QUIET, linewidth=1.4, alpha=0.7)
        if axis.scale != "category":
            axes.plot(axis.positions, middle, color=ramp(0.0), linewidth=1.7)
        size = 7 if len(rows) < 30 else 3
        axes.plot(axis.positions, middle, **dot | {"markersize": size}, clip_on=False, zorder=3)
    entries = [(mean, dot)]
    if (shown.low < shown.high).any():
        entries.append(("lowest to highest", {"color": QUIET, "linewidth": 1.4}))
    page.legend("", entries)
    return page.figure
