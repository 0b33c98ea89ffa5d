"""Parallel coordinates: every run as a line over all keys that vary, coloured by its error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from sweep.report.axes import Axis, by_influence, scores
from sweep.report.colours import GRID, INK, QUIET, ramp
from sweep.report.data import SweepData
from sweep.report.figures.canvas import Picture, colour_bar, sheet, spread, text_inches
from sweep.report.formats import counted, power

__all__ = ["ParallelData", "parallel_data", "parallel_picture"]

Values = npt.NDArray[np.float64]

MOST_AXES = 8
MOST_RUNS = 1000


class ParallelData(NamedTuple):
    """Runs with a final error, the worst first, as places 0 to 1 on each axis.

    `places` has a row a run and a column an axis; the last column is the error's.
    """

    axes: tuple[Axis, ...]
    places: Values
    ends: tuple[float, float]
    logarithmic: bool
    note: str


def parallel_picture(data: SweepData) -> Picture | None:
    """Return the parallel coordinates; None for fewer than three keys that vary."""
    if len(data.varying) < 3 or len(data.ranked) < 2:
        return None
    shown = parallel_data(data)
    alt = (
        f"{counted(len(shown.places), 'run')} as lines over "
        f"{', '.join(axis.label for axis in shown.axes)} and the final error. "
        f"The best: {data.words(data.best)}."
    )
    caption = "A line for each run, dark where its final error is small; the best one is thick."
    draw = partial(_draw, shown)
    return Picture("parallel_coordinates", "Parallel coordinates", alt, caption, draw)


def parallel_data(data: SweepData) -> ParallelData:
    """Return the runs as places on the axes that matter most."""
    axes = sorted(by_influence(data)[:MOST_AXES], key=lambda axis: data.keys.index(axis.name))
    order = data.ranked.index[::-1]
    kept = order[spread(len(order), MOST_RUNS)]
    columns = []
    for axis in axes:
        at = dict(zip(axis.values, _placed(axis), strict=True))
        columns.append(data.values.loc[kept, axis.name].map(at).to_numpy(float))
    score = scores(data)[kept].to_numpy(float)
    low, high = float(score.min()), float(score.max())
    columns.append((score - low) / (high - low or 1.0))
    errors = (10.0**low, 10.0**high) if data.logarithmic else (low, high)
    note = f"{len(kept)} of {counted(len(order), 'run')}" if len(kept) < len(order) else ""
    return ParallelData(tuple(axes), np.column_stack(columns), errors, data.logarithmic, note)


def _placed(axis: Axis) -> Values:
    """Return the places of an axis's values from 0 to 1."""
    places = np.asarray(axis.places)
    places = np.log10(places) if axis.scale == "log" else places
    return np.asarray((places - places[0]) / ((places[-1] - places[0]) or 1.0))


def _draw(data: ParallelData, subtitle: str) -> Figure:
    subtitle = f"{subtitle} · thick: the best run"
    subtitle = f"{subtitle} · {data.note}" if data.note else subtitle
    count = data.places.shape[1]
    wide = max(1.5, *(text_inches(axis.labels, 9) + 0.45 for axis in data.axes))
    size = (max(wide * (count - 1), 5.0), 4.2)
    left = 0.45 + text_inches(data.axes[0].labels, 9)
    page = sheet("Parallel coordinates", subtitle, 1, size=size, left=left, right=1.2)
    (axes,) = page.panels
    _runs(axes, data)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(False)
    axes.set_xlim(0, count - 1)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    names = [*(axis.label for axis in data.axes), "final error E"]
    axes.set_xticks(range(count), names, parse_math=False)
    axes.tick_params(length=0, labelsize=11, pad=12)
    for at, axis in enumerate(data.axes):
        _ticks(axes, at, _placed(axis), axis.labels)
    colours = [ramp(part) for part in np.linspace(0, 1, 100)]
    labels = [""] * 100
    for part, value in zip(spread(100, 6), _ends(data, 6), strict=True):
        labels[part] = power(value)
    colour_bar(page, "", colours, labels, gap=0.0)
    return page.figure


def _ends(data: ParallelData, count: int) -> list[float]:
    """Return errors evenly over the axis of the error."""
    low, high = data.ends
    if not data.logarithmic:
        return [float(value) for value in np.linspace(low, high, count)]
    return [float(value) for value in 10.0 ** np.linspace(np.log10(low), np.log10(high), count)]


def _runs(axes: Axes, data: ParallelData) -> None:
    x = np.arange(data.places.shape[1])
    lines = [np.column_stack([x, row]) for row in data.places]
    look: dict[str, Any] = {"colors": [ramp(row[-1]) for row in data.places], "zorder": 2}
    many = len(lines) > 200
    strength = {"linewidths": 0.8 if many else 1.3, "alpha": 0.45 if many else 0.75}
    axes.add_collection(LineCollection(lines, **look, **strength))
    style: dict[str, Any] = {"clip_on": False, "zorder": 4}
    axes.plot(x, data.places[-1], color=INK, linewidth=3, **style)


def _ticks(axes: Axes, at: int, places: Values, labels: Sequence[str]) -> None:
    """Draw one vertical axis with the labels that have room."""
    axes.axvline(at, color=QUIET, linewidth=1.0, zorder=3)
    last = -1.0
    for place, label in zip(places, labels, strict=True):
        if place - last < 0.05:
            continue
        last = float(place)
        box = {"facecolor": "white", "edgecolor": GRID, "pad": 1.2, "alpha": 0.85}
        text: dict[str, Any] = {"size": 9, "color": INK, "zorder": 6, "parse_math": False}
        axes.text(at - 0.03, place, label, ha="right", va="center", bbox=box, **text)
