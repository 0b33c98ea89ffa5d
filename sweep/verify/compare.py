"""Compare two flat mappings of values.

Values from the same kind of machine are equal to the bit. Otherwise errors may differ by
|sqrt(E) - sqrt(E')| <= 1e-9 sqrt(E') + 1e-13 and weights by 1e-9 relative; a step, which depends
on the last bits of an error, may be any step whose error is within that tolerance.
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
from sweep.tracking.entities import CURVES
from sweep.training.history import RunResult
from sweep.verify.values import Values

RELATIVE = 1e-9
FLOOR = 1e-13

TIME = "metric train_seconds"
"""The only metric that the specification does not determine."""

NAMED = 3
"""Number of differing points listed per curve or array; the others are counted."""

LONGEST = 120


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class Difference:
    """A value that is not the expected one; `stored` or `expected` may be MISSING."""

    key: str
    stored: Any
    expected: Any

    def __str__(self) -> str:
        shown = []
        for value in (self.stored, self.expected):
            text = value if isinstance(value, str) and value else repr(value)
            shown.append(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
        text = f"{self.key}: stored {shown[0]}, expected {shown[1]}"
        if isinstance(self.stored, float) and isinstance(self.expected, float):
            text += f" (off by {abs(self.stored - self.expected):.3g})"
        return plain_text(text)


def differences(
    stored: Values, expected: Values, same: Callable[[str, Any, Any], bool]
) -> list[Difference]:
    """Return what differs; of each curve or array the first points and the number of others."""
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
    """Return whether two values have the same type and are equal, floats to the bit."""
    if not isinstance(stored, float) or not isinstance(expected, float):
        return type(stored) is type(expected) and bool(stored == expected)
    if key.partition("@")[0] == TIME:
        return 0 <= stored < math.inf
    if key.startswith("metric "):
        return stored == expected  # SQLite does not keep the sign of zero
    return struct.pack("d", stored) == struct.pack("d", expected)


@dataclass(frozen=True)
class Near:
    """Compares values from two kinds of machine; called like `exact`.

    Steps are compared by the curve of the retrained `result`. `best_step` is the stored one, which
    a thinned curve has in addition to its other steps.
    """

    result: RunResult
    best_step: float | None = None

    def __call__(self, key: str, stored: Any, expected: Any) -> bool:
        """Return whether the values of `key` are equal, or within the tolerance for its kind."""
        series, _, place = key.partition("@")
        kind, _, name = series.partition(" ")
        curve = kind == "curve" or (kind == "metric" and name in CURVES)
        if exact(key, stored, expected):
            return True
        if MISSING in (stored, expected):
            best = {str(int(step)) for step in (self.best_step, self.result.best_step) if step}
            return curve and place in best
        # A user's metric may end with _error without being a value of the result.
        if curve or (name.endswith("_error") and getattr(self.result, name, None) is not None):
            return _near_error(stored, expected)
        if kind == "weights" or series.startswith("metric weights/"):
            return _near_weight(stored, expected)
        if kind == "threshold":
            return self._near_threshold(float(name), stored, expected)
        if series == "metric final_error_log10":
            return bool(stored < 309) and _near_error(10.0**stored, 10.0**expected)
        if series == "metric best_step":
            return _near_error(self._error_at(stored), self.result.best_error or 0.0)
        if series == "metric diverged_at":
            return bool(abs(stored - expected) <= 1)
        # The step from which no bit changes depends on the machine; a user's metrics have no
        # known tolerance.
        return series == "metric stalled_at"

    def _near_threshold(self, level: float, stored: Any, expected: Any) -> bool:
        """Return whether all errors between two first steps at or below `level` are near it."""
        steps, errors = self.result.steps, self.result.errors
        ends = [step for step in (stored, expected) if step is not None]
        if not all(isinstance(step, int) for step in ends):
            return False
        first, last = min(ends), max(ends) if len(ends) == 2 else int(steps[-1])
        between = errors[(steps >= first) & (steps <= last)].tolist()
        # A thinned curve may have no step in between.
        return all(_near_error(error, level) for error in between or [self._error_at(first)])

    def _error_at(self, step: float) -> float:
        """Return the error at `step` or the last kept step before it; inf beyond the curve."""
        at = int(np.searchsorted(self.result.steps, step, side="right")) - 1
        return float(self.result.errors[max(at, 0)]) if step <= self.result.steps[-1] else math.inf


def _near_error(stored: float, expected: float) -> bool:
    """Return whether two errors are near, by the distance of their square roots."""
    root = math.sqrt(abs(expected))
    one_sign = math.copysign(1.0, stored) == math.copysign(1.0, expected)
    near = abs(math.sqrt(abs(stored)) - root) <= RELATIVE * root + FLOOR
    return (near and (one_sign or root <= FLOOR)) or (math.isnan(stored) and math.isnan(expected))


def _near_weight(stored: float, expected: float) -> bool:
    """Return whether two weights are near; NaN is near NaN and an infinity near itself."""
    near = math.isfinite(expected) and abs(stored - expected) <= RELATIVE * abs(expected)
    return near or stored == expected or (math.isnan(stored) and math.isnan(expected))
