"""The final errors of two sweeps against each other."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sweep.report.colours import MARKERS, QUIET, shades
from sweep.report.compare import Comparison
from sweep.report.data import Frame
from sweep.report.figures.canvas import MANY, Picture, legend, sheet, spread
from sweep.report.figures.lines import mark_style
from sweep.report.figures.scale import error_axis
from sweep.report.formats import counted, short

__all__ = ["comparison_picture"]

TITLE = "Final errors against each other"


def comparison_picture(comparison: Comparison) -> Picture | None:
    """Return the picture; None where no grid point completed in both sweeps."""
    points = comparison.points.dropna(subset=["error_first", "error_second"])
    if points.empty:
        return None
    alt = (
        f"The final error of the second sweep against that of the first at "
        f"{counted(len(points), 'grid point')}. {comparison.answer}"
    )
    caption = "Marks below the dashed line: the second sweep ended lower."
    return Picture("comparison", TITLE, alt, caption, partial(_draw, points))


def _draw(points: Frame, subtitle: str) -> Figure:
    labels = ("final error E, first sweep", "final error E, second sweep")
    page, (axes,) = sheet(TITLE, subtitle, ("",), labels, size=(7.2, 5.0))
    errors = points[["error_first", "error_second"]]
    for which in "xy":
        error_axis(axes, which, errors)
    ends = axes.get_ylim()
    dashes: dict[str, Any] = {"color": QUIET, "linewidth": 1.2, "linestyle": (0, (4, 3))}
    axes.plot(ends, ends, zorder=1, **dashes)
    rates = sorted(set(points.lr))
    entries: list[tuple[str, dict[str, Any]]] = []
    for at, colour in enumerate(shades("lr", len(rates))):
        own = np.clip(errors[points.lr == rates[at]], *ends)
        style = mark_style(colour, MARKERS[at % len(MARKERS)], 8)
        axes.plot(own.error_first, own.error_second, clip_on=False, zorder=3, **style)
        entries.append((short(repr(rates[at])), style | {"markersize": 7}))
    axes.text(0.98, 0.03, "second is better", transform=axes.transAxes, ha="right", size=9)
    axes.text(0.02, 0.97, "first is better", transform=axes.transAxes, va="top", size=9)
    kept = spread(len(rates), len(rates) if len(rates) < MANY else 12)
    entries = [*(entries[at] for at in reversed(kept)), ("equal", dashes)]
    legend([axes], "learning rate", entries)
    return page
