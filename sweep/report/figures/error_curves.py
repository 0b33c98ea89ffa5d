"""Error curves: the error of every trajectory while it trains."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from sweep.report.axes import LARGEST
from sweep.report.curves import Trajectory, best_of_all
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import MANY, Picture, spread
from sweep.report.figures.lines import MOST_LINES, Line, LinesData, Panel, draw_lines
from sweep.report.figures.panels import ceiling_of, main_axis, panels_of
from sweep.report.figures.scale import error_scale, step_scale
from sweep.report.formats import counted, figure, grouped

__all__ = ["curves_data", "curves_picture"]

MOST_MARKS = 40


def curves_picture(data: SweepData) -> Picture | None:
    """Return the picture of the error curves; None without any."""
    shown = curves_data(data)
    lines = [line for panel in shown.panels for line in panel.lines]
    if not lines:
        return None
    caption = "A line for each training; every iteration count of the grid is marked on it."
    if any(line.validation is not None for line in lines):
        caption += " Dashed: the error on the samples that were kept back for validation."
    draw = partial(draw_lines, shown)
    return Picture("error_curves", shown.title, _alt(data, shown), caption, draw)


def curves_data(data: SweepData) -> LinesData:
    """Return the error curve of every trajectory with each run's last step marked."""
    key = main_axis(data)
    panels = panels_of(data, key, data.axes["iters"])
    value_of = {text: at for at, text in enumerate(key.values)}
    texts = data.values[key.name]
    found: list[Panel] = []
    known = [line for line in data.trajectories if len(line.curve[0])]
    drawn = 0
    for title, rows in zip(panels.titles, panels.rows, strict=True):
        inside = set(rows)
        own = [line for line in known if line.rows[0] in inside]
        own.sort(key=lambda line: value_of[texts[line.rows[0]]])
        kept = spread(len(own), max(MOST_LINES // len(panels.titles), 8))
        lines = [_line(data, own[at], value_of[texts[own[at].rows[0]]]) for at in kept]
        many = len(own) >= MANY
        lowest = best_of_all([line.curve for line in own]) if many else None
        best = data.best
        spot = None
        if best is not None and best.name in inside and own:
            spot = (_step(best.iters), float(best.error))
        ends = None if lowest is None else (lowest[0].astype(float), lowest[1])
        found.append(Panel(title, tuple(lines), spot, ends))
        drawn += len(lines)
    notes = [panels.note] if panels.note else []
    if drawn < len(known):
        notes.append(f"{drawn} of {counted(len(known), 'curve')}")
    errors = [e for t in known for part in (t.curve, t.validation) for e in _ends(part[1])]
    last = max((line.reach or 0 for line in known), default=1)
    return LinesData(
        "Error while training",
        ("iteration (0 is before training)", "error E"),
        key,
        step_scale(last),
        error_scale([*errors, *data.ranked.error], ceiling_of(data)),
        tuple(found),
        panels.columns,
        _marked(data),
        ", ".join(notes),
    )


def _marked(data: SweepData) -> tuple[float, ...]:
    counts = data.axes["iters"].numbers
    return tuple(counts[at] for at in spread(len(counts), MOST_MARKS))


def _step(iters: int) -> float:
    return float(min(iters, int(LARGEST)))


def _ends(errors: np.ndarray) -> list[float]:
    return [float(errors.min()), float(errors.max())] if len(errors) else []


def _line(data: SweepData, line: Trajectory, value: int) -> Line:
    runs: Frame = data.runs.loc[list(line.rows)]
    done = runs[runs.error.notna()]
    marks = tuple((_step(n), float(e)) for n, e in zip(done.iters, done.error, strict=True))
    steps, errors = line.curve
    bad = ((float(steps[-1]), float(errors[-1])),) if (runs.outcome == "diverged").any() else ()
    validation = None
    if len(line.validation[0]):
        validation = (line.validation[0].astype(float), line.validation[1])
    return Line(value, steps.astype(float), errors, marks, bad, validation)


def _alt(data: SweepData, shown: LinesData) -> str:
    lines = sum(len(panel.lines) for panel in shown.panels)
    last = max((line.reach or 0 for line in data.trajectories), default=0)
    labels = shown.key.labels
    values = ", ".join(labels) if len(labels) <= 5 else f"{labels[0]} to {labels[-1]}"
    words = (
        f"{counted(lines, 'error curve')} from before training to iteration {grouped(last)}, "
        f"coloured by {shown.key.label} ({values})."
    )
    ends = data.runs.loc[[line.rows[-1] for line in data.trajectories], "error"].dropna()
    if len(ends) > 1:
        low, high = (data.words(data.runs.loc[at]) for at in (ends.idxmin(), ends.idxmax()))
        words += f" The lowest ends at {figure(ends.min(), 2)} ({low}), "
        words += f"the highest at {figure(ends.max(), 2)} ({high})."
    elif len(ends) == 1 and not math.isnan(ends.iloc[0]):
        words += f" It ends at {figure(ends.iloc[0], 2)}."
    bad = int((data.runs.outcome == "diverged").sum())
    return f"{words} {counted(bad, 'run')} diverged." if bad else words
