"""Final error by the iterations, or by the learning rate."""

from __future__ import annotations

from functools import partial

import numpy as np

from sweep.report.axes import Axis
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import MANY, Picture, spread
from sweep.report.figures.lines import MOST_LINES, Line, LinesData, Panel, Spot, draw_lines
from sweep.report.figures.panels import ceiling_of, main_axis, panels_of
from sweep.report.figures.scale import Scale, error_scale, step_scale
from sweep.report.formats import figure, tick

__all__ = ["RATES_FROM", "by_iterations", "by_rate", "final_errors"]

RATES_FROM = 6
"""From this many learning rates on there is a picture with them on the x axis."""


def by_iterations(data: SweepData) -> Picture | None:
    """Return final error by iterations; None where all runs have as many."""
    iters = data.axes["iters"]
    if data.ranked.empty or len(iters.values) < 2:
        return None
    shown = final_errors(data, iters, main_axis(data))
    draw = partial(draw_lines, shown)
    return Picture("final_error_by_iterations", shown.title, _alt(data, shown), "", draw)


def by_rate(data: SweepData) -> Picture | None:
    """Return final error by learning rate; None for few of them, which other pictures show."""
    lr, iters = data.axes["lr"], data.axes["iters"]
    if data.ranked.empty or len(lr.values) < RATES_FROM:
        return None
    shown = final_errors(data, lr, iters)
    draw = partial(draw_lines, shown)
    return Picture("final_error_by_rate", shown.title, _alt(data, shown), "", draw)


def final_errors(data: SweepData, x: Axis, key: Axis) -> LinesData:
    """Return final errors over the values of `x`, a line for each combination of the rest."""
    panels = panels_of(data, x, key)
    rest = [axis.name for axis in data.varying if axis is not x]
    at = data.grid.assign(
        x=data.values[x.name].map(dict(zip(x.values, x.places, strict=True))),
        value=data.values[key.name].map({text: i for i, text in enumerate(key.values)}),
        line=data.values.groupby(rest, sort=False).ngroup() if rest else 0,
    )
    found, drawn, every = [], 0, 0
    for title, rows in zip(panels.titles, panels.rows, strict=True):
        inside = at[at.index.isin(rows) & (at.error.notna() | (at.outcome == "diverged"))]
        inside = inside.sort_values(["value", "line", "x"], kind="stable")
        lines = [own for _, own in inside.groupby(["value", "line"], sort=False)]
        kept = spread(len(lines), max(MOST_LINES // len(panels.titles), 8))
        lowest = inside.groupby("x").error.min().dropna() if len(lines) >= MANY else None
        best: Spot | None = None
        if data.best is not None and data.best.name in inside.index:
            best = (float(at.x[data.best.name]), float(data.best.error))
        envelope = None if lowest is None else (lowest.index.to_numpy(), lowest.to_numpy())
        found.append(Panel(title, tuple(_line(lines[i]) for i in kept), best, envelope))
        drawn, every = drawn + len(kept), every + len(lines)
    notes = [panels.note] if panels.note else []
    notes += [f"{drawn} of {every} lines"] if drawn < every else []
    return LinesData(
        f"Final error by {x.label}",
        (x.label, "final error E"),
        key,
        _x(x),
        error_scale(data.ranked.error, ceiling_of(data)),
        tuple(found),
        panels.columns,
        (),
        ", ".join(notes),
    )


def _x(x: Axis) -> Scale | Axis:
    return step_scale(x.numbers[-1], x.numbers[0]) if x.name == "iters" else x


def _line(rows: Frame) -> Line:
    done = rows[rows.error.notna()]
    bad = tuple((float(x), np.inf) for x in rows.x[rows.outcome == "diverged"])
    marks = tuple(zip(done.x.astype(float), done.error, strict=True))
    value = int(rows.value.iloc[0])
    return Line(value, done.x.to_numpy(float), done.error.to_numpy(float), marks, bad)


def _alt(data: SweepData, shown: LinesData) -> str:
    labels = shown.key.labels
    values = ", ".join(labels) if len(labels) <= 5 else f"{labels[0]} to {labels[-1]}"
    x = shown.labels[0]
    words = [f"Final error against {x}, a line for each value of {shown.key.label} ({values})."]
    name = "iters" if x == "iterations" else "lr"
    ends = data.axes[name].values
    for text in dict.fromkeys((ends[0], ends[-1])):
        inside = data.ranked[data.values[name].loc[data.ranked.index] == text]
        if len(inside) > 1:
            low, high = figure(inside.error.iloc[0], 2), figure(inside.error.iloc[-1], 2)
            words.append(f"At {x} {tick(float(text))} from {low} to {high}.")
    if data.best is not None:
        words.append(f"Smallest: {figure(data.best.error)} at {data.words(data.best)}.")
    return " ".join(words)
