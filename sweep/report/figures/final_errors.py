"""Final error by the iterations, or by the learning rate."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from sweep.report.axes import Axis
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import MANY, Picture, spread
from sweep.report.figures.lines import MOST_LINES, draw_lines, points_of
from sweep.report.figures.panels import (
    Panels,
    axis_label,
    ceiling_of,
    heading,
    main_axis,
    panels_of,
    values_of,
)
from sweep.report.figures.scale import key_axis
from sweep.report.formats import figure, tick

__all__ = ["RATES_FROM", "by_iterations", "by_rate", "final_errors"]

RATES_FROM = 6
"""From this many learning rates on there is a picture with them on the x axis."""


def by_iterations(data: SweepData) -> Picture | None:
    """Return final error by iterations; None where all runs have as many."""
    iters = data.axes["iters"]
    if data.ranked.empty or len(iters.values) < 2:
        return None
    return _picture("final_error_by_iterations", data, iters, main_axis(data))


def by_rate(data: SweepData) -> Picture | None:
    """Return final error by learning rate; None for few of them, which other pictures show."""
    lr = data.axes["lr"]
    if data.ranked.empty or len(lr.values) < RATES_FROM:
        return None
    return _picture("final_error_by_rate", data, lr, data.axes["iters"])


def _picture(name: str, data: SweepData, x: Axis, key: Axis) -> Picture:
    panels, title = panels_of(data, x, key), f"{heading(data)} by {x.label}"
    points, note = final_errors(data, x, key, panels)
    draw = partial(
        draw_lines,
        title=title,
        labels=(x.label, axis_label(data)),
        points=points,
        key=key,
        panels=panels,
        x_axis=partial(key_axis, key=x),
        ceiling=ceiling_of(data),
        log=data.logarithmic,
        note=note,
    )
    return Picture(name, title, _alt(data, x, key), "", draw)


def final_errors(data: SweepData, x: Axis, key: Axis, panels: Panels) -> tuple[Frame, str]:
    """Return the points of the deciding metric over the values of `x`, and what is left out.

    There is a line for each combination of the other keys.
    """
    rest = [axis.name for axis in data.varying if axis is not x]
    order = {text: at for at, text in enumerate(key.values)}
    runs = data.grid[data.grid.value.notna() | (data.grid.outcome == "diverged")]
    every = pd.DataFrame(
        {
            "panel": panels.of,
            "line": data.values.groupby(rest, sort=False).ngroup() if rest else 0,
            "value": data.values[key.name],
            "x": data.values[x.name].map(dict(zip(x.values, x.places, strict=True))),
            "y": data.grid.value,
            "low": data.grid.low,
            "top": data.grid.high,
            "rank": data.values[key.name].map(order),
        }
    ).loc[runs.index]
    every = every.sort_values(["rank", "line", "x"], kind="stable")
    parts, drawn = [], 0
    for title in panels.titles:
        own = every[every.panel == title]
        lines = own.line.unique()
        kept = lines[spread(len(lines), max(MOST_LINES // len(panels.titles), 8))]
        shown, drawn = own[own.line.isin(kept)], drawn + len(kept)
        done = shown[shown.y.notna()]
        if data.repeats:
            parts.append(done.assign(kind="band", y=done.low))
        parts += [done.assign(kind="line"), done.assign(kind="run")]
        parts.append(shown[shown.y.isna()].assign(kind="diverged", y=np.inf))
        if len(lines) >= MANY:
            lowest = own.groupby("x").y.agg(data.question.mode).dropna()
            parts.append(points_of(title, "lowest", lowest.index, lowest))
        if data.best is not None and data.best.name in own.index:
            best = own.loc[data.best.name]
            parts.append(points_of(title, "best", [best.x], [best.y]))
    count = every.line.nunique()
    some = f"{drawn} of {count} lines" if drawn < count else ""
    note = ", ".join(filter(None, (panels.note, some)))
    return pd.concat(parts, ignore_index=True), note


def _alt(data: SweepData, x: Axis, key: Axis) -> str:
    text = (
        f"{heading(data)} against {x.label}, a line for each value of {key.label} "
        f"({values_of(key)})."
    )
    words = [text]
    for end in dict.fromkeys((x.values[0], x.values[-1])):
        inside = data.ranked[data.values[x.name].loc[data.ranked.index] == end]
        if len(inside) > 1:
            low, high = figure(inside.value.iloc[0], 2), figure(inside.value.iloc[-1], 2)
            words.append(f"At {x.label} {tick(float(end))} from {low} to {high}.")
    words.append(f"Best: {figure(data.best.value)} at {data.words(data.best)}.")
    return " ".join(words)
