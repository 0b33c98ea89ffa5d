"""Error curves: the error of every trajectory while it trains."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from sweep.report.axes import LARGEST, Axis
from sweep.report.curves import Trajectory, best_of_all
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import MANY, Picture, spread
from sweep.report.figures.lines import MOST_LINES, draw_lines, points_of
from sweep.report.figures.panels import Panels, ceiling_of, main_axis, panels_of, values_of
from sweep.report.figures.scale import step_axis
from sweep.report.formats import counted, figure, grouped

__all__ = ["curves_data", "curves_picture"]

MOST_MARKS = 40


def curves_picture(data: SweepData) -> Picture | None:
    """Return the picture of the error curves; None without any."""
    key = main_axis(data)
    panels = panels_of(data, key, data.axes["iters"])
    points, note = curves_data(data, key, panels)
    if points is None:
        return None
    title, counts = "Error while training", data.axes["iters"].numbers
    caption = "A line for each training; every iteration count of the grid is marked on it."
    if data.repeats:
        caption = (
            f"Lines: means over {', '.join(data.repeats)}. Bands: from the lowest to the highest."
        )
    if "dashed" in set(points.kind):
        caption += " Dashed: the error on the samples that were kept back for validation."
    draw = partial(
        draw_lines,
        title=title,
        labels=("iteration (0 is before training)", "error E"),
        points=points,
        key=key,
        panels=panels,
        x_axis=partial(step_axis, last=_last(data)),
        ceiling=ceiling_of(data),
        counts=[counts[at] for at in spread(len(counts), MOST_MARKS)],
        note=note,
    )
    return Picture("error_curves", title, _alt(data, key, points), caption, draw)


def curves_data(data: SweepData, key: Axis, panels: Panels) -> tuple[Frame | None, str]:
    """Return the points of every curve, each run's last step marked, and what is left out.

    None in place of the points where there is no curve.
    """
    order = {text: at for at, text in enumerate(key.values)}
    texts = data.values[key.name]
    known = [line for line in data.curves if len(line.curve[0])]
    known.sort(key=lambda line: order[texts[line.rows[0]]])
    parts, drawn = [], 0
    for title in panels.titles:
        own = [line for line in known if panels.of[line.rows[0]] == title]
        for at in spread(len(own), max(MOST_LINES // len(panels.titles), 8)):
            parts += _line(data, own[at], title, drawn, texts[own[at].rows[0]])
            drawn += 1
        if len(own) >= MANY:
            lowest = best_of_all([line.curve for line in own])
            parts.append(points_of(title, "lowest", *lowest))
        if own and data.best is not None and panels.of[data.best.name] == title:
            parts.append(points_of(title, "best", [_step(data.best.iters)], [data.best.error]))
    some = f"{drawn} of {counted(len(known), 'curve')}" if drawn < len(known) else ""
    note = ", ".join(filter(None, (panels.note, some)))
    return (pd.concat(parts, ignore_index=True) if parts else None), note


def _line(data: SweepData, line: Trajectory, panel: str, number: int, value: str) -> list[Frame]:
    runs: Frame = data.runs.loc[list(line.rows)]
    done = data.grid.loc[data.grid.index.intersection(line.rows)].dropna(subset="error")
    one: dict[str, Any] = {"panel": panel, "line": number, "value": value}
    parts = [points_of(kind="line", x=line.curve[0], y=line.curve[1], **one)]
    if len(line.validation[0]):
        parts.append(points_of(kind="dashed", x=line.validation[0], y=line.validation[1], **one))
    parts.append(points_of(kind="run", x=done.iters.map(_step), y=done.error, **one))
    if line.band is not None:
        band = points_of(kind="band", x=line.curve[0], y=line.band[0], **one)
        return [band.assign(top=line.band[1]), *parts]
    if (runs.outcome == "diverged").any():
        parts.append(parts[0].tail(1).assign(kind="diverged"))
    return parts


def _step(iters: int) -> float:
    return float(min(iters, int(LARGEST)))


def _last(data: SweepData) -> int:
    return max((line.reach or 0 for line in data.trajectories), default=0)


def _alt(data: SweepData, key: Axis, points: Frame) -> str:
    lines = points[points.kind == "line"].line.nunique()
    words = (
        f"{counted(lines, 'error curve')} from before training to iteration "
        f"{grouped(_last(data))}, coloured by {key.label} ({values_of(key)})."
    )
    longest = data.grid.sort_values("iters", kind="stable")
    ends = longest.drop_duplicates(["combination", "lr"], keep="last").error.dropna()
    if len(ends) > 1:
        low, high = (data.words(data.grid.loc[at]) for at in (ends.idxmin(), ends.idxmax()))
        words += f" The lowest ends at {figure(ends.min(), 2)} ({low}), "
        words += f"the highest at {figure(ends.max(), 2)} ({high})."
    elif len(ends) == 1:
        words += f" It ends at {figure(ends.iloc[0], 2)}."
    bad = int((data.runs.outcome == "diverged").sum())
    return f"{words} {counted(bad, 'run')} diverged." if bad else words
