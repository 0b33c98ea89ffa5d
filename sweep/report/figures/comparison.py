"""The final errors of two sweeps, plotted against each other."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sweep.report.colours import MARKERS, QUIET, shades
from sweep.report.compare import SIDES, Comparison
from sweep.report.curves import Frame
from sweep.report.data import SweepData
from sweep.report.figures.canvas import MANY, Picture, Sheet, spread
from sweep.report.figures.lines import mark_style
from sweep.report.figures.panels import axis_label, error_axis
from sweep.report.formats import counted, short


def comparison_picture(comparison: Comparison) -> Picture | None:
    """Return the picture; None if no grid point completed in both sweeps."""
    data = comparison.data[0]
    points = comparison.points.dropna(subset=["value_first", "value_second"])
    if points.empty:
        return None
    alt = (
        f"{data.label} of the second sweep against that of the first at "
        f"{counted(len(points), 'grid point')}. {comparison.answer}"
    )
    title = "The sweeps against each other"
    caption = "Marks below the dashed line: the second sweep ended lower."
    return Picture("comparison", title, alt, caption, partial(_draw, data, points))


def _draw(data: SweepData, points: Frame, title: str, subtitle: str) -> Figure:
    labels = (f"{axis_label(data)}, first sweep", f"{axis_label(data)}, second sweep")
    page = Sheet(title, subtitle, ("",), labels, size=(7.2, 5.0))
    (axes,) = page.panels
    errors = points[["value_first", "value_second"]]
    for which in "xy":
        error_axis(axes, which, errors, log=data.logarithmic)
    ends = axes.get_ylim()
    dashes: dict[str, Any] = {"color": QUIET, "linewidth": 1.2, "linestyle": (0, (4, 3))}
    axes.plot(ends, ends, zorder=1, **dashes)
    rates = sorted(set(points.lr))
    entries: list[tuple[str, dict[str, Any]]] = []
    for at, colour in enumerate(shades("lr", len(rates))):
        own = np.clip(errors[points.lr == rates[at]], *ends)
        style = mark_style(colour, MARKERS[at % len(MARKERS)], 8)
        axes.plot(own.value_first, own.value_second, clip_on=False, zorder=3, **style)
        entries.append((short(repr(rates[at])), style | {"markersize": 7}))
    below, above = SIDES if data.question.mode == "max" else SIDES[::-1]
    axes.text(0.98, 0.03, f"{below} is better", transform=axes.transAxes, ha="right", size=9)
    axes.text(0.02, 0.97, f"{above} is better", transform=axes.transAxes, va="top", size=9)
    kept = spread(len(rates), len(rates) if len(rates) < MANY else 12)
    entries = [*(entries[at] for at in reversed(kept)), ("equal", dashes)]
    page.legend("learning rate", entries)
    return page.figure
