"""Final error by iterations or by learning rate, and the effect of each axis."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from sweep.report.axes import Axis, effects, main_axis, sparse
from sweep.report.colours import QUIET, ramp
from sweep.report.curves import Frame
from sweep.report.data import SweepData
from sweep.report.figures.lines import POINTS, draw_lines, mark_look, mark_style
from sweep.report.figures.scales import (
    ceiling_of,
    error_axis,
    floor_band,
    inside,
    key_axis,
)
from sweep.report.figures.sheet import MANY, Panels, Picture, Sheet, panels_of, styled
from sweep.report.formats import figure, joined

MOST_AXES = 6

RATES_FROM = 6
"""The least number of learning rates for a picture with them on the x axis."""


@styled
def final_picture(data: SweepData, name: str) -> Picture | None:
    """Return final error by ``iters`` or ``lr``; None if other pictures show the same."""
    x = data.axes[name]
    if data.ranked.empty or len(x.values) < (RATES_FROM if name == "lr" else 2):
        return None
    key = data.axes["iters"] if name == "lr" else main_axis(data)
    panels = panels_of(data, x, key)
    shown, note = final_errors(data, x, key, panels)
    title, log = f"{data.heading} by {x.label}", data.logarithmic
    page = draw_lines(title, data, data.label, shown, key, panels, x, log=log, note=note)
    alt = f"{data.heading} against {x.label}, coloured by {key.label} ({key.extent})."
    alt += data.best_words
    return page.picture(f"final_error_by_{'rate' if name == 'lr' else 'iterations'}", alt)


def final_errors(data: SweepData, x: Axis, key: Axis, panels: Panels) -> tuple[Frame, str]:
    """Return points over `x`, a line for each combination of other keys, and a note on omissions.

    A grid point that diverged lies at infinity. Points whose values were drawn have no lines.
    """
    rest = [axis.name for axis in data.varying if axis is not x]
    grid = data.grid[data.grid.value.notna() | (data.grid.outcome == "diverged")]
    values = data.values.loc[grid.index]
    every = grid.assign(
        kind="line",
        panel=panels.of[grid.index],
        value=values[key.name],
        line=values.groupby(rest, sort=False).ngroup() if rest else 0,
        rank=values[key.name].map(key.values.index),
        x=values[x.name].map(dict(zip(x.values, x.positions, strict=True))),
        y=grid.value.fillna(math.inf),
    ).sort_values(["rank", "line", "x"], kind="stable")
    if not data.repeats:
        every = every.assign(low=math.nan, high=math.nan)
    kept, note = panels.fewer(every.drop_duplicates("line").set_index("line").panel, "line")
    scattered = sparse(len(every), every.line.nunique(), len(x.values))
    drawn = every if scattered else every[every.line.isin(kept)]
    finite = every[every.outcome != "diverged"]
    lowest = finite.groupby(["panel", "x"], as_index=False).y.agg(data.question.mode)
    lowest = lowest.assign(kind="lowest", value="", line=0)
    many = every.groupby("panel").line.nunique() >= MANY
    ended = drawn[drawn.outcome != "diverged"]
    found = [
        *([] if scattered else [ended, lowest[lowest.panel.map(many)]]),
        ended.assign(kind="run"),
        drawn[drawn.outcome == "diverged"].assign(kind="diverged"),
        every[every.index == data.best.name].assign(kind="best", value=""),
    ]
    return pd.concat(found, ignore_index=True)[POINTS], panels.note if scattered else note


@styled
def effects_picture(data: SweepData) -> Picture | None:
    """Return the picture; None if nothing varies or other pictures show the same."""
    names = {axis.name for axis in data.varying}
    by_rate = names == {"lr"} and len(data.axes["lr"].values) >= RATES_FROM
    if data.ranked.empty or not names or by_rate or (len(names) < 3 and "iters" in names):
        return None
    every = effects(data)  # sorted by influence
    shown = every[every["axis"].isin(every["axis"].drop_duplicates()[:MOST_AXES])]
    tables = [(data.axes[str(name)], rows) for name, rows in shown.groupby("axis", sort=False)]
    mean = "geometric mean" if data.logarithmic else "mean"
    spans = [rows.influence.iloc[0] for _, rows in tables]
    if data.logarithmic:
        texts = [f"×{figure(10.0 ** min(span, 300.0), 3)}" for span in spans]
    else:
        texts = [figure(span, 3) for span in spans]
    page = Sheet(
        "Effect of each axis",
        data.subtitle,
        ("", data.label),
        Panels(tuple(f"spread of the means: {text}" for text in texts)),
        note=f"{len(tables)} of {len(names)} axes" if len(names) > len(tables) else "",
        gap=1.25 if any(axis.scale == "category" for axis, _ in tables) else 0.95,
        right=2.1,
        share="y",
    )
    ends = shown[["low", "high"]]
    error_axis(page.panels[0], "y", ends, ceiling_of(data), log=data.logarithmic)
    dot, cross = mark_style(ramp(0.0), "o", 7), mark_look("diverged", QUIET)
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
        for at in np.flatnonzero(rows.diverged):
            axes.plot(axis.positions[at], axes.get_ylim()[1], **cross, clip_on=False, zorder=3)
    entries = [(mean, dot)]
    if (shown.low < shown.high).any():
        entries.append(("lowest to highest", {"color": QUIET, "linewidth": 1.4}))
    if shown.diverged.any():
        entries.append(("diverged", cross))
    page.legend("", entries)
    means = shown.groupby("axis", sort=False)["mean"]
    best = shown.loc[means.idxmax() if data.question.mode == "max" else means.idxmin()]
    order = joined([data.axes[name].label for name in best["axis"]], best.value)
    alt = (
        f"{data.heading} by the values of each axis, {mean} and range, the axis that matters "
        f"most first. The best {mean} is at {order}."
    )
    what = "grid points" if data.repeats else "runs"
    caption = f"Dots: {mean} of all {what} with that value. Lines: lowest to highest."
    return page.picture("effect_of_each_axis", alt, caption)
