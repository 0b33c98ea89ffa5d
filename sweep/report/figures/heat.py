"""Heat map of the final errors over the two keys that matter most."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sweep.report.axes import Axis, by_influence
from sweep.report.colours import ERROR_STOPS, GRID, INK, OUTLINE, QUIET
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import (
    Picture,
    Sheet,
    colour_bar,
    sheet,
    spread,
    text_inches,
)
from sweep.report.figures.panels import ceiling_of, panels_of
from sweep.report.formats import counted, figure, power, tick

__all__ = ["HeatData", "heat_data", "heat_picture"]

MOST_WRITTEN = (45, 14)
"""Rows and columns up to which a cell has room for its number."""


class HeatData(NamedTuple):
    """Final errors over two keys, the largest value of `down` on top.

    `cells` holds for each panel the error and the text of each cell, both as tables.
    """

    title: str
    down: Axis
    across: Axis
    titles: tuple[str, ...]
    cells: tuple[tuple[Frame, Frame], ...]
    best: tuple[tuple[int, int] | None, ...]
    ceiling: float
    columns: int
    note: str

    @property
    def written(self) -> bool:
        """True where the cells have room for their numbers."""
        return _written(self.down, self.across)


def heat_picture(data: SweepData) -> Picture | None:
    """Return the heat map; None where fewer than two keys vary."""
    shown = heat_data(data)
    if shown is None:
        return None
    caption = "The best run is outlined." if data.best is not None else ""
    alt = (
        f"Heat map of the final error for {counted(len(shown.down.values), 'value')} of "
        f"{shown.down.label} and {counted(len(shown.across.values), 'value')} of "
        f"{shown.across.label}."
    )
    if data.best is not None:
        alt += f" Smallest: {figure(data.best.error)} at {data.words(data.best)}."
    return Picture("final_error_heatmap", shown.title, alt, caption, partial(_draw, shown))


def heat_data(data: SweepData) -> HeatData | None:
    """Return the final errors over two keys; other keys have panels, or the best is shown."""
    two = {axis.name: axis for axis in by_influence(data)[:2]}
    if len(two) < 2 or data.started.empty:
        return None
    rest = list(two.values())
    down = two.get("lr") or next(axis for axis in rest if axis.name != "iters")
    across = next(axis for axis in rest if axis is not down)
    wide = _size(down, across, 2)[0]
    panels = panels_of(data, down, across, inches=wide)
    rows = data.grid.loc[[*data.ranked.index, *data.grid.index.difference(data.ranked.index)]]
    keys = data.values.loc[rows.index]
    rows = rows.assign(down=keys[down.name], across=keys[across.name])
    cells, best = [], []
    for inside in panels.rows:
        own = rows[rows.index.isin(inside)].drop_duplicates(["down", "across"])
        own = own.assign(text=[_text(row) for row in own.itertuples()])
        tables = [own.pivot(index="down", columns="across", values=v) for v in ("error", "text")]
        error, text = (t.reindex(down.values[::-1]).reindex(across.values, axis=1) for t in tables)
        cells.append((error, text.fillna("")))
        at = None
        if data.best is not None and data.best.name in own.index:
            where = keys.loc[data.best.name]
            at = (error.index.get_loc(where[down.name]), error.columns.get_loc(where[across.name]))
        best.append(at)
    note = f"the best of {panels.note}" if panels.whole else ""
    title = f"Final error by {down.label} and {across.label}"
    return HeatData(
        title,
        down,
        across,
        panels.titles,
        tuple(cells),
        tuple(best),
        ceiling_of(data),
        panels.columns,
        note,
    )


def _text(row: Any) -> str:
    if row.error == row.error:
        return power(row.error)
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


def _draw(data: HeatData, subtitle: str) -> Figure:
    count = len(data.titles)
    size = _size(data.down, data.across, count)
    page = sheet(
        data.title,
        f"{subtitle} · {data.note}" if data.note else subtitle,
        count,
        size=size,
        small=size,
        left=0.75 + text_inches(data.down.labels),
        right=1.5,
        foot=0.2,
        columns=data.columns,
    )
    errors = np.concatenate([error.to_numpy(float).ravel() for error, _ in data.cells])
    norm = _norm(errors[np.isfinite(errors)], data.ceiling)
    colours = LinearSegmentedColormap.from_list("error", ERROR_STOPS)
    for index in range(count):
        _panel(page, index, data, norm, colours)
    _scale(page, norm, colours)
    if any(data.best):
        base = 0.14 / page.figure.get_figheight()
        start = 0.25 / page.figure.get_figwidth()
        look: dict[str, Any] = {"size": 9, "color": QUIET, "parse_math": False}
        page.figure.text(start, base, "outlined: the best run", **look)
    return page.figure


def _norm(errors: np.ndarray, ceiling: float) -> Normalize:
    """Return the colour scale: logarithmic without negatives; zeros count as the smallest."""
    if (errors < 0).any():
        return Normalize(float(errors.min()), float(errors.max()), clip=True)
    positive = errors[errors > 1e-300]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
    high = max(min(float(high), ceiling), float(low))
    if high < 10 * low:
        low, high = low / 3, high * 3
    return LogNorm(float(low), high, clip=True)


def _panel(
    page: Sheet, index: int, data: HeatData, norm: Normalize, colours: LinearSegmentedColormap
) -> None:
    axes = page.panels[index]
    error, text = data.cells[index]
    values = np.clip(error.to_numpy(float), norm.vmin, norm.vmax)
    axes.grid(False)
    axes.set_title(data.titles[index], size=10, color=INK, loc="left", parse_math=False)
    axes.imshow(values, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    for i, j in zip(*np.nonzero(np.isnan(values)), strict=True):
        look: dict[str, Any] = {"facecolor": "white", "edgecolor": GRID, "hatch": "////"}
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **look))
    if data.written:
        _write(axes, values, text, norm, size=10.5 if len(page.panels) == 1 else 8.5)
    at = data.best[index]
    if at is not None:
        box: dict[str, Any] = {"fill": False, "clip_on": False, "zorder": 5}
        corner = (at[1] - 0.5, at[0] - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, edgecolor="white", linewidth=5.0, **box))
        axes.add_patch(Rectangle(corner, 1, 1, edgecolor=OUTLINE, linewidth=2.6, **box))
    _ticks(page, index, data)


def _write(axes: Axes, values: np.ndarray, text: Frame, norm: Normalize, size: float) -> None:
    size = 8.0 if len(text) > 12 else size
    for (i, j), value in np.ndenumerate(values):
        look: dict[str, Any] = {"color": INK, "size": size}
        if np.isnan(value):
            look |= {"size": size * 0.9}
            look |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5}}
        elif norm(value) < 0.5:
            look["color"] = "white"
        axes.text(j, i, text.iloc[i, j], ha="center", va="center", parse_math=False, **look)


def _ticks(page: Sheet, index: int, data: HeatData) -> None:
    axes = page.panels[index]
    last, first = page.outer(index)
    box = axes.get_position()
    tall = box.height * page.figure.get_figheight()
    wide = box.width * page.figure.get_figwidth()
    rows, columns = data.down.labels[::-1], data.across.labels
    each = max(text_inches(columns) + 0.12, 0.3)
    y = range(0, len(rows), -(-len(rows) // max(int(tall / 0.2), 1)))
    x = range(0, len(columns), -(-len(columns) // max(int(wide / each), 1)))
    axes.set_yticks(y, [rows[i] if first else "" for i in y], parse_math=False)
    axes.set_xticks(x, [columns[j] if last else "" for j in x], parse_math=False)
    axes.tick_params(length=0, labelsize=10 if len(page.panels) == 1 else 9)
    if len(rows) > 12:
        axes.tick_params(axis="y", labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_ylabel(data.down.label if first else "", size=11, color=INK, parse_math=False)
    axes.set_xlabel(data.across.label if last else "", size=11, color=INK, parse_math=False)


def _scale(page: Sheet, norm: Normalize, colours: LinearSegmentedColormap) -> None:
    parts = np.linspace(0, 1, 200)
    values = np.asarray(norm.inverse(parts))
    labels = [""] * len(parts)
    if isinstance(norm, LogNorm):
        low, high = np.log10(values[0]), np.log10(values[-1])
        for decade in range(int(np.ceil(low - 1e-9)), int(np.floor(high + 1e-9)) + 1):
            labels[round((decade - low) / (high - low) * 199)] = tick(10.0**decade)
    else:
        for at in spread(200, 5):
            labels[at] = tick(float(f"{values[at]:.3g}"))
    colour_bar(page, "error E", [colours(part) for part in parts], labels)
