"""Draw the final errors of two sweeps against each other."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from sweep.report.canvas import INK, QUIET, legend, set_axis, sheet
from sweep.report.colours import colour_scale, marker_scale
from sweep.report.compare import Comparison
from sweep.report.curve_plots import mark_style
from sweep.report.looks import MANY
from sweep.report.scale import log_scale
from sweep.report.words import rate

__all__ = ["draw_comparison"]


def draw_comparison(comparison: Comparison, subtitle: str) -> Figure:
    """Draw a mark for each grid point of both: below the diagonal the second is better."""
    pairs = [
        (match.first.lr, a, b)
        for match in comparison.matches
        for a, b in [match.errors]
        if a is not None and b is not None
    ]
    scale = log_scale([value for _, a, b in pairs for value in (a, b)] or [1.0])
    page = sheet("Final error: the second sweep against the first", subtitle, 1, height=5.0)
    (axes,) = page.panels
    set_axis(axes, scale, scale, ("final error E, first sweep", "final error E, second sweep"))
    ends = (scale.low, scale.high)
    dashes: dict[str, Any] = {"color": QUIET, "linewidth": 1.2, "linestyle": (0, (4, 3))}
    axes.plot(ends, ends, zorder=1, **dashes)
    rates = sorted({lr for lr, _, _ in pairs})
    colours, markers = colour_scale(rates), marker_scale(rates)
    for lr in rates:
        own = [(a, b) for rate_, a, b in pairs if rate_ == lr]
        x, y = scale.place([a for a, _ in own]), scale.place([b for _, b in own])
        style = mark_style(colours[lr], markers[lr], 8)
        axes.plot(x, y, clip_on=False, zorder=3, **style)
    text: dict[str, Any] = {"size": 9, "color": INK, "parse_math": False}
    box = axes.transAxes
    axes.text(0.98, 0.03, "second is better", transform=box, ha="right", **text)
    axes.text(0.02, 0.97, "first is better", transform=box, va="top", **text)
    shown = rates if len(rates) < MANY else rates[:: -(-len(rates) // 12)]
    entries = [(rate(lr), mark_style(colours[lr], markers[lr], 7)) for lr in reversed(shown)]
    legend(page, "learning rate", [*entries, ("equal", dashes)])
    return page.figure
