"""Read the stored and the retrained values of a run as flat mappings, and compare them.

Values from the same kind of machine are equal to the bit. Otherwise errors may differ by
|sqrt(E) - sqrt(E')| <= 1e-9 sqrt(E') + 1e-13 and weights by 1e-9 relative; a step, which depends
on the last bits of an error, may be any step whose error is within that tolerance.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.checks import plain_text
from sweep.tracking.artifacts import (
    CONFIG,
    CURVE,
    LOG,
    NAMES,
    PREPARATION,
    THRESHOLDS,
    TRACEBACK,
    read_config,
    read_curve,
    read_thresholds,
    read_weights,
)
from sweep.tracking.entities import run_metrics
from sweep.tracking.results import run_files
from sweep.training.history import RunResult
from sweep.training.names import CURVES

if TYPE_CHECKING:
    from sweep.tracking.read import History, StoredRun

Values = dict[str, Any]
"""Keys are kind, name and position: ``metric error@100``, ``weights final w1``, ``curve@10``."""

FILE, FIELD = "a file", "a field"

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


def flat(value: Any, path: str = "", separator: str = " ") -> Values:
    """Return each leaf of nested values by its path: ``config.yaml network.layers.0``."""
    if not isinstance(value, Mapping | list | tuple) or not value:
        return {path: value}
    found: Values = {}
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        place = f"{path}{separator}{key}" if path else str(key)
        found |= flat(item, place, "." if path else " ")
    return found


def own_config(run: StoredRun) -> Any:
    """Return ``config.yaml``; MISSING if there is none, a description if it cannot be read."""
    content = run.file(CONFIG)
    if content is None:
        return MISSING
    try:
        return read_config(content) or "an empty configuration"
    except Exception as error:  # a YAML reader may raise anything on damaged bytes
        return f"an unreadable file ({type(error).__name__})"


def stored_metrics(run: StoredRun, history: History) -> Values:
    """Return a run's outcome, the last value of each metric, and the history of each metric."""
    found: Values = {"tag sweep.outcome": run.tags.get("sweep.outcome")}
    found |= {f"metric {name}": value for name, value in run.metrics.items()}
    for name, points in history.items():
        for step, value in points:
            key = f"metric {name}@{step}"
            found[f"{key} again" if key in found else key] = value
    return found


def result_values(
    run: StoredRun, result: RunResult, preparation: Mapping[str, Any] | None
) -> tuple[Values, Values]:
    """Return the values in a run's files, and all values of its retraining."""
    stored: Values = {}
    trained: Values = {"tag sweep.outcome": result.outcome}
    for point in run_metrics(result):
        trained[f"metric {point.key}@{point.step}"] = point.value
        trained[f"metric {point.key}"] = point.value  # steps ascend: the last one stays
    files = run_files(result, {}, preparation)
    # The specification covers the configuration; the log may contain times.
    for name in (name for name in NAMES if name not in (CONFIG, LOG)):
        theirs, ours = run.file(name), files.get(name)
        if theirs == ours:
            continue
        if theirs is None or ours is None:
            stored[name] = MISSING if theirs is None else FILE
            trained[name] = MISSING if ours is None else FILE
            continue
        try:
            stored |= _contents(name, theirs)
        except Exception as error:  # readers may raise anything on damaged bytes
            stored[name] = f"an unreadable file ({type(error).__name__}: {error})"
            trained[name] = FILE
        else:
            trained |= _contents(name, ours)
    return stored, trained


def _contents(name: str, content: bytes) -> Values:
    if name == CURVE:
        return _curve(content)
    if name == THRESHOLDS:
        return {f"threshold 1e-{k}": step for k, step in read_thresholds(content).items()}
    if name == PREPARATION:
        return flat({name: json.loads(content)})
    if name == TRACEBACK:
        return {name: content.decode("utf-8", "replace")}
    found: Values = {}
    for part, named in read_weights(content, name).items():
        for weight, value in named.items():
            array = np.array(value, dtype=np.float64)  # None (not finite) becomes NaN
            for at, one in np.ndenumerate(array):
                place = f"@{','.join(map(str, at))}" if at else ""
                found[f"weights {part} {weight}{place}"] = float(one)
    return found


def _curve(content: bytes) -> Values:
    columns = read_curve(content)
    steps = columns.pop("step")
    if (np.diff(steps) <= 0).any():
        raise ValueError("its steps do not ascend")
    found: Values = {}
    for name, values in columns.items():
        label = "curve" if name == "error" else f"curve {name}"
        own = name.startswith("trainer/")  # it has no value at some of the steps
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            if not own or np.isfinite(value):
                found[f"{label}@{step}"] = value
    return found


def difference(key: str, stored: Any, expected: Any) -> str:
    """Say how a value is not the expected one; either may be MISSING."""
    shown = []
    for value in (stored, expected):
        text = value if isinstance(value, str) and value else repr(value)
        shown.append(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
    text = f"{key}: stored {shown[0]}, expected {shown[1]}"
    if isinstance(stored, float) and isinstance(expected, float):
        text += f" (off by {abs(stored - expected):.3g})"
    return plain_text(text)


def differences(
    stored: Values, expected: Values, same: Callable[[str, Any, Any], bool]
) -> list[str]:
    """Return what differs; of each curve or array the first points and the number of others."""
    found: list[str] = []
    points: Counter[str] = Counter()
    for key in expected | stored:
        pair = stored.get(key, MISSING), expected.get(key, MISSING)
        if not same(key, *pair):
            series, place, _ = key.partition("@")
            points[series] += bool(place)
            if not place or points[series] <= NAMED:
                found.append(difference(key, *pair))
    for series, count in points.items():
        if (more := count - NAMED) > 0:
            differ = "point differs" if more == 1 else "points differ"
            found.append(plain_text(f"{series}: {more} more {differ}"))
    return found


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
