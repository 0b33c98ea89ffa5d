"""matplotlib's own log axes for whatever an error or a swept value can be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis as OneAxis
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullLocator,
    SymmetricalLogLocator,
)

from sweep.report.axes import LARGEST, Axis
from sweep.report.colours import QUIET, SHADE
from sweep.report.figures.canvas import text_inches
from sweep.report.formats import FLOOR, tick

__all__ = ["Scale", "error_scale", "floor_band", "set_scale", "step_scale", "value_axis"]

_TICKS = 8

MOST_VALUES = 12
"""Up to so many values of a key have a tick each."""


class Scale(NamedTuple):
    """One axis: log, symlog (linear below `threshold`, for zeros) or linear."""

    kind: str
    low: float
    high: float
    threshold: float = 1.0

    def inside(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return values clipped to the axis; NaN stays NaN."""
        return np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)

    def drawn(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return values that a line can be drawn through: what is above leaves the picture."""
        return np.clip(np.asarray(values, dtype=np.float64), self.low, LARGEST)


def error_scale(values: Iterable[float], ceiling: float = math.inf) -> Scale:
    """Return the axis of errors: logarithmic, with a place for zeros, linear with negatives.

    Parameters
    ----------
    values
        What will be drawn; what is not finite is passed over.
    ceiling
        The largest value worth its room; what is above is drawn at the edge.
    """
    array = np.asarray(list(values), dtype=np.float64)
    array = np.clip(array[np.isfinite(array)], -LARGEST, min(ceiling, LARGEST))
    if (array < 0).any():
        pad = 0.05 * float(np.ptp(array)) or abs(float(array[0])) * 0.1
        return Scale("linear", float(array.min()) - pad, float(array.max()) + pad)
    positive = np.log10(array[array > 1 / LARGEST])
    low, high = (positive.min(), positive.max()) if len(positive) else (0.0, 0.0)
    if high - low < 1.0:
        first, last = math.floor(low), math.ceil(high)
        narrow = first < last and last - first <= 1
        low, high = (first, last) if narrow else ((low + high) / 2 - 0.6, (low + high) / 2 + 0.6)
    else:
        room = 0.08 * (high - low)
        low = math.floor(low) if low - math.floor(low) < room else low
        high = math.ceil(high) if math.ceil(high) - high < room else high
    pad = 0.04 * (high - low)
    top = 10.0 ** min(high + pad, 305.0)
    if len(positive) < len(array):
        threshold = 10.0 ** math.floor(low)
        return Scale("symlog", 0.0, top, threshold)
    return Scale("log", 10.0 ** (low - pad), top)


def step_scale(last: float, first: float = 0) -> Scale:
    """Return the axis of iterations from `first` to `last`; with 0 step 0 has a place."""
    high = min(max(float(min(last, LARGEST)), 1.0) * 1.25, LARGEST)
    if first == 0:
        return Scale("symlog", -0.12, max(high, 1.6))
    return Scale("log", first / 1.25, max(high, first * 1.6))


def set_scale(axes: Axes, which: str, scale: Scale) -> None:
    """Give the x or y axis of a panel its scale, limits, ticks and labels."""
    axis: OneAxis = axes.xaxis if which == "x" else axes.yaxis
    set_it = axes.set_xscale if which == "x" else axes.set_yscale
    if scale.kind == "symlog":
        linear = 0.5 if scale.low < 0 else 0.09 * math.log10(scale.high / scale.threshold)
        set_it("symlog", linthresh=scale.threshold, linscale=max(linear, 0.3))
        ticks: Any = SymmetricalLogLocator(base=10, linthresh=scale.threshold)
        ticks.set_params(numticks=_TICKS)
    else:
        set_it(scale.kind)
        log = scale.kind == "log"
        ticks = _log_ticks(scale.low, scale.high) if log else MaxNLocator(6)
    low = -0.04 * scale.threshold if scale.kind == "symlog" and scale.low == 0 else scale.low
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, scale.high)
    _label(axis, ticks, low, scale.high)


def _label(axis: OneAxis, locator: Any, low: float, high: float) -> None:
    """Set the ticks that lie between two limits, with their labels."""
    with np.errstate(over="ignore"):  # a tick beyond what a float can hold
        ticks = locator.tick_values(low, high)
    inside = [float(value) for value in ticks if low <= value <= high]
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(inside, [tick(value) for value in inside], parse_math=False)


def value_axis(axes: Axes, axis: Axis, room: float, *, labels: bool = True) -> None:
    """Make the x axis that of a swept key: a tick at each value, or round ones for many.

    `room` is how many inches the panel is wide; the names of categories are turned where they
    do not fit.
    """
    places = np.asarray(axis.places)
    axes.set_xscale("log" if axis.scale == "log" else "linear")
    x = np.log10(places) if axis.scale == "log" else places
    width = float(np.ptp(x)) or 1.0
    ends = np.array([x[0] - 0.06 * width, x[-1] + 0.06 * width])
    axes.set_xlim(*(10.0 ** np.clip(ends, -305, 305) if axis.scale == "log" else ends))
    axes.xaxis.set_minor_locator(NullLocator())
    if axis.numbers and len(places) > MOST_VALUES:
        log = axis.scale == "log"
        locator = _log_ticks(places[0], places[-1]) if log else MaxNLocator(5)
        _label(axes.xaxis, locator, *axes.get_xlim())
        return
    each = (text_inches(axis.labels) + 0.1) * 1.12 * width / room
    turned = axis.scale == "category" and bool((np.diff(x) < each).any())
    shown: list[int] = []
    for at in range(len(places)):
        if turned or not shown or x[at] - x[shown[-1]] >= each:
            shown.append(at)
    texts = [axis.labels[at] if labels else "" for at in shown]
    axes.set_xticks(places[shown].tolist(), texts, parse_math=False)
    if turned:
        axes.tick_params(axis="x", labelrotation=20, labelsize=8)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")


def _log_ticks(low: float, high: float) -> LogLocator:
    narrow = high / low < 200
    subs = (1, 2, 5) if narrow else (1,)
    return LogLocator(base=10, subs=subs, numticks=12 if narrow else _TICKS)


def floor_band(axes: Axes, scale: Scale, *, named: bool) -> None:
    """Shade the errors that double precision cannot distinguish from zero."""
    if scale.kind == "linear" or (scale.threshold if scale.low <= 0 else scale.low) >= FLOOR:
        return
    top = min(FLOOR, scale.high)
    axes.axhspan(axes.get_ylim()[0], top, color=SHADE, zorder=0, linewidth=0)
    share = axes.transAxes.inverted().transform(axes.transData.transform((1, top)))[1]
    if not named or share < 0.07:
        return
    axes.text(
        0.012,
        share - 0.018,
        f"floor of double precision (√E ≤ {math.sqrt(FLOOR):g})",
        transform=axes.transAxes,
        size=9,
        color=QUIET,
        va="top",
        parse_math=False,
        bbox={"facecolor": SHADE, "edgecolor": "none", "pad": 1},
    )
