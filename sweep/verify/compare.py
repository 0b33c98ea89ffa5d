"""Compare two flat mappings: one loop over all keys, and when two values count as equal.

Numbers of a run from this kind of machine are equal to the bit. On another kind the tolerance
is that of the numbers which must hold: errors by |sqrt(E) - sqrt(E')| <= 1e-9 sqrt(E') + 1e-13,
weights within 1e-9 of their size. A step is read off the last bits of an error, so there it may
be any step whose error is as near.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.checks import plain_text
from sweep.training.history import RunResult
from sweep.verify.values import Values

__all__ = ["MISSING", "Difference", "Near", "differences", "exact"]

RELATIVE = 1e-9
FLOOR = 1e-13

TIME = "train_seconds"
"""The one metric that the specification does not determine: any time is as good."""

NAMED = 3
"""So many differing points of one curve or array are named; the others are counted."""

LONGEST = 120


class _Missing:
    """What stands for a value that is not there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class Difference:
    """A value that is not what it should be; `stored` or `expected` may be MISSING."""

    key: str
    stored: Any
    expected: Any

    def __str__(self) -> str:
        text = f"{self.key}: stored {_shown(self.stored)}, expected {_shown(self.expected)}"
        if isinstance(self.stored, float) and isinstance(self.expected, float):
            text += f" (off by {abs(self.stored - self.expected):.3g})"
        return plain_text(text)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def differences(
    stored: Values, expected: Values, same: Callable[[str, Any, Any], bool]
) -> list[Difference]:
    """Return what differs; of each curve or array the first few points, and how many there are."""
    found: list[Difference] = []
    points: Counter[str] = Counter()
    for key in dict.fromkeys([*expected, *stored]):
        pair = stored.get(key, MISSING), expected.get(key, MISSING)
        if not same(key, *pair):
            series, place, _ = key.partition("@")
            points[series] += bool(place)
            if not place or points[series] <= NAMED:
                found.append(Difference(key, *pair))
    more = {series: count - NAMED for series, count in points.items() if count > NAMED}
    return found + [Difference(key, f"{n} more otherwise", "others") for key, n in more.items()]


def exact(key: str, stored: Any, expected: Any) -> bool:
    """Return whether two values are one: of one type, floats with the same bits."""
    if not isinstance(stored, float) or not isinstance(expected, float):
        return type(stored) is type(expected) and bool(stored == expected)
    if not key.startswith("metric "):
        return struct.pack("d", stored) == struct.pack("d", expected)
    if key.partition("@")[0] == f"metric {TIME}":
        return 0 <= stored < math.inf
    return stored == expected  # SQLite keeps no sign of a zero


class Near:
    """Whether values of two kinds of machine count as equal; called like `exact`.

    Parameters
    ----------
    result
        What was trained again: steps are judged by its curve.
    best_step
        The stored best step, which a thinned curve keeps beside its own steps.
    """

    def __init__(self, result: RunResult, best_step: float | None = None) -> None:
        self.result = result
        self.best_steps = {str(int(step)) for step in (best_step, result.best_step) if step}

    def __call__(self, key: str, stored: Any, expected: Any) -> bool:
        """Return whether the values of `key` are equal or near, each kind in its way."""
        if exact(key, stored, expected):
            return True
        series, _, place = key.partition("@")
        kind, _, name = series.partition(" ")
        curve = kind == "curve" or series in ("metric error", "metric validation_error")
        if MISSING in (stored, expected):
            return curve and place in self.best_steps
        if curve:
            return _near_error(stored, expected)
        if kind == "weights" or series.startswith("metric weights/"):
            return _near_weight(stored, expected)
        if kind == "threshold":
            return self._near_threshold(float(name), stored, expected)
        return kind == "metric" and self._near_metric(name, stored, expected)

    def _near_metric(self, name: str, stored: float, expected: float) -> bool:
        # A metric that only sounds so, of a trainer of the user's, is no value of the result.
        if name.endswith("_error") and getattr(self.result, name, None) is not None:
            return _near_error(stored, expected)
        if name == "final_error_log10":
            return stored < 309 and _near_error(10.0**stored, 10.0**expected)
        if name == "best_step":
            return _near_error(self._error_at(stored), self.result.best_error or 0.0)
        if name == "diverged_at":
            return abs(stored - expected) <= 1
        # The step from which on not one bit changes is each machine's own. What a trainer of
        # the user's measures has no known tolerance.
        return name == "stalled_at"

    def _near_threshold(self, level: float, stored: Any, expected: Any) -> bool:
        """Return whether all errors between two first steps at or below `level` are near it."""
        steps, errors = self.result.steps, self.result.errors
        ends = [step for step in (stored, expected) if step is not None]
        if not all(isinstance(step, int) for step in ends):
            return False
        first, last = min(ends), max(ends) if len(ends) == 2 else int(steps[-1])
        between = errors[(steps >= first) & (steps <= last)].tolist()
        # Where the curve is thinned there may be none.
        return all(_near_error(error, level) for error in between or [self._error_at(first)])

    def _error_at(self, step: float) -> float:
        """Return the error at `step` or at the next kept step before it."""
        at = int(np.searchsorted(self.result.steps, step, side="right")) - 1
        return float(self.result.errors[max(at, 0)]) if step <= self.result.steps[-1] else math.inf


def _near_error(stored: float, expected: float) -> bool:
    """Return whether two errors are near, by the distance of their roots."""
    root = math.sqrt(abs(expected))
    one_sign = math.copysign(1.0, stored) == math.copysign(1.0, expected)
    near = abs(math.sqrt(abs(stored)) - root) <= RELATIVE * root + FLOOR
    return (near and (one_sign or root <= FLOOR)) or (math.isnan(stored) and math.isnan(expected))


def _near_weight(stored: float, expected: float) -> bool:
    """Return whether two weights are near; NaN is near NaN and an infinity near itself."""
    near = math.isfinite(expected) and abs(stored - expected) <= RELATIVE * abs(expected)
    return near or stored == expected or (math.isnan(stored) and math.isnan(expected))
