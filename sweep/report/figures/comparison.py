"""The final errors of two sweeps against each other."""

from __future__ import annotations

from functools import partial
from typing import Any

from matplotlib.figure import Figure

from sweep.report.colours import INK, MARKERS, QUIET, shades
from sweep.report.compare import Comparison
from sweep.report.data import Frame
from sweep.report.figures.canvas import MANY, Picture, frame, legend, sheet, spread
from sweep.report.figures.lines import mark_style
from sweep.report.figures.scale import error_scale, set_scale
from sweep.report.formats import counted, short

__all__ = ["comparison_picture"]


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
    draw = partial(_draw, points)
    return Picture("comparison", "Final errors against each other", alt, caption, draw)


def _draw(points: Frame, subtitle: str) -> Figure:
    scale = error_scale([*points.error_first, *points.error_second])
    title = "Final errors against each other"
    page = sheet(title, subtitle, 1, size=(7.2, 5.0))
    labels = ("final error E, first sweep", "final error E, second sweep")
    axes = frame(page, 0, "", labels)
    set_scale(axes, "y", scale)
    set_scale(axes, "x", scale)
    axes.set_xlim(axes.get_ylim())
    dashes: dict[str, Any] = {"color": QUIET, "linewidth": 1.2, "linestyle": (0, (4, 3))}
    axes.plot(axes.get_xlim(), axes.get_xlim(), zorder=1, **dashes)
    rates = sorted(set(points.lr))
    colours = shades("lr", len(rates))
    entries: list[tuple[str, dict[str, Any]]] = []
    for at, lr in enumerate(rates):
        own = points[points.lr == lr]
        style = mark_style(colours[at], MARKERS[at % len(MARKERS)], 8)
        x, y = scale.inside(own.error_first), scale.inside(own.error_second)
        axes.plot(x, y, clip_on=False, zorder=3, **style)
        entries.append((short(repr(lr)), style | {"markersize": 7}))
    text: dict[str, Any] = {"size": 9, "color": INK, "parse_math": False}
    box = axes.transAxes
    axes.text(0.98, 0.03, "second is better", transform=box, ha="right", **text)
    axes.text(0.02, 0.97, "first is better", transform=box, va="top", **text)
    kept = spread(len(rates), len(rates) if len(rates) < MANY else 12)
    legend(page, "learning rate", [*(entries[at] for at in reversed(kept)), ("equal", dashes)])
    return page.figure
