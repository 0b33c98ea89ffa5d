"""Logarithmic axes that hold a zero, the floating-point floor and 1.8e282 alike.

Positions are decades (log10) on a plain linear axis, so no value can overflow a picture.
Zero, and whatever else is not above it, has a place of its own at the low end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.report.words import decade, tick_text

__all__ = ["FLOOR_DECADE", "LogScale", "log_scale"]

FLOOR_DECADE = -26.0
"""log10 E at sqrt(E) = 1e-13, the floor of double precision."""


class LogScale(NamedTuple):
    """One axis in decades.

    `zero` is the place of zero, None where none is needed; values above `high` (a curve
    that diverges to 1e282) are placed at its edge.
    """

    low: float
    high: float
    zero: float | None
    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    def place(self, values: npt.ArrayLike, *, clamp: bool = True) -> npt.NDArray[np.float64]:
        """Return positions of values, same shape; NaN stays NaN.

        Without `clamp` what lies above stays above, and a line leaves the picture.
        """
        array = np.asarray(values, dtype=np.float64)
        positive = array > 0
        logs = np.log10(np.where(positive, array, 1.0))
        zero = self.low if self.zero is None else self.zero
        placed = np.where(positive, np.minimum(logs, self.high) if clamp else logs, zero)
        return np.where(np.isnan(array), np.nan, placed)

    def above(self, value: float) -> bool:
        """Tell whether a value lies beyond the upper edge."""
        return value > 0 and math.log10(value) > self.high


def log_scale(
    values: Iterable[float],
    *,
    ceiling: float | None = None,
    zero_label: str = "0",
    most_ticks: int = 8,
    margin: float = 0.04,
    whole: bool = False,
) -> LogScale:
    """Return the axis that holds all `values`.

    Parameters
    ----------
    values
        What will be placed; non-finite ones are passed over.
    ceiling
        The largest value worth its room; anything above is placed at the edge.
    zero_label
        The tick label of zero.
    whole
        Values are whole numbers: no tick between them, none below 1.
    """
    array = np.asarray(list(values), dtype=np.float64)
    array = array[np.isfinite(array)]
    positive = array[array > 0]
    if ceiling is not None and ceiling > 0:
        positive = np.minimum(positive, ceiling)
    logs = np.log10(positive) if len(positive) else np.array([0.0])
    low, high = float(logs.min()), float(logs.max())
    has_zero = bool((array <= 0).any())
    if high - low < 1.0 and not (whole and has_zero):
        low, high = _widened(low, high)
    span = max(high - low, 0.3)
    if math.ceil(high) - high < 0.08 * span:
        high = float(math.ceil(high))
    if low - math.floor(low) < 0.08 * span:
        low = float(math.floor(low))
    zero = low - max(0.09 * span, 0.15) if has_zero else None
    bottom = low if zero is None else zero
    pad = margin * (high - bottom)
    ticks, labels = _ticks(low, high, most_ticks)
    if whole:
        both = [(t, text) for t, text in zip(ticks, labels, strict=True) if t > -0.01]
        ticks, labels = [t for t, _ in both], [text for _, text in both]
    if zero is not None:
        gap = 0.05 * span
        kept = [(t, label) for t, label in zip(ticks, labels, strict=True) if t - zero > gap]
        ticks = [zero, *(t for t, _ in kept)]
        labels = [zero_label, *(label for _, label in kept)]
    return LogScale(bottom - pad, high + pad, zero, tuple(ticks), tuple(labels))


def _widened(low: float, high: float) -> tuple[float, float]:
    """Give a narrow range the decade marks on both sides, or half a decade more."""
    if math.floor(low) < math.ceil(high) and math.ceil(high) - math.floor(low) <= 1:
        return float(math.floor(low)), float(math.ceil(high))
    middle = (low + high) / 2
    return middle - 0.6, middle + 0.6


def _ticks(low: float, high: float, most: int) -> tuple[list[float], list[str]]:
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if last - first < 2:
        return _fine_ticks(low, high)
    step = max(1, math.ceil((last - first + 1) / most))
    step = next(s for s in (1, 2, 3, 5, 10, 20, 50, 100, 200) if s >= step)
    chosen = [k for k in range(first, last + 1) if k % step == 0]
    return [float(k) for k in chosen], [decade(k) for k in chosen]


def _fine_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Return 1, 2 and 5 of each decade where there are too few decades."""
    ticks, labels = [], []
    for exponent in range(math.floor(low), math.ceil(high) + 1):
        for digit in (1, 2, 5):
            at = exponent + math.log10(digit)
            if low - 1e-9 <= at <= high + 1e-9:
                ticks.append(at)
                labels.append(tick_text(digit, exponent))
    return ticks, labels
