"""Heat map of the final errors over the two most influential keys."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.patches import Rectangle

from sweep.report.axes import LARGEST, Axis, by_influence, sparse
from sweep.report.colours import ERROR_STOPS, INK, OUTLINE
from sweep.report.curves import Frame
from sweep.report.data import SweepData
from sweep.report.figures.scales import ceiling_of, round_ticks
from sweep.report.figures.sheet import Panels, Picture, Sheet, panels_of, styled, text_inches
from sweep.report.formats import counted, power, tick

MOST_WRITTEN = (45, 14)
"""Maximum numbers of rows and columns with numbers in the cells."""


@styled
def heat_picture(data: SweepData) -> Picture | None:
    """Return the heat map; None if fewer than two keys vary or most cells would be empty."""
    if len(data.varying) < 2 or data.started.empty:
        return None
    down, across = heat_axes(data)
    cells, panels = heat_data(data)
    if sparse(len(cells), len(down.values), len(across.values) * len(panels.titles)):
        return None
    size, count = _size(down, across, len(panels.titles)), len(panels.titles)
    notes = [f"the best of {panels.note}"] if panels.note else []
    notes += ["outlined: the best"] if cells.best.any() else []
    label = "error E" if data.metric == "final_error" else data.label
    y, x = _ticks(down, down.labels[::-1], size[1], 0.2), _ticks(across, across.labels, size[0])
    turned = 90 if _wide(across, size[0]) else 0
    page = Sheet(
        f"{data.heading} by {down.label} and {across.label}",
        data.subtitle,
        (across.label, down.label),
        panels,
        note=" · ".join(notes),
        size=size,
        left=0.75 + text_inches(down.labels),
        right=max(1.5, 0.3 + text_inches([label], 12)),
        gap=0.45 + (text_inches(across.labels) if turned else 0),
    )
    norm = _norm(cells.value.dropna().to_numpy(), ceiling_of(data), log=data.logarithmic)
    largest = data.question.mode == "max"
    colours = LinearSegmentedColormap.from_list("error", ERROR_STOPS[:: -1 if largest else 1])
    for name, axes in zip(panels.titles, page.panels, strict=True):
        own = cells[cells.panel == name].pivot(index="down", columns="across")
        own = own.reindex(index=down.values[::-1]).reindex(columns=across.values, level=1)
        values = np.clip(own.value.to_numpy(float), norm.vmin, norm.vmax)
        axes.patch.set(hatch="////")  # visible where a cell has no value
        axes.imshow(values, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        if _written(down, across):
            written = 8.0 if len(own) > 12 else 10.5 if count == 1 else 8.5
            _write(axes, own.text.fillna("").to_numpy(), norm(values), written, largest=largest)
        for i, j in np.argwhere(own.best.map(lambda cell: cell is True)):
            for colour, width in (("white", 5.0), (OUTLINE, 2.6)):
                box: dict[str, Any] = {"fill": False, "clip_on": False, "zorder": 5}
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, ec=colour, lw=width, **box))
        axes.set_yticks(list(y), list(y.values()), size=8 if len(own) > 12 else None)
        axes.set_xticks(list(x), list(x.values()), rotation=turned)
        axes.tick_params(length=0)
    scale = "log" if isinstance(norm, LogNorm) else "linear"
    ticks = round_ticks(scale, float(norm.vmin or 0), float(norm.vmax or 0))
    page.colour_bar(label, norm, colours, {value: tick(value) for value in ticks})
    alt = f"Heat map of {data.label} for {counted(len(down.values), 'value')} of {down.label} "
    alt += f"and {counted(len(across.values), 'value')} of {across.label}.{data.best_words}"
    outlined = f"The best {'grid point' if data.repeats else 'run'} is outlined."
    return page.picture("final_error_heatmap", alt, outlined if data.best_words else "")


def heat_axes(data: SweepData) -> tuple[Axis, Axis]:
    """Return the two most influential keys (down, across); lr goes down, iters across."""
    one, two = by_influence(data)[:2]
    return (two, one) if two.name == "lr" or one.name == "iters" else (one, two)


def heat_data(data: SweepData) -> tuple[Frame, Panels]:
    """Return the deciding metric over two keys; the best if several grid points share a cell.

    Columns: ``panel``, ``down``, ``across`` (values as text), ``value`` (NaN if there is none),
    ``text`` (the value, or why there is none), ``best``.
    """
    down, across = heat_axes(data)
    panels = panels_of(data, down, across, inches=_size(down, across, 2)[0])
    rows = data.grid.loc[[*data.ranked.index, *data.grid.index.difference(data.ranked.index)]]
    none = rows.outcome.replace({"missing": "not run", "completed": "none"})
    rows = rows.assign(
        panel=panels.of,
        down=data.values[down.name],
        across=data.values[across.name],
        text=rows.value.map(power, na_action="ignore").where(rows.value.notna(), none),
        best=rows.index == (-1 if data.best is None else data.best.name),
    )
    cells = rows.drop_duplicates(["panel", "down", "across"])
    return cells[["panel", "down", "across", "value", "text", "best"]], panels


def _written(down: Axis, across: Axis) -> bool:
    return len(down.values) <= MOST_WRITTEN[0] and len(across.values) <= MOST_WRITTEN[1]


def _size(down: Axis, across: Axis, count: int) -> tuple[float, float]:
    """Return the size of one panel in inches, with room for numbers if they are written."""
    rows, columns = len(down.values), len(across.values)
    if not _written(down, across):
        return min(max(columns * 0.2, 4.6), 13.0), min(max(rows * 0.12, 3.0), 9.0)
    wide = 1.15 if count == 1 and columns <= 8 else 0.92
    tall = 0.5 if rows <= 12 and count == 1 else 0.34 if rows <= 12 else 0.26
    return min(max(columns * wide, 2.6), 13.0), min(max(rows * tall, 1.2), 12.0)


def _norm(errors: np.ndarray, ceiling: float, *, log: bool) -> Normalize:
    """Return a colour scale, linear if not `log` or with negatives; zeros map to its low end."""
    errors = np.clip(errors, -LARGEST, LARGEST)  # the ends of a scale shall not overflow
    if len(errors) and (not log or (errors < 0).any()):
        return Normalize(float(errors.min()), float(errors.max()), clip=True)
    positive = errors[errors > 1e-300]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
    high = max(min(float(high), ceiling), float(low))
    if high < 10 * low:
        low, high = low / 3, high * 3
    return LogNorm(float(low), high, clip=True)


def _write(axes: Axes, texts: Any, shades: Any, size: float, *, largest: bool) -> None:
    """Write the text of each cell, given its place on the colour scale (NaN: it has no value)."""
    for (y, x), shade in np.ndenumerate(np.ma.filled(shades, np.nan)):
        look: dict[str, Any] = {"color": "white" if (shade < 0.5) != largest else INK, "size": size}
        if np.isnan(shade):
            white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            look = {"color": INK, "size": size * 0.9, "bbox": white}
        axes.text(x, y, texts[y, x], ha="center", va="center", **look)


def _wide(across: Axis, inches: float) -> bool:
    """Return whether the labels of categories are too wide to be written side by side."""
    return not across.numbers and len(across.labels) * _room(across.labels) > inches


def _room(labels: tuple[str, ...]) -> float:
    return max(text_inches(labels) + 0.12, 0.3)


def _ticks(axis: Axis, labels: tuple[str, ...], inches: float, each: float = 0.0) -> dict[int, str]:
    """Return as many labels as fit, by position; of categories, which cannot be guessed, all.

    `each` is their height, 0 uses their width.
    """
    fit = max(int(inches / (each or _room(labels))), 1) if axis.numbers else len(labels)
    return {at: labels[at] for at in range(0, len(labels), -(-len(labels) // fit))}
