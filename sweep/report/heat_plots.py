"""Draw the heat map of final errors, its numbers written in."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sweep.report.canvas import GRID, INK, QUIET, Sheet, sheet, subtitled
from sweep.report.heat import HeatInfo, HeatPanel
from sweep.report.scale import LogScale

__all__ = ["draw_heat"]

# Small errors dark blue, large ones pale sand: ordered by lightness, blue against yellow.
_COLOURS = LinearSegmentedColormap.from_list(
    "error", ["#0b2a6f", "#1f5fa8", "#5b9bc8", "#b9cfd6", "#ecdfc2"]
)
_OUTLINE = "#d4380d"


def draw_heat(info: HeatInfo, subtitle: str) -> Figure:
    """Draw the final errors as coloured cells, the best and the cheapest outlined."""
    count = max(len(info.panels), 1)
    size = _size(info, count)
    page = sheet(
        info.title,
        subtitled(subtitle, info.left_out),
        count,
        width=size[0],
        height=size[1],
        right=1.5,
        left=1.15,
        small=size,
        foot=0.2 if info.written else 0.0,
        columns=info.columns,
    )
    for index, panel in enumerate(info.panels):
        _panel(page, index, info, panel)
    _colour_scale(page, info.scale)
    _explain(page, info)
    return page.figure


def _size(info: HeatInfo, count: int) -> tuple[float, float]:
    """Return the inches of one panel: a cell has room for its number where it is written."""
    rows, columns = max(len(info.rates), 1), max(len(info.counts), 1)
    wide = 1.15 if count == 1 and columns <= 8 else 0.92
    tall = 0.5 if rows <= 12 and count == 1 else 0.34 if rows <= 12 else 0.26
    if not info.written:
        return min(max(columns * 0.2, 4.6), 13.0), min(max(rows * 0.12, 3.0), 9.0)
    return min(max(columns * wide, 2.6), 13.0), min(max(rows * tall, 1.2), 12.0)


def _panel(page: Sheet, index: int, info: HeatInfo, panel: HeatPanel) -> None:
    axes, scale = page.panels[index], info.scale
    axes.imshow(
        panel.values,
        cmap=_COLOURS,
        vmin=scale.low,
        vmax=scale.high,
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_title(panel.title, size=10, color=INK, loc="left", parse_math=False)
    _ticks(page, index, info)
    for i, j in zip(*np.nonzero(np.isnan(panel.values)), strict=True):
        axes.add_patch(
            Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="white", edgecolor=GRID, hatch="////")
        )
    if info.written:
        _texts(axes, info, panel, size=10.5 if len(page.panels) == 1 else 8.5)
    if panel.cheapest is not None and panel.cheapest != panel.best:
        _outline(axes, panel.cheapest, (0, (2.2, 1.2)))
    if panel.best is not None:
        _outline(axes, panel.best, "-")


def _texts(axes: Axes, info: HeatInfo, panel: HeatPanel, size: float) -> None:
    span = info.scale.high - info.scale.low
    if len(info.rates) > 12:
        size = 8.0
    for (i, j), value in np.ndenumerate(panel.values):
        look: dict[str, Any] = {"color": INK, "size": size}
        if np.isnan(value):
            look |= {"size": size * 0.9}
            look |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5}}
        elif (value - info.scale.low) / span < 0.5:
            look["color"] = "white"
        text = panel.texts[i][j]
        axes.text(j, i, text, ha="center", va="center", parse_math=False, **look)


def _outline(axes: Axes, cell: tuple[int, int], style: Any) -> None:
    i, j = cell
    place = (j - 0.5, i - 0.5)
    look: dict[str, Any] = {"fill": False, "clip_on": False, "zorder": 5}
    axes.add_patch(Rectangle(place, 1, 1, edgecolor="white", linewidth=5.0, **look))
    axes.add_patch(
        Rectangle(place, 1, 1, edgecolor=_OUTLINE, linewidth=2.6, linestyle=style, **look)
    )


def _ticks(page: Sheet, index: int, info: HeatInfo) -> None:
    axes = page.panels[index]
    first = index % page.columns == 0
    last_row = index + page.columns >= len(page.panels)
    box = axes.get_position()
    tall = box.height * page.figure.get_figheight()
    wide = box.width * page.figure.get_figwidth()
    y, x = _strided(len(info.rates), int(tall / 0.2)), _strided(len(info.counts), int(wide / 0.68))
    axes.set_yticks(y, [info.rates[i] if first else "" for i in y], parse_math=False)
    axes.set_xticks(x, [info.counts[j] if last_row else "" for j in x], parse_math=False)
    axes.tick_params(length=0, labelsize=10 if len(page.panels) == 1 else 9)
    if len(info.rates) > 12:
        axes.tick_params(axis="y", labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if first:
        axes.set_ylabel("learning rate", size=11, color=INK, parse_math=False)
    if last_row:
        axes.set_xlabel("iterations", size=11, color=INK, parse_math=False)


def _strided(count: int, room: int) -> range:
    """Return the indices that get a label, every so many."""
    return range(0, count, max(-(-count // max(room, 1)), 1))


def _colour_scale(page: Sheet, scale: LogScale) -> None:
    last = page.panels[min(page.columns, len(page.panels)) - 1].get_position()
    bottom = page.panels[-1].get_position().y0
    width = page.figure.get_figwidth()
    bar = page.figure.add_axes((last.x1 + 0.2 / width, bottom, 0.16 / width, last.y1 - bottom))
    bar.imshow(
        np.linspace(scale.low, scale.high, 256)[:, None],
        cmap=_COLOURS,
        aspect="auto",
        origin="lower",
        extent=(0, 1, scale.low, scale.high),
    )
    bar.set_xticks([])
    room = (last.y1 - bottom) * page.figure.get_figheight() / 0.21
    step = max(-(-len(scale.ticks) // max(int(room), 1)), 1)
    bar.set_yticks(scale.ticks[::step], scale.labels[::step], parse_math=False)
    bar.yaxis.tick_right()
    bar.tick_params(colors=INK, labelsize=9, length=2)
    bar.set_title("error E", size=10, color=INK, loc="left", pad=10, parse_math=False)
    for spine in bar.spines.values():
        spine.set_visible(False)


def _explain(page: Sheet, info: HeatInfo) -> None:
    """Say at the bottom what the outlines mean."""
    if not info.written or not any(panel.best for panel in info.panels):
        return
    words = "outlined: the best run"
    if any(p.cheapest is not None and p.cheapest != p.best for p in info.panels):
        words += "; dashed: the cheapest that is as good (√E ≤ 1e-13)"
    figure = page.figure
    start, base = 0.25 / figure.get_figwidth(), 0.14 / figure.get_figheight()
    figure.text(start, base, words, size=9, color=QUIET, parse_math=False)
