"""Draw what `infos` computed: each function takes an info and returns a Figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sweep.report.canvas import GRID, INK, QUIET, Sheet, axis, legend, sheet
from sweep.report.infos import CurvePanel, CurvesInfo, HeatInfo, HeatPanel, Key
from sweep.report.scale import FLOOR_DECADE, LogScale

__all__ = ["draw_curves", "draw_heat"]

# Small errors dark blue, large ones pale sand: one hue pair, ordered by lightness.
_HEAT = LinearSegmentedColormap.from_list(
    "error", ["#0b2a6f", "#1f5fa8", "#5b9bc8", "#b9cfd6", "#ecdfc2"]
)


def draw_curves(info: CurvesInfo, subtitle: str) -> Figure:
    """Draw error curves or final errors by iterations, a panel for each combination."""
    note = f"{subtitle} · shown: {info.left_out}" if info.left_out else subtitle
    page = sheet(info.title, note, max(len(info.panels), 1))
    small = len(info.panels) > 1
    for index, panel in enumerate(info.panels):
        axes = axis(page, index, info.x, info.y, (info.x_label, info.y_label))
        if panel.title:
            axes.set_title(panel.title, size=10, color=INK, loc="left", parse_math=False)
        _floor(axes, info.y, small)
        if info.curves and not small:
            _counts(axes, info)
        _lines(axes, info, panel, small)
    if info.key.many:
        _colour_scale(page, info.key)
    _explain(page, info)
    return page.figure


def _lines(axes: Axes, info: CurvesInfo, panel: CurvePanel, small: bool) -> None:
    many = info.key.many
    for line in panel.lines:
        width = (0.9 if many else 1.6) if info.curves else (0.8 if many else 1.4)
        axes.plot(line.x, line.y, color=line.colour, linewidth=width, solid_joinstyle="round")
        axes.plot(
            line.mark_x,
            line.mark_y,
            linestyle="none",
            marker=line.marker if not many else "o",
            markersize=3 if many else 5 if small else 7,
            color=line.colour,
            markeredgecolor="white",
            markeredgewidth=0.3 if many else 0.8,
            zorder=3,
            clip_on=False,
        )
        if line.diverged is not None:
            axes.plot(*line.diverged, zorder=4, clip_on=False, **_cross(line.colour))
    if panel.lowest is not None:
        axes.plot(*panel.lowest, color=INK, linewidth=2.2, linestyle=(0, (4, 1.5)), zorder=5)
    if panel.best is not None:
        axes.plot(*panel.best, zorder=6, clip_on=False, **_ring())


def _ring() -> dict[str, Any]:
    return {
        "marker": "o",
        "markersize": 14,
        "markerfacecolor": "none",
        "markeredgecolor": INK,
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


def _floor(axes: Axes, y: LogScale, small: bool) -> None:
    """Shade the errors that double precision cannot tell from zero."""
    if y.low >= FLOOR_DECADE:
        return
    top = min(FLOOR_DECADE, y.high)
    axes.axhspan(y.low, top, color="#eceff2", zorder=0, linewidth=0)
    if small or top - y.low < 0.07 * (y.high - y.low):
        return
    axes.text(
        0.01,
        top - 0.015 * (y.high - y.low),
        "floor of double precision (√E ≤ 1e-13)",
        transform=axes.get_yaxis_transform(),
        size=9,
        color=QUIET,
        va="top",
        parse_math=False,
    )


def _counts(axes: Axes, info: CurvesInfo) -> None:
    """Mark the iteration counts of the grid at the top edge."""
    for at, label in info.counts:
        axes.axvline(at, color=QUIET, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
        axes.text(
            at,
            1.01,
            label,
            transform=axes.get_xaxis_transform(),
            size=9,
            color=QUIET,
            ha="center",
            va="bottom",
            parse_math=False,
        )


def _explain(page: Sheet, info: CurvesInfo) -> None:
    key, entries = info.key, []
    if not key.many:
        looks = zip(key.labels, key.colours, key.markers, strict=True)
        for label, colour, marker in reversed(list(looks)):
            look = {"color": colour, "marker": marker, "linewidth": 1.6, "markersize": 6}
            entries.append((label, look | {"markeredgecolor": "white"}))
    extra: list[tuple[str, dict[str, Any]]] = []
    if any(panel.best for panel in info.panels):
        extra.append(("best run", _ring() | {"markersize": 10, "markeredgewidth": 1.5}))
    if any(panel.lowest is not None for panel in info.panels):
        dashes = {"color": INK, "linewidth": 2.2, "linestyle": (0, (4, 1.5))}
        extra.append(("best so far", dashes))
    if any(line.diverged for panel in info.panels for line in panel.lines):
        extra.append(("diverged", _cross(QUIET)))
    if key.many:
        legend(page, "", extra)
    else:
        legend(page, "learning rate", entries + extra)


def _colour_scale(page: Sheet, key: Key) -> None:
    """Draw the learning rates as a bar of their colours at the right."""
    last = page.panels[min(page.columns, len(page.panels)) - 1].get_position()
    bottom = page.panels[-1].get_position().y0
    width, height = page.figure.get_figwidth(), page.figure.get_figheight()
    top = last.y1 - 1.15 / height
    bar = page.figure.add_axes((last.x1 + 0.2 / width, bottom, 0.16 / width, top - bottom))
    count = len(key.rates)
    bar.imshow(
        np.arange(count)[:, None],
        cmap=ListedColormap(list(key.colours)),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
    )
    shown = max(min(9, int((top - bottom) * height / 0.3)), 2)
    at = np.unique(np.linspace(0, count - 1, min(count, shown)).round().astype(int))
    labels = [f"{key.rates[i]:.3g}" for i in at]
    bar.set_xticks([])
    bar.set_yticks(at, labels, parse_math=False)
    bar.yaxis.tick_right()
    bar.tick_params(colors=INK, labelsize=9, length=2)
    bar.set_title("learning rate", size=10, color=INK, loc="left", parse_math=False)
    for spine in bar.spines.values():
        spine.set_visible(False)


def draw_heat(info: HeatInfo, subtitle: str) -> Figure:
    """Draw the final errors as coloured cells with their numbers, the best outlined."""
    note = f"{subtitle} · shown: {info.left_out}" if info.left_out else subtitle
    rows, columns = max(len(info.rates), 1), max(len(info.counts), 1)
    written = columns <= 14 and rows <= 45
    cell = (1.15 if columns <= 8 else 0.95, 0.5 if rows <= 12 else 0.26)
    size = (
        min(max(columns * cell[0], 3.4), 13.3),
        min(max(rows * cell[1], 1.6), 12.0),
    )
    page = sheet(
        info.title,
        note,
        max(len(info.panels), 1),
        width=size[0],
        height=size[1],
        right=1.5,
        left=1.15,
        small=size if size[0] <= 5 else (size[0] * 0.85, size[1]),
    )
    for index, panel in enumerate(info.panels):
        _heat_panel(page, index, info, panel, written)
    _heat_scale(page, info.scale)
    return page.figure


def _heat_panel(page: Sheet, index: int, info: HeatInfo, panel: HeatPanel, written: bool) -> None:
    axes = page.panels[index]
    scale = info.scale
    axes.imshow(
        panel.values,
        cmap=_HEAT,
        vmin=scale.low,
        vmax=scale.high,
        aspect="auto",
        interpolation="nearest",
    )
    if panel.title:
        axes.set_title(panel.title, size=10, color=INK, loc="left", parse_math=False)
    first = index % page.columns == 0
    last_row = index + page.columns >= len(page.panels)
    _heat_ticks(axes, info, first, last_row)
    span = scale.high - scale.low
    size = 10.5 if len(info.rates) <= 12 and len(page.panels) == 1 else 8
    for i, row in enumerate(panel.texts):
        for j, text in enumerate(row):
            value = panel.values[i, j]
            if np.isnan(value):
                axes.add_patch(
                    Rectangle(
                        (j - 0.5, i - 0.5), 1, 1, facecolor="white", edgecolor=GRID, hatch="////"
                    )
                )
            if written:
                dark = not np.isnan(value) and (value - scale.low) / span < 0.55
                axes.text(
                    j,
                    i,
                    text,
                    ha="center",
                    va="center",
                    size=size,
                    color="white" if dark else INK,
                    parse_math=False,
                    bbox=None
                    if not np.isnan(value)
                    else {"facecolor": "white", "edgecolor": "none", "pad": 1.5},
                )
    if panel.best is not None:
        i, j = panel.best
        for colour, width in (("white", 5.0), ("#d4380d", 2.6)):
            axes.add_patch(
                Rectangle(
                    (j - 0.5, i - 0.5),
                    1,
                    1,
                    fill=False,
                    edgecolor=colour,
                    linewidth=width,
                    clip_on=False,
                    zorder=5,
                )
            )


def _heat_ticks(axes: Axes, info: HeatInfo, first: bool, last_row: bool) -> None:
    rows, columns = len(info.rates), len(info.counts)
    every_row = max(1, -(-rows // 45))
    every_column = max(1, -(-columns // 14))
    y = list(range(0, rows, every_row))
    x = list(range(0, columns, every_column))
    axes.set_yticks(y, [info.rates[i] if first else "" for i in y], parse_math=False)
    axes.set_xticks(x, [info.counts[j] if last_row else "" for j in x], parse_math=False)
    axes.tick_params(length=0)
    if rows > 12:
        axes.tick_params(axis="y", labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if first:
        axes.set_ylabel("learning rate", size=11, color=INK, parse_math=False)
    if last_row:
        axes.set_xlabel("iterations", size=11, color=INK, parse_math=False)


def _heat_scale(page: Sheet, scale: LogScale) -> None:
    last = page.panels[min(page.columns, len(page.panels)) - 1].get_position()
    bottom = page.panels[-1].get_position().y0
    width = page.figure.get_figwidth()
    bar = page.figure.add_axes((last.x1 + 0.2 / width, bottom, 0.16 / width, last.y1 - bottom))
    bar.imshow(
        np.linspace(scale.low, scale.high, 256)[:, None],
        cmap=_HEAT,
        aspect="auto",
        origin="lower",
        extent=(0, 1, scale.low, scale.high),
    )
    bar.set_xticks([])
    bar.set_yticks(scale.ticks, scale.labels, parse_math=False)
    bar.yaxis.tick_right()
    bar.tick_params(colors=INK, labelsize=9, length=2)
    for spine in bar.spines.values():
        spine.set_visible(False)
