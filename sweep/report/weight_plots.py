"""Draw the weights: by name where they have few, as final against initial where many."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.report.canvas import GRID, INK, QUIET, Sheet, legend, sheet, subtitled
from sweep.report.weights import WeightPanel, WeightsInfo

__all__ = ["draw_weights"]

_BEFORE: dict[str, Any] = {
    "marker": "_",
    "markersize": 16,
    "markeredgewidth": 2.2,
    "color": INK,
    "linestyle": "none",
}


def draw_weights(info: WeightsInfo, subtitle: str) -> Figure:
    """Draw where every weight began (a bar) and where each learning rate left it."""
    count = len(info.panels)
    named = bool(info.names)
    width = min(max(0.42 * len(info.names), 5.0), 13.0) if named else 5.2
    small = (min(width, 9.0 if count <= 3 else 6.6), 2.3) if named else (3.2, 3.2)
    columns = (1 if count <= 3 else 2) if named else 0  # names below each other
    page = sheet(
        info.title,
        subtitled(subtitle, info.left_out),
        count,
        width=width,
        height=4.4,
        right=2.2,
        small=small,
        columns=columns,
    )
    limits = _limits(info)
    ticks = [tick for tick in MaxNLocator(7).tick_values(*limits) if limits[0] < tick < limits[1]]
    for index, panel in enumerate(info.panels):
        axes = page.panels[index]
        axes.grid(True, color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        if panel.title:
            axes.set_title(panel.title, size=10, color=INK, loc="left", parse_math=False)
        if named:
            _by_name(page, index, info, panel)
        else:
            _cloud(axes, panel, limits)
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], parse_math=False)
        axes.set_ylim(*limits)
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks], parse_math=False)
    _explain(page, info)
    return page.figure


def _limits(info: WeightsInfo) -> tuple[float, float]:
    arrays = [np.concatenate([s.initial, s.final]) for p in info.panels for s in p.series]
    values = np.concatenate(arrays)
    values = np.clip(values[np.isfinite(values)], -1e150, 1e150)
    if not len(values):
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    pad = 0.06 * (high - low) or 0.5
    return low - pad, high + pad


def _by_name(page: Sheet, index: int, info: WeightsInfo, panel: WeightPanel) -> None:
    axes = page.panels[index]
    count, rates = len(info.names), len(panel.series)
    x = np.arange(count)
    axes.grid(False, axis="x")
    for i, series in enumerate(panel.series):
        at = x + (i - (rates - 1) / 2) * min(0.22, 0.8 / rates)
        axes.vlines(at, series.initial, series.final, color=series.colour, linewidth=1.2)
        axes.plot(at, series.final, **_dot(series.colour, series.marker, 6))
    axes.plot(x, panel.series[0].initial, **_BEFORE, zorder=4)
    axes.set_xlim(-0.7, count - 0.3)
    last_row = index + page.columns >= len(page.panels)
    crowded = count > 32 or (page.columns > 1 and count > 16)
    labels = list(info.names) if last_row else [""] * count
    axes.set_xticks(x, labels, parse_math=False, rotation=90 if crowded else 0)
    axes.tick_params(axis="x", labelsize=7 if crowded else 9)
    for line in x[:-1] + 0.5:
        axes.axvline(line, color=GRID, linewidth=0.5, zorder=0)
    axes.tick_params(axis="y", labelleft=index % page.columns == 0)
    if index % page.columns == 0:
        axes.set_ylabel("value of the weight", size=11, color=INK, parse_math=False)
    if last_row:
        axes.set_xlabel("weight", size=11, color=INK, parse_math=False)


def _cloud(axes: Axes, panel: WeightPanel, limits: tuple[float, float]) -> None:
    axes.axline((0, 0), slope=1, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    for series in panel.series:
        dots = _dot(series.colour, series.marker, 4)
        axes.plot(series.initial, series.final, alpha=0.6, **dots)
    axes.set_xlim(*limits)
    axes.set_xlabel("before training", size=11, color=INK, parse_math=False)
    axes.set_ylabel("after training", size=11, color=INK, parse_math=False)


def _dot(colour: str, marker: str, size: float) -> dict[str, Any]:
    return {
        "marker": marker,
        "markersize": size,
        "color": colour,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
        "linestyle": "none",
    }


def _explain(page: Sheet, info: WeightsInfo) -> None:
    entries: list[tuple[str, dict[str, Any]]] = []
    if info.names:
        entries.append(("before training", _BEFORE))
    looks: dict[str, dict[str, Any]] = {}
    for panel in info.panels:
        for series in panel.series:
            looks.setdefault(series.label, _dot(series.colour, series.marker, 7))
    entries += reversed(looks.items())
    legend(page, "learning rate · iterations", entries)
