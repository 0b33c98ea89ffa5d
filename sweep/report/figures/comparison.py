"""The final errors of two sweeps, plotted against each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from sweep.report.colours import MARKERS, QUIET, shades
from sweep.report.compare import SIDES, Comparison
from sweep.report.figures.lines import mark_style
from sweep.report.figures.scales import error_axis
from sweep.report.figures.sheet import MANY, Picture, Sheet, spread, styled
from sweep.report.formats import counted, plain, short


@styled
def comparison_picture(comparison: Comparison) -> Picture | None:
    """Return the picture; None if no grid point completed in both sweeps."""
    data = comparison.data[0]
    points = comparison.points.dropna(subset=["value_first", "value_second"])
    if points.empty:
        return None
    ids = " and ".join(plain(one.sweep.sweep_id) for one in comparison.data)
    labels = (f"{data.label}, first sweep", f"{data.label}, second sweep")
    page = Sheet("The sweeps against each other", f"sweeps {ids}", labels, size=(7.2, 5.0))
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
    page.legend("learning rate", [*(entries[at] for at in reversed(kept)), ("equal", dashes)])
    alt = (
        f"{data.label} of the second sweep against that of the first at "
        f"{counted(len(points), 'grid point')}. {comparison.answer}"
    )
    caption = "Marks below the dashed line: the second sweep ended lower."
    return page.picture("comparison", alt, caption)
