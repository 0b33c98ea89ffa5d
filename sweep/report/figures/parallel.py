"""Parallel coordinates: one line for each run over all varying keys, coloured by its error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize

from sweep.report.axes import by_influence, scores
from sweep.report.colours import GRID, INK, QUIET, ramp
from sweep.report.curves import Frame
from sweep.report.data import SweepData
from sweep.report.figures.scales import ceiling_of, spaced
from sweep.report.figures.sheet import Picture, Sheet, spread, styled, text_inches
from sweep.report.formats import counted, power

MOST_AXES = 8
MOST_RUNS = 1000

_COLOURS = [ramp(part) for part in np.linspace(0, 1, 100)]


@styled
def parallel_picture(data: SweepData) -> Picture | None:
    """Return the picture; None for fewer than three varying keys or two results."""
    if len(data.varying) < 3 or len(data.ranked) < 2:
        return None
    runs = parallel_data(data)
    keys = [data.axes[name] for name in runs.columns[:-1]]
    what, every = "grid point" if data.repeats else "run", len(data.ranked)
    wide = max(1.5, *(text_inches(key.labels, 9) + 0.45 for key in keys))
    page = Sheet(
        "Parallel coordinates",
        f"{data.subtitle} · thick: the best",
        ("", ""),
        note=f"{len(runs)} of {counted(every, what)}" if len(runs) < every else "",
        size=(max(wide * len(keys), 5.0), 4.2),
        left=0.45 + text_inches(keys[0].labels, 9),
        right=1.2,
    )
    (axes,) = page.panels
    low, high = runs.score.min(), runs.score.max()
    columns = []
    box = {"facecolor": "white", "edgecolor": GRID, "pad": 1.2, "alpha": 0.85}
    look: dict[str, Any] = {"size": 9, "zorder": 6, "ha": "right", "va": "center", "bbox": box}
    for number, key in enumerate(keys):
        positions = np.log10(key.positions) if key.scale == "log" else np.asarray(key.positions)
        positions = (positions - positions[0]) / ((positions[-1] - positions[0]) or 1.0)
        columns.append(runs[key.name].map(dict(zip(key.values, positions, strict=True))))
        axes.axvline(number, color=QUIET, linewidth=1.0, zorder=3)
        for at in spaced(positions, 0.05):
            axes.text(number - 0.03, positions[at], key.labels[at], **look)
    lines = np.column_stack([*columns, (runs.score - low) / (high - low or 1.0)])
    largest = data.question.mode == "max"
    colours = _COLOURS[:: -1 if largest else 1]
    x, many = np.arange(lines.shape[1]), len(lines) > 200
    drawn = LineCollection(
        [np.column_stack([x, line]) for line in lines],
        colors=[colours[int(end * 99)] for end in lines[:, -1]],
        linewidths=0.8 if many else 1.3,
        alpha=0.45 if many else 0.75,
    )
    axes.add_collection(drawn)
    axes.plot(x, lines[-1], color=INK, linewidth=3, clip_on=False, zorder=4)  # the best
    axes.spines[:].set_visible(False)
    axes.grid(False)
    axes.set(xlim=(0, len(keys)), ylim=(0, 1), yticks=[])
    axes.set_xticks(x, [*(key.label for key in keys), data.label])
    axes.tick_params(length=0, labelsize=11, pad=12)
    values = np.linspace(low, high, 6)
    names = map(power, 10.0**values if data.logarithmic else values)
    ticks = dict(zip(np.linspace(0, 1, 6), names, strict=True))
    page.colour_bar("", Normalize(0, 1), ListedColormap(colours), ticks, gap=0.0)
    over = ", ".join(key.label for key in keys)
    alt = f"{counted(len(runs), what)} as lines over {over} and {data.label}.{data.best_words}"
    small = "large" if largest else "small"
    caption = f"A line for each {what}, dark where {data.label} is {small}; the best one is thick."
    return page.picture("parallel_coordinates", alt, caption)


def parallel_data(data: SweepData) -> Frame:
    """Return the grid points with a value, the worst first.

    The columns are the most influential keys (values as text), then ``score``, the values as
    compared by `sweep.report.axes.scores`, up to the ceiling.
    """
    ceiling = ceiling_of(data)
    most = {axis.name for axis in by_influence(data)[:MOST_AXES]}
    order = data.ranked.index[::-1]
    kept = order[spread(len(order), MOST_RUNS)]
    runs = data.values.loc[kept, [key for key in data.keys if key in most]]
    top = math.log10(ceiling) if data.logarithmic else ceiling
    return runs.assign(score=scores(data)[kept].astype(float).clip(upper=top))
