"""Make a curve of a million steps small enough to draw without changing what it looks like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["envelope", "thinned"]


def thinned(
    steps: npt.ArrayLike, errors: npt.ArrayLike, size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return at most about `size` points of a curve, even in the logarithm of the step.

    Each stretch keeps its smallest and its largest error, so that an oscillation keeps its
    full height; the first and the last point always stay. Non-finite points are dropped.

    Parameters
    ----------
    steps, errors
        Shape (n,), steps ascending from 0.
    """
    x = np.asarray(steps, dtype=np.int64)
    y = np.asarray(errors, dtype=np.float64)
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) <= size:
        return x, y
    bins = max(size // 2, 2)
    place = np.log10(np.maximum(x, 0.5))
    width = (place[-1] - place[0]) / bins
    starts = np.flatnonzero(np.diff(((place - place[0]) / width).astype(np.int64), prepend=-1))
    keep = {0, len(x) - 1}
    for start, end in zip(starts, [*starts[1:], len(x)], strict=True):
        part = y[start:end]
        keep.update((int(start + part.argmin()), int(start + part.argmax())))
    chosen = np.array(sorted(keep))
    return x[chosen], y[chosen]


def envelope(
    curves: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]], size: int = 200
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the smallest error that any curve has reached by each step.

    Shape (m,) each, m <= `size`; a curve counts on from its first point, also beyond its end.
    """
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return np.empty(0, dtype=np.int64), np.empty(0)
    last = max(int(steps[-1]) for steps, _ in curves)
    grid = np.unique(np.concatenate([[0], np.geomspace(1, max(last, 1), size).astype(np.int64)]))
    grid = grid[grid <= last]
    lowest = np.full(len(grid), np.inf)
    for steps, errors in curves:
        reached = np.minimum.accumulate(errors)
        at = np.searchsorted(steps, grid, side="right") - 1
        inside = at >= 0
        lowest[inside] = np.minimum(lowest[inside], reached[at[inside]])
    return grid, lowest
