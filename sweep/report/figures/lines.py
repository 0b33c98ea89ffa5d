"""Draw lines over a log axis of errors: error curves, and final errors by one key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.report.axes import Axis
from sweep.report.colours import INK, MARKERS, QUIET, shades
from sweep.report.figures.canvas import MANY, Sheet, colour_bar, frame, legend, sheet, text_inches
from sweep.report.figures.scale import Scale, floor_band, set_scale, value_axis
from sweep.report.formats import tick

__all__ = ["MOST_LINES", "Line", "LinesData", "Panel", "Spot", "draw_lines", "line_style"]
__all__ += ["mark_style"]

MOST_LINES = 60

Spot = tuple[float, float]
"""A step, iteration count or value of a key, and the error there."""

Values = npt.NDArray[np.float64]

_BEST: dict[str, Any] = {"color": INK, "linewidth": 2.2, "linestyle": (0, (4, 1.5))}
_OVER: dict[str, Any] = {"clip_on": False, "zorder": 3}


class Line(NamedTuple):
    """One line, a mark for each of its runs, and where runs diverged.

    `value` is the position of its value on the key's axis; `validation` is a second line.
    """

    value: int
    x: Values
    y: Values
    runs: tuple[Spot, ...] = ()
    diverged: tuple[Spot, ...] = ()
    validation: tuple[Values, Values] | None = None


class Panel(NamedTuple):
    """The lines of one panel, its best run, and the lowest of all lines where they are many."""

    title: str
    lines: tuple[Line, ...]
    best: Spot | None
    lowest: tuple[Values, Values] | None


class LinesData(NamedTuple):
    """What a picture of lines shows; `counts` are iteration counts to mark at the top."""

    title: str
    labels: tuple[str, str]
    key: Axis
    x: Scale | Axis
    y: Scale
    panels: tuple[Panel, ...]
    columns: int
    counts: tuple[float, ...]
    note: str
    dashed: str = "validation"

    @property
    def many(self) -> bool:
        """True where a colour scale replaces the legend."""
        return len(self.key.values) >= MANY


def draw_lines(data: LinesData, subtitle: str) -> Figure:
    """Draw a panel for each combination, one legend or colour scale."""
    if data.note:
        subtitle = f"{subtitle} · {data.note}"
    right = max(1.75, 0.75 + text_inches([*data.key.labels, data.key.label]))
    page = sheet(data.title, subtitle, len(data.panels), columns=data.columns, right=right)
    alone = len(data.panels) == 1
    colours = shades(data.key.name, len(data.key.values))
    for index, panel in enumerate(data.panels):
        axes = frame(page, index, panel.title, data.labels)
        set_scale(axes, "y", data.y)
        if isinstance(data.x, Scale):
            set_scale(axes, "x", data.x)
        else:
            value_axis(axes, data.x, 7.2 if alone else 3.4, labels=page.outer(index)[0])
        floor_band(axes, data.y, named=alone)
        _counts(axes, data.counts, named=alone)
        _panel(axes, data, panel, colours, alone)
    _explain(page, data, colours)
    return page.figure


def line_style(colour: str, *, many: bool = False) -> dict[str, Any]:
    """Return the look of a line, thinner among many."""
    return {"color": colour, "linewidth": 0.9 if many else 1.7, "solid_joinstyle": "round"}


def mark_style(colour: str, marker: str, size: float) -> dict[str, Any]:
    """Return the look of a run's mark: its colour with a white rim."""
    return {
        "marker": marker,
        "markersize": size,
        "color": colour,
        "markeredgecolor": "white",
        "markeredgewidth": 0.8 if size > 4 else 0.3,
        "linestyle": "none",
    }


