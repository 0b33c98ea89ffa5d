"""Final error by iterations, or by learning rate."""

from __future__ import annotations

from functools import partial

import pandas as pd

from sweep.report.axes import Axis, main_axis
from sweep.report.data import SweepData
from sweep.report.figures.lines import Line, draw_lines
from sweep.report.figures.panels import Panels, ceiling_of, key_axis, panels_of
from sweep.report.figures.sheet import MANY, Picture, spread, styled
from sweep.report.formats import figure, tick

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
    lines, note = final_errors(data, x, key, panels)
    page = draw_lines(
        f"{data.heading} by {x.label}",
        data,
        (x.label, data.label),
        lines,
        key,
        panels,
        partial(key_axis, key=x),
        ceiling=ceiling_of(data),
        log=data.logarithmic,
        note=note,
    )
    alt = f"{data.heading} against {x.label}, a line for each value of {key.label} ({key.extent})."
    for end in dict.fromkeys((x.values[0], x.values[-1])):
        inside = data.ranked[data.values[x.name].loc[data.ranked.index] == end]
        if len(inside) > 1:
            low, high = figure(inside.value.iloc[0], 2), figure(inside.value.iloc[-1], 2)
            alt += f" At {x.label} {tick(float(end))} from {low} to {high}."
    alt += f" Best: {figure(data.best.value)} at {data.words(data.best)}."
    return page.picture(f"final_error_by_{'rate' if name == 'lr' else 'iterations'}", alt)


def final_errors(data: SweepData, x: Axis, key: Axis, panels: Panels) -> tuple[list[Line], str]:
    """Return lines over `x`, one for each combination of other keys, and a note on omissions."""
    rest = [axis.name for axis in data.varying if axis is not x]
    grid = data.grid[data.grid.value.notna() | (data.grid.outcome == "diverged")]
    values = data.values.loc[grid.index]
    every = grid.assign(
        panel=panels.of[grid.index],
        line=values.groupby(rest, sort=False).ngroup() if rest else 0,
        rank=values[key.name].map(key.values.index),
        x=values[x.name].map(dict(zip(x.values, x.positions, strict=True))),
    ).sort_values(["rank", "line", "x"], kind="stable")
    lines: list[Line] = []
    drawn = 0
    for title in panels.titles:
        own = every[every.panel == title]
        numbers = own.line.unique()
        kept = numbers[spread(len(numbers), panels.most_lines)]
        drawn += len(kept)
        for number in kept:
            rows = own[own.line == number]
            done, bad = rows[rows.value.notna()], rows[rows.value.isna()]
            value = key.values[rows["rank"].iloc[0]]
            if data.repeats:
                lines.append(Line("band", title, value, done.x, done.low, done.high))
            lines += [Line(kind, title, value, done.x, done.value) for kind in ("line", "run")]
            if len(bad):
                beyond = pd.Series(float("inf"), bad.index)
                lines.append(Line("diverged", title, value, bad.x, beyond))
        if len(numbers) >= MANY:
            lowest = own.groupby("x").value.agg(data.question.mode).dropna()
            lines.append(Line("lowest", title, None, lowest.index, lowest))
        if data.best is not None and data.best.name in own.index:
            best = own.loc[[data.best.name]]
            lines.append(Line("best", title, None, best.x, best.value))
    return lines, panels.noted(drawn, every.line.nunique(), "line")
