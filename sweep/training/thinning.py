"""Which steps of a curve are kept, and which of them charts show: by the step alone."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["CHART_POINTS", "FULL_CURVE", "charted", "kept_steps"]

FULL_CURVE = 100_000
"""Up to this step a stored curve holds every step; beyond it is thinned (see kept_steps)."""

CHART_POINTS = 320
PER_DECADE = 12
"""Points a decade of the curve for charts: looks smooth, and each costs 45 µs to store."""

LAST_STEP = 2**62
"""The last kept step; at 10 ns an iteration it takes 1400 years."""

Steps = npt.NDArray[np.int64]


@cache
def _thinned() -> Steps:
    """Return the steps beyond FULL_CURVE that a curve keeps, each 1/500 above the one before.

    Whole numbers only, so that every machine keeps the same ones: about 1150 a decade.
    """
    steps = [FULL_CURVE + FULL_CURVE // 500]
    while steps[-1] < LAST_STEP:
        steps.append(steps[-1] + steps[-1] // 500)
    return np.array(steps, dtype=np.int64)


def kept_steps(last: int, first: int = 0) -> Steps:
    """Return the steps from `first` to `last` that a curve keeps, shape (n,), int64.

    Every step up to FULL_CURVE, then a fixed log-spaced list that depends on the step
    alone. (A run adds its best and its last step.)
    """
    head = np.arange(first, min(last, FULL_CURVE) + 1, dtype=np.int64)
    if last <= FULL_CURVE:
        return head
    low, high = np.searchsorted(_thinned(), [first, last + 1])
    return np.concatenate([head, _thinned()[low:high]])


def charted(last: int) -> Steps:
    """Return the kept steps from 1 to `last` that charts show, ascending, int64.

    Spaced evenly in log(step), by a list that depends on the step alone, so that the points
    charted while a run trains are among those charted at its end. (A run adds its first, its
    best and its last step.)
    """
    per_decade = PER_DECADE
    decades = math.log10(max(last, 1))
    if decades * per_decade > CHART_POINTS - 4:
        per_decade = max(1, int((CHART_POINTS - 4) / decades))
    wanted = np.round(10.0 ** (np.arange(math.floor(decades * per_decade) + 1) / per_decade))
    chosen = np.unique(wanted.astype(np.int64))
    if last > FULL_CURVE:  # beyond it, the first kept step that is no smaller
        kept = kept_steps(last)
        at = np.searchsorted(kept, chosen)
        chosen = np.unique(kept[at[at < len(kept)]])
    return chosen[chosen <= last]
