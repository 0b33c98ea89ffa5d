"""Scales, limits and ticks of the axes of pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.scale import SymmetricalLogScale
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, SymmetricalLogLocator

from sweep.question import FLOOR
from sweep.report.axes import LARGEST, Axis
from sweep.report.colours import QUIET, SHADE
from sweep.report.data import SweepData
from sweep.report.figures.sheet import text_inches
from sweep.report.formats import tick

MOST_VALUES = 12
"""Up to this many values of a key have a tick each."""


def ceiling_of(data: SweepData) -> float:
    """Return the largest error to draw: 1000 times the largest initial error.

    A diverging run would compress all others into a thin line. Other metrics have no ceiling.
    """
    if not data.metric.endswith("error"):
        return math.inf
    starts = [run.metrics.get("initial_error", math.nan) for run in data.started.run]
    starts += [t.curve[1][0] for t in data.trajectories if len(t.curve[1])]
    known = [value for value in starts if np.isfinite(value)] or list(data.ranked.value[:1])
    return min(max(max(map(abs, known), default=1.0), 1e-300) * 1e3, 1e300)


def error_axis(
    axes: Axes, which: str, values: npt.ArrayLike, ceiling: float = math.inf, *, log: bool = True
) -> None:
    """Set up the x or y axis for errors, or for another metric.

    The scale is logarithmic, symmetric logarithmic if some value is 0, and linear if one is
    negative or `log` is False. Non-finite values are ignored, those above `ceiling` clipped.
    """
    array = np.asarray(values, dtype=np.float64)
    array = np.clip(array[np.isfinite(array)], -LARGEST, min(ceiling, LARGEST))
    if len(array) and (not log or (array < 0).any()):
        pad = 0.05 * float(np.ptp(array)) or abs(float(array[0])) * 0.1 or 1.0
        _set(axes, which, "linear", array.min() - pad, array.max() + pad)
        return
    positive = np.log10(array[array > 1 / LARGEST])
    low, high = (positive.min(), positive.max()) if len(positive) else (0.0, 0.0)
    if high - low < 1.0:
        low, high = (low + high) / 2 - 0.6, (low + high) / 2 + 0.6
    else:  # extend to the next power of ten if it is near
        first, last, room = math.floor(low), math.ceil(high), 0.08 * (high - low)
        low = first if low - first < room else low
        high = last if last - high < room else high
    pad = 0.04 * (high - low)
    top = min(high + pad, 305.0)
    if len(positive) == len(array):
        _set(axes, which, "log", 10.0 ** (low - pad), 10.0**top)
        return
    near = 10.0 ** math.floor(low)
    linear = max(0.09 * (top - math.floor(low)), 0.3)
    scale = SymmetricalLogScale(None, linthresh=near, linscale=linear)
    _set(axes, which, scale, -0.04 * near, 10.0**top)


def step_axis(axes: Axes, last: float) -> None:
    """Set up the x axis for iterations from 0 to `last`."""
    high = min(max(float(min(last, LARGEST)) * 1.25, 1.6), LARGEST)
    _set(axes, "x", SymmetricalLogScale(None, linthresh=1, linscale=0.5), -0.12, high)


def key_axis(axes: Axes, key: Axis) -> None:
    """Set up the x axis for a swept key: a tick at each value, or round ones for many."""
    positions = np.asarray(key.positions)
    log = key.scale == "log"
    x = np.log10(positions) if log else positions
    width = float(np.ptp(x)) or 1.0
    low, high = float(x[0] - 0.06 * width), float(x[-1] + 0.06 * width)
    if log:
        low, high = 10.0 ** max(low, -305.0), 10.0 ** min(high, 305.0)
    _set(axes, "x", "log" if log else "linear", low, high)
    if key.numbers and len(positions) > MOST_VALUES:
        return
    inches = axes.get_window_extent().width / axes.figure.dpi
    shown = spaced(x, (text_inches(key.labels) + 0.1) * 1.12 * width / inches)
    if key.scale == "category" and len(shown) < len(x):
        shown = list(range(len(x)))
        axes.tick_params(axis="x", labelrotation=20, labelsize=8)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.set_xticks(positions[shown], [key.labels[at] for at in shown])


def _set(axes: Axes, which: str, scale: Any, low: float, high: float) -> None:
    axes.set(**{f"{which}scale": scale, f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_minor_locator(NullLocator())
    ticks = round_ticks(scale, low, high)
    axis.set_ticks(ticks, [tick(value) for value in ticks])


def round_ticks(scale: str | SymmetricalLogScale, low: float, high: float) -> list[float]:
    """Return round values between two limits."""
    locator: Any = MaxNLocator(6)
    if scale == "log":
        narrow = high / low < 200
        subs = (1, 2, 5) if narrow else (1,)
        locator = LogLocator(base=10, subs=subs, numticks=12 if narrow else 8)
    elif not isinstance(scale, str):
        locator = SymmetricalLogLocator(scale.get_transform())
        locator.set_params(numticks=8)
    with np.errstate(over="ignore"):  # a tick beyond the range of a float
        ticks = locator.tick_values(low, high)
    return [float(value) for value in ticks if low <= value <= high]


def inside(axes: Axes, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return values clipped to the y-limits of a panel; NaN stays NaN."""
    return np.clip(np.asarray(values, dtype=np.float64), *axes.get_ylim())


def spaced(positions: Iterable[float], least: float) -> list[int]:
    """Return the indices of ascending positions that are at least `least` apart."""
    kept: list[int] = []
    last = -math.inf
    for at, place in enumerate(positions):
        if place - last >= least:
            kept.append(at)
            last = place
    return kept


def floor_band(axes: Axes, *, named: bool) -> None:
    """Shade the errors that double precision cannot distinguish from zero."""
    low, high = axes.get_ylim()
    top = min(FLOOR, high)
    share = axes.transAxes.inverted().transform(axes.transData.transform((1, top)))[1]
    if axes.get_yscale() == "linear" or share < 0.02:
        return
    axes.axhspan(low, top, color=SHADE, zorder=0, linewidth=0)
    if named and share >= 0.07:
        text = f"floor of double precision (√E ≤ {math.sqrt(FLOOR):g})"
        box = {"facecolor": SHADE, "edgecolor": "none", "pad": 1}
        place = (0.012, share - 0.018)
        axes.text(*place, text, transform=axes.transAxes, size=9, color=QUIET, va="top", bbox=box)
