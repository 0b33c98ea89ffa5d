"""Heat map of the final errors over the two keys that matter most."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sweep.report.axes import Axis, by_influence
from sweep.report.colours import ERROR_STOPS, GRID, INK, OUTLINE, QUIET
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import Picture, Sheet, inches_of, text_inches
from sweep.report.figures.panels import Panels, ceiling_of, heading, panels_of
from sweep.report.figures.scale import round_ticks
from sweep.report.formats import counted, figure, power, tick

__all__ = ["heat_axes", "heat_data", "heat_picture"]

MOST_WRITTEN = (45, 14)
"""Rows and columns up to which a cell has room for its number."""


def heat_picture(data: SweepData) -> Picture | None:
    """Return the heat map; None where fewer than two keys vary."""
    if len(data.varying) < 2 or data.started.empty:
        return None
    down, across = heat_axes(data)
    alt = (
        f"Heat map of {data.label} for {counted(len(down.values), 'value')} of {down.label} "
        f"and {counted(len(across.values), 'value')} of {across.label}."
    )
    if data.best is not None:
        alt += f" Best: {figure(data.best.value)} at {data.words(data.best)}."
    best = f"The best {'grid point' if data.repeats else 'run'} is outlined."
    caption = "" if data.best is None else best
    title = f"{heading(data)} by {down.label} and {across.label}"
    return Picture("final_error_heatmap", title, alt, caption, partial(_draw, data, title))


def heat_axes(data: SweepData) -> tuple[Axis, Axis]:
    """Return the two keys that matter most: learning rates go down, iterations across."""
    two = by_influence(data)[:2]
    down = next((axis for axis in two if axis.name == "lr"), None)
    down = down or next(axis for axis in two if axis.name != "iters")
    return down, next(axis for axis in two if axis is not down)


def heat_data(data: SweepData) -> tuple[Frame, Panels]:
    """Return the deciding metric over two keys; of several grid points in a cell the best.

    Columns of the table: ``panel``, ``down``, ``across`` (texts of the values), ``value`` (NaN
    where there is none), ``text`` (the value, or why there is none), ``best``.
    """
    down, across = heat_axes(data)
    panels = panels_of(data, down, across, inches=_size(down, across, 2)[0])
    rows = data.grid.loc[[*data.ranked.index, *data.grid.index.difference(data.ranked.index)]]
    rows = rows.assign(
        panel=panels.of,
        down=data.values[down.name],
        across=data.values[across.name],
        text=[_text(row) for row in rows.itertuples()],
        best=rows.index == (-1 if data.best is None else data.best.name),
    )
    cells = rows.drop_duplicates(["panel", "down", "across"])
    return cells[["panel", "down", "across", "value", "text", "best"]], panels


def _text(row: Any) -> str:
    if row.value == row.value:
        return power(row.value)
    return "not run" if row.run is None else "none" if row.outcome == "completed" else row.outcome


def _written(down: Axis, across: Axis) -> bool:
    return len(down.values) <= MOST_WRITTEN[0] and len(across.values) <= MOST_WRITTEN[1]


def _size(down: Axis, across: Axis, count: int) -> tuple[float, float]:
    """Return the inches of one panel: a cell has room for its number where it is written."""
    rows, columns = len(down.values), len(across.values)
    wide = 1.15 if count == 1 and columns <= 8 else 0.92
    tall = 0.5 if rows <= 12 and count == 1 else 0.34 if rows <= 12 else 0.26
    if not _written(down, across):
        return min(max(columns * 0.2, 4.6), 13.0), min(max(rows * 0.12, 3.0), 9.0)
    return min(max(columns * wide, 2.6), 13.0), min(max(rows * tall, 1.2), 12.0)


def _draw(data: SweepData, title: str, subtitle: str) -> Figure:
    down, across = heat_axes(data)
    cells, panels = heat_data(data)
    size = _size(down, across, len(panels.titles))
    page = Sheet(
        title,
        subtitle,
        panels.titles,
        (across.label, down.label),
        note=f"the best of {panels.note}" if panels.whole else "",
        size=size,
        small=size,
        left=0.75 + text_inches(down.labels),
        right=1.5,
        foot=0.2,
        columns=panels.columns,
    )
    norm = _norm(cells.value.dropna().to_numpy(), ceiling_of(data), log=data.logarithmic)
    largest = data.question.mode == "max"
    colours = LinearSegmentedColormap.from_list("error", ERROR_STOPS[:: -1 if largest else 1])
    for name, axes in zip(panels.titles, page.panels, strict=True):
        own = cells[cells.panel == name].pivot(index="down", columns="across")
        own = own.reindex(index=down.values[::-1]).reindex(columns=across.values, level=1)
        _panel(axes, own, norm, colours)
        if _written(down, across):
            _write(axes, own, norm, largest, size=10.5 if len(panels.titles) == 1 else 8.5)
        _ticks(axes, down.labels[::-1], across.labels)
    log = isinstance(norm, LogNorm)
    ticks = round_ticks("log" if log else "linear", float(norm.vmin or 0), float(norm.vmax or 0))
    label = "error E" if data.metric == "final_error" else data.label
    page.colour_bar(label, norm, colours, ticks, [tick(value) for value in ticks])
    if cells.best.any():
        width, height = page.figure.get_size_inches()
        page.figure.text(0.25 / width, 0.14 / height, "outlined: the best", size=9, color=QUIET)
    return page.figure


def _norm(errors: np.ndarray, ceiling: float, *, log: bool) -> Normalize:
    """Return the colour scale: logarithmic without negatives; zeros count as the smallest."""
    if len(errors) and (not log or (errors < 0).any()):
        return Normalize(float(errors.min()), float(errors.max()), clip=True)
    positive = errors[errors > 1e-300]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
    high = max(min(float(high), ceiling), float(low))
    if high < 10 * low:
        low, high = low / 3, high * 3
    return LogNorm(float(low), high, clip=True)


def _panel(axes: Axes, cells: Frame, norm: Normalize, colours: LinearSegmentedColormap) -> None:
    values = np.clip(cells.value.to_numpy(float), norm.vmin, norm.vmax)
    axes.imshow(values, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for y, x in np.argwhere(np.isnan(values)):
        look: dict[str, Any] = {"facecolor": "white", "edgecolor": GRID, "hatch": "////"}
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **look))
    for y, x in np.argwhere(cells.best.to_numpy() == True):  # noqa: E712  (missing cells are NaN)
        for colour, width in (("white", 5.0), (OUTLINE, 2.6)):
            box: dict[str, Any] = {"fill": False, "clip_on": False, "zorder": 5}
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, ec=colour, lw=width, **box))


def _write(axes: Axes, cells: Frame, norm: Normalize, largest: bool, size: float) -> None:
    size = 8.0 if len(cells) > 12 else size
    texts = cells.text.fillna("").to_numpy()
    for (y, x), value in np.ndenumerate(cells.value.to_numpy(float)):
        look: dict[str, Any] = {"color": INK, "size": size}
        if np.isnan(value):
            look |= {"size": size * 0.9}
            look |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5}}
        elif (norm(value) < 0.5) != largest:
            look["color"] = "white"
        axes.text(x, y, texts[y, x], ha="center", va="center", **look)


def _ticks(axes: Axes, down: tuple[str, ...], across: tuple[str, ...]) -> None:
    """Name as many rows and columns as have room."""
    wide, tall = inches_of(axes)
    each = max(text_inches(across) + 0.12, 0.3)
    y = range(0, len(down), -(-len(down) // max(int(tall / 0.2), 1)))
    x = range(0, len(across), -(-len(across) // max(int(wide / each), 1)))
    axes.set_yticks(y, [down[at] for at in y])
    axes.set_xticks(x, [across[at] for at in x])
    axes.tick_params(length=0)
    if len(down) > 12:
        axes.tick_params(axis="y", labelsize=8)
