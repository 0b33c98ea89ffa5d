"""The metrics that a user's trainer yields while it trains: a panel for each of them."""

from __future__ import annotations

from functools import partial

from sweep.report.axes import Axis
from sweep.report.curves import artifact
from sweep.report.data import SweepData
from sweep.report.figures.canvas import Picture, spread
from sweep.report.figures.lines import Line, draw_lines
from sweep.report.figures.panels import MOST, MOST_LINES, Panels, main_axis, values_of
from sweep.report.figures.scale import step_axis
from sweep.report.formats import counted, natural, plain

__all__ = ["metric_curves", "metrics_picture"]


def metrics_picture(data: SweepData) -> Picture | None:
    """Return the picture of the metrics that trainers yield; None without any."""
    key = main_axis(data)
    lines, panels = metric_curves(data, key)
    if not lines:
        return None
    draw = partial(
        draw_lines,
        labels=("iteration", ""),
        lines=lines,
        key=key,
        panels=panels,
        x_axis=partial(step_axis, last=max(line.x[-1] for line in lines)),
        note=panels.note,
        share="x",
    )
    names = ", ".join(panels.titles)
    alt = f"{names} while training, coloured by {key.label} ({values_of(key)})."
    caption = "The metrics that the trainer yields; a line for each training."
    return Picture("metric_curves", "Metrics while training", alt, caption, draw)


def metric_curves(data: SweepData, key: Axis) -> tuple[list[Line], Panels]:
    """Return the metrics of the longest run of some trajectories, and a panel for each metric."""
    texts = data.values[key.name]
    known = sorted(data.trajectories, key=lambda line: key.values.index(texts[line.rows[0]]))
    kept = [known[at] for at in spread(len(known), MOST_LINES)]
    lines = []
    for line in kept:
        run = data.runs.run[line.rows[-1]]
        named = artifact(run.named_curves, "curve", []) or {}
        for name, (steps, values) in named.items():
            lines.append(Line("line", plain(name, 40), texts[line.rows[0]], steps, values))
    names = tuple(sorted({line.panel for line in lines}, key=natural))
    notes = [f"{MOST} of {len(names)} metrics"] if len(names) > MOST else []
    notes += [f"{len(kept)} of {counted(len(known), 'curve')}"] if len(kept) < len(known) else []
    panels = Panels(names[:MOST] or ("",), note=", ".join(notes))
    return [line for line in lines if line.panel in panels.titles and len(line.x)], panels
