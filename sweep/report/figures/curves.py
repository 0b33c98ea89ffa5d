"""Curves during training: errors of all trajectories, and metrics yielded by trainers."""

from __future__ import annotations

import pandas as pd

from sweep.report.axes import LARGEST, Axis, main_axis
from sweep.report.curves import Frame, artifact, best_of_all
from sweep.report.data import SweepData
from sweep.report.figures.lines import draw_lines, points
from sweep.report.figures.sheet import (
    MANY,
    MOST_LINES,
    MOST_PANELS,
    Panels,
    Picture,
    panels_of,
    spread,
    styled,
)
from sweep.report.formats import counted, grouped, natural, plain

MOST_MARKS = 40


@styled
def curves_picture(data: SweepData) -> Picture | None:
    """Return the picture of the error curves; None if there are none."""
    key = main_axis(data)
    panels = panels_of(data, key, data.axes["iters"])
    shown, note = curves_data(data, key, panels)
    if shown is None:
        return None
    counts = data.axes["iters"].numbers
    marked = [counts[at] for at in spread(len(counts), MOST_MARKS)]
    page = draw_lines(
        "Error while training", data, "error E", shown, key, panels, note=note, counts=marked
    )
    caption = "A line for each training; every iteration count of the grid is marked on it."
    if data.repeats:
        over = ", ".join(data.repeats)
        caption = f"Lines: means over {over}. Bands: from the lowest to the highest."
    if (shown.kind == "dashed").any():
        caption += " Dashed: the error on the samples that were kept back for validation."
    number = shown[shown.kind == "line"].line.nunique()
    last = max(line.reach or 0 for line in data.trajectories)
    alt = f"{counted(number, 'error curve')} from before training to iteration {grouped(last)}"
    alt += f", coloured by {key.label} ({key.extent}).{data.best_words}"
    if bad := int((data.runs.outcome == "diverged").sum()):
        alt += f" {counted(bad, 'run')} diverged."
    return page.picture("error_curves", alt, caption)


def curves_data(data: SweepData, key: Axis, panels: Panels) -> tuple[Frame | None, str]:
    """Return the curves with the last step of each run marked, and a note on omissions."""
    texts, best = data.values[key.name], data.best
    known = [line for line in data.curves if len(line.curve[0])]
    if not known:
        return None, ""
    known.sort(key=lambda line: key.values.index(texts[line.rows[0]]))
    titles = pd.Series([panels.of[line.rows[0]] for line in known])
    kept, note = panels.fewer(titles, "curve")
    frames = []
    for at in kept:
        line, panel = known[at], titles[at]
        value, (steps, errors), rows = texts[line.rows[0]], line.curve, list(line.rows)
        low, high = line.band or (float("nan"), float("nan"))
        curve = points("line", panel, value, steps, errors, line=at, low=low, high=high)
        frames += [curve, points("dashed", panel, value, *line.validation, line=at)]
        done = data.grid.loc[data.grid.index.intersection(rows)].dropna(subset="error")
        iters = [min(count, LARGEST) for count in done.iters]
        frames.append(points("run", panel, value, iters, done.error, line=at))
        if line.band is None and (data.runs.outcome[rows] == "diverged").any():
            frames.append(points("diverged", panel, value, steps[-1:], errors[-1:], line=at))
    for panel, lines in titles.groupby(titles).groups.items():
        if len(lines) >= MANY:
            lowest = best_of_all([known[at].curve for at in lines])
            frames.append(points("lowest", str(panel), "", *lowest))
    if best is not None and panels.of[best.name] in set(titles):
        iters = [min(best.iters, LARGEST)]
        frames.append(points("best", panels.of[best.name], "", iters, [best.error]))
    return pd.concat(frames, ignore_index=True), note


@styled
def metrics_picture(data: SweepData) -> Picture | None:
    """Return the metrics that trainers yield, a panel each; None if there are none."""
    key = main_axis(data)
    texts = data.values[key.name]
    known = sorted(data.trajectories, key=lambda line: key.values.index(texts[line.rows[0]]))
    kept = spread(len(known), MOST_LINES)
    frames = []
    for at in kept:
        rows = known[at].rows
        named = artifact(data.runs.run[rows[-1]].named_curves, "curve", []) or {}
        for name, curve in named.items():
            frames.append(points("line", plain(name, 40), texts[rows[0]], *curve, line=at))
    shown = pd.concat(frames) if frames else pd.DataFrame()
    if shown.empty:
        return None
    names = sorted(set(shown.panel), key=natural)
    notes = [f"{MOST_PANELS} of {len(names)} metrics"] if len(names) > MOST_PANELS else []
    notes += [f"{len(kept)} of {counted(len(known), 'curve')}"] if len(kept) < len(known) else []
    panels = Panels(tuple(names[:MOST_PANELS]))
    shown = shown[shown.panel.isin(panels.titles)]
    page = draw_lines(
        "Metrics while training", data, "", shown, key, panels, note=", ".join(notes), errors=False
    )
    alt = f"{', '.join(panels.titles)} while training, coloured by {key.label} ({key.extent})."
    caption = "The metrics that the trainer yields; a line for each training."
    return page.picture("metric_curves", alt, caption)