def _panel(axes: Axes, data: LinesData, panel: Panel, colours: Sequence[str], alone: bool) -> None:
    crowded = data.many or len(panel.lines) >= MANY
    for line in panel.lines:
        colour = colours[line.value]
        style = line_style(colour, many=crowded)
        axes.plot(line.x, data.y.drawn(line.y), **style)
        if line.validation is not None:
            x, y = line.validation
            axes.plot(x, data.y.drawn(y), **style | _dashed(style["linewidth"]))
        inside = [spot for spot in line.runs if spot[1] <= data.y.high]
        above = [spot for spot in line.runs if spot[1] > data.y.high]
        size = 3.0 if crowded or len(inside) >= 35 else 7.0 if alone else 5.0
        marker = "o" if data.many else MARKERS[line.value % len(MARKERS)]
        _spots(axes, data.y, inside, mark_style(colour, marker, size))
        _spots(axes, data.y, above, _hollow("^", 9, colour))
        _spots(axes, data.y, line.diverged, _cross(colour))
    if panel.lowest is not None:
        axes.plot(panel.lowest[0], data.y.drawn(panel.lowest[1]), zorder=4, **_BEST)
    if panel.best is not None:
        _spots(axes, data.y, [panel.best], _hollow("o", 14, INK) | {"markerfacecolor": "none"})


def _spots(axes: Axes, y: Scale, spots: Sequence[Spot], style: dict[str, Any]) -> None:
    if spots:
        at, errors = zip(*spots, strict=True)
        axes.plot(at, y.inside(errors), **style, **_OVER)


def _dashed(width: float) -> dict[str, Any]:
    return {"linewidth": 0.8 * width, "linestyle": (0, (2.5, 1.5))}


def _hollow(marker: str, size: float, colour: str) -> dict[str, Any]:
    look = {"marker": marker, "markersize": size, "markerfacecolor": "white"}
    return look | {"markeredgecolor": colour, "markeredgewidth": 1.9, "linestyle": "none"}


def _cross(colour: str) -> dict[str, Any]:
    look = {"marker": "x", "markersize": 9, "markeredgecolor": colour}
    return look | {"markeredgewidth": 2.4, "linestyle": "none"}


def _counts(axes: Axes, counts: Sequence[float], *, named: bool) -> None:
    """Mark the iteration counts of the grid, with their numbers at the top edge."""
    text: dict[str, Any] = {"size": 9, "color": QUIET, "va": "bottom", "parse_math": False}
    free = -np.inf
    for count in (count for count in counts if count <= axes.get_xlim()[1]):
        axes.axvline(count, color=QUIET, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
        x = axes.transAxes.inverted().transform(axes.transData.transform((count, 1)))[0]
        if named and x - free > 0.07:
            axes.text(x, 1.01, tick(count), transform=axes.transAxes, ha="center", **text)
            free = x
    if named and len(counts):
        axes.text(-0.012, 1.01, "runs end at", transform=axes.transAxes, ha="right", **text)


def _explain(page: Sheet, data: LinesData, colours: Sequence[str]) -> None:
    lines = [line for panel in data.panels for line in panel.lines]
    entries: list[tuple[str, dict[str, Any]]] = []
    if not data.many:
        for at in reversed(range(len(data.key.values))):
            look = mark_style(colours[at], MARKERS[at % len(MARKERS)], 6)
            entries.append((data.key.labels[at], look | {"linestyle": "-", "linewidth": 1.7}))
    if any(line.validation is not None for line in lines):
        entries.append((data.dashed, {"color": QUIET, **_dashed(1.7)}))
    if any(panel.best for panel in data.panels):
        ring = _hollow("o", 10, INK) | {"markerfacecolor": "none"}
        entries.append(("best run", ring))
    if any(panel.lowest is not None for panel in data.panels):
        entries.append(("best of all", _BEST))
    if any(error > data.y.high for line in lines for _, error in line.runs):
        entries.append(("above the axis", _hollow("^", 9, QUIET)))
    if any(line.diverged for line in lines):
        entries.append(("diverged", _cross(QUIET)))
    legend(page, "" if data.many else data.key.label, entries)
    if data.many:
        colour_bar(page, data.key.label, colours, data.key.labels, room=0.55 + 0.25 * len(entries))
