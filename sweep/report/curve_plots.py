"""Draw lines on two logarithmic axes: error curves, final errors by iterations or by rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from sweep.report.canvas import INK, QUIET, Sheet, axis, legend, sheet, subtitled
from sweep.report.curves import CurvePanel, CurvesInfo
from sweep.report.looks import Key, spread
from sweep.report.scale import FLOOR_DECADE, LogScale

__all__ = ["draw_curves", "floor_band", "line_style", "mark_style"]

_DASHES: dict[str, Any] = {"color": INK, "linewidth": 2.2, "linestyle": (0, (4, 1.5))}


def draw_curves(info: CurvesInfo, subtitle: str) -> Figure:
    """Draw a panel for each combination of the other axes, one legend or colour scale."""
    note = subtitled(subtitle, info.left_out)
    page = sheet(info.title, note, max(len(info.panels), 1), columns=info.columns)
    small = len(info.panels) > 1
    for index, panel in enumerate(info.panels):
        axes = axis(page, index, info.x, info.y, (info.x_label, info.y_label))
        axes.set_title(panel.title, size=10, color=INK, loc="left", parse_math=False)
        floor_band(axes, info.y, named=not small)
        _counts(axes, info, named=not small)
        _lines(axes, info, panel, small)
    if info.key.many:
        _colour_scale(page, info.key)
    _explain(page, info)
    return page.figure


def line_style(colour: str, many: bool) -> dict[str, Any]:
    """Return the look of a line, thinner among many."""
    return {"color": colour, "linewidth": 0.9 if many else 1.7, "solid_joinstyle": "round"}


def _validation_style(colour: str, many: bool) -> dict[str, Any]:
    style = line_style(colour, many)
    return {**style, "linewidth": 0.8 * style["linewidth"], "linestyle": (0, (2.5, 1.5))}


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


def _lines(axes: Axes, info: CurvesInfo, panel: CurvePanel, small: bool) -> None:
    many = info.key.many
    size = 3.0 if many else 5.0 if small else 7.0
    over: dict[str, Any] = {"clip_on": False, "zorder": 3}
    for line in panel.lines:
        axes.plot(line.x, line.y, **line_style(line.colour, many))
        if line.validation is not None:
            axes.plot(*line.validation, **_validation_style(line.colour, many))
        if line.marks:
            marker = "o" if many else line.marker
            style = mark_style(line.colour, marker, size if len(line.marks) < 35 else 3.0)
            axes.plot(*_columns(line.marks), **style, **over)
        if line.beyond:
            axes.plot(*_columns(line.beyond), **_beyond(line.colour), **over)
        if line.diverged:
            axes.plot(*_columns(line.diverged), **_cross(line.colour), **over)
    if panel.lowest is not None:
        axes.plot(*panel.lowest, zorder=4, **_DASHES)
    if panel.cheapest is not None and panel.cheapest != panel.best:
        axes.plot(*panel.cheapest, zorder=6, clip_on=False, **_ring(dashed=True))
    if panel.best is not None:
        axes.plot(*panel.best, zorder=6, clip_on=False, **_ring())


def _columns(spots: tuple[tuple[float, float], ...]) -> tuple[list[float], list[float]]:
    return [x for x, _ in spots], [y for _, y in spots]


def _ring(dashed: bool = False) -> dict[str, Any]:
    return {
        "marker": "s" if dashed else "o",
        "markersize": 14,
        "markerfacecolor": "none",
        "markeredgecolor": INK,
        "markeredgewidth": 1.4 if dashed else 1.9,
        "linestyle": "none",
    }


def _beyond(colour: str) -> dict[str, Any]:
    return {
        "marker": "^",
        "markersize": 9,
        "markerfacecolor": "white",
        "markeredgecolor": colour,
        "markeredgewidth": 1.8,
        "linestyle": "none",
    }


def _cross(colour: str) -> dict[str, Any]:
    return {
        "marker": "x",
        "markersize": 9,
        "markeredgecolor": colour,
        "markeredgewidth": 2.4,
        "linestyle": "none",
    }


def floor_band(axes: Axes, y: LogScale, *, named: bool) -> None:
    """Shade the errors that double precision cannot tell from zero."""
    if y.low >= FLOOR_DECADE:
        return
    shade = "#eceff2"
    top = min(FLOOR_DECADE, y.high)
    axes.axhspan(y.low, top, color=shade, zorder=0, linewidth=0)
    if not named or top - y.low < 0.07 * (y.high - y.low):
        return
    axes.text(
        0.012,
        top - 0.018 * (y.high - y.low),
        "floor of double precision (√E ≤ 1e-13)",
        transform=axes.get_yaxis_transform(),
        size=9,
        color=QUIET,
        va="top",
        parse_math=False,
        bbox={"facecolor": shade, "edgecolor": "none", "pad": 1},
    )


def _counts(axes: Axes, info: CurvesInfo, *, named: bool) -> None:
    """Mark the iteration counts of the grid, with their numbers at the top edge."""
    top = axes.get_xaxis_transform()
    text: dict[str, Any] = {"size": 9, "color": QUIET, "va": "bottom", "parse_math": False}
    for at, label in info.counts:
        axes.axvline(at, color=QUIET, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
        if named:
            axes.text(at, 1.01, label, transform=top, ha="center", **text)
    if named and info.counts:
        axes.text(-0.012, 1.01, "runs end at", transform=axes.transAxes, ha="right", **text)


def _explain(page: Sheet, info: CurvesInfo) -> None:
    key = info.key
    lines = [line for panel in info.panels for line in panel.lines]
    entries: list[tuple[str, dict[str, Any]]] = []
    if not key.many:
        for looks in reversed(list(zip(key.labels, key.colours, key.markers, strict=True))):
            label, colour, marker = looks
            style = mark_style(colour, marker, 6) | {"linestyle": "-", "linewidth": 1.7}
            entries.append((label, style))
    if any(line.validation is not None for line in lines):
        entries.append(("validation", _validation_style(QUIET, False)))
    if any(panel.best for panel in info.panels):
        entries.append(("best run", _ring() | {"markersize": 10}))
    if any(p.cheapest is not None and p.cheapest != p.best for p in info.panels):
        entries.append(("cheapest\nas good", _ring(dashed=True) | {"markersize": 9}))
    if any(panel.lowest is not None for panel in info.panels):
        entries.append(("best of all", _DASHES))
    if any(line.beyond for line in lines):
        entries.append(("above the axis", _beyond(QUIET)))
    if any(line.diverged for line in lines):
        entries.append(("diverged", _cross(QUIET)))
    legend(page, "" if key.many else key.title, entries)


def _colour_scale(page: Sheet, key: Key) -> None:
    """Draw the values of the lines as a bar of their colours at the right."""
    last = page.panels[min(page.columns, len(page.panels)) - 1].get_position()
    bottom = page.panels[-1].get_position().y0
    width, height = page.figure.get_figwidth(), page.figure.get_figheight()
    top = last.y1 - 1.5 / height
    bar = page.figure.add_axes((last.x1 + 0.2 / width, bottom, 0.16 / width, top - bottom))
    count = len(key.values)
    bar.imshow(
        np.arange(count)[:, None],
        cmap=ListedColormap(list(key.colours)),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
    )
    at = spread(count, max(min(9, int((top - bottom) * height / 0.3)), 2))
    bar.set_xticks([])
    bar.set_yticks(at, [f"{key.values[i]:.3g}" for i in at], parse_math=False)
    bar.yaxis.tick_right()
    bar.tick_params(colors=INK, labelsize=9, length=2)
    bar.set_title(key.title, size=10, color=INK, loc="left", parse_math=False)
    for spine in bar.spines.values():
        spine.set_visible(False)
