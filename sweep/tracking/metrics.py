"""The metrics of a run, as the contract names them: finite numbers only."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.tracking.files import scalars
from sweep.tracking.texts import entity_name
from sweep.training.curve import CHART_POINTS, charted
from sweep.training.history import RunResult

__all__ = [
    "BUILT_IN",
    "CHART_POINTS",
    "Point",
    "chart_steps",
    "curve_points",
    "metric_tags",
    "run_metrics",
]

ZERO_LOG10 = -324.0

LONGEST = 220
"""Characters of a user's name for a metric that are kept; tags begin with more than the metric."""


CURVES = ("error", "validation_error")
SINGLE = (
    "initial_error",
    "best_error",
    "best_step",
    "best_validation_error",
    "final_validation_error",
    "diverged_at",
    "stalled_at",
    "stopped_at",
)


OWN = (*SINGLE, "final_error", "final_error_log10", "train_seconds")
"""Metrics of every trainer, beside weights; those of the validation where there is one."""

BUILT_IN = (*OWN, "accuracy", "validation_accuracy")
"""Those of the built-in trainer, accuracies where targets are classes."""

OURS = (*CURVES, *OWN)
"""What the contract names; a user's metric of such a name is stored below ``trainer/``."""

ORIGINAL = "sweep.metric."
NOT_FINITE = "sweep.not_finite."
"""How the tags begin, before a metric's name in the store, that hold the name which the user gave
it, and a value that is not stored as one: nan, inf or -inf."""


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    key: str
    value: float
    step: int = 0


def run_metrics(result: RunResult) -> list[Point]:
    """Return all metrics of a run; none is NaN or infinite, names are MLflow's."""
    points = curve_points(
        result.steps,
        result.errors,
        result.validation,
        chart_steps(result.steps, result.best_step),
    )
    for name, (steps, values) in result.curves.items():
        points += _points(metric_key(name), steps, values, chart_steps(steps, None))
    points += [point for point in _scalars(result) if math.isfinite(point.value)]
    return points + [
        Point(metric_key(name), float(value))
        for name, value in result.metrics.items()
        if math.isfinite(value) and name not in result.curves
    ]


def metric_tags(result: RunResult) -> dict[str, str]:
    """Return the tags that say what MLflow cannot take of a user's metrics."""
    tags = {}
    for name in (*result.curves, *result.metrics):
        key = metric_key(name)
        if key != name:
            tags[ORIGINAL + key] = name
        if not math.isfinite(result.metrics.get(name, 0.0)):
            tags[NOT_FINITE + key] = str(float(result.metrics[name]))
    return tags


def metric_key(name: str) -> str:
    """Return the name that a user's metric has in the store.

    What MLflow does not take becomes ``_``; some letters of the name's hash then keep names apart
    that differ in it alone.
    """
    key = entity_name(name)[:LONGEST]
    lossy = key != name or name.startswith("trainer/")
    if key in OURS or key.startswith("weights/"):
        key = f"trainer/{key}"
    if not lossy:
        return key
    return f"{key}-{hashlib.sha256(name.encode('utf-8', 'backslashreplace')).hexdigest()[:4]}"


def _scalars(result: RunResult) -> Iterator[Point]:
    for key in SINGLE:
        value = getattr(result, key)
        if value is not None:
            yield Point(key, float(value))
    if result.final_error is not None:
        error = result.final_error
        yield Point("final_error", error)
        yield Point("final_error_log10", math.log10(error) if error > 0 else ZERO_LOG10)
    yield Point("train_seconds", float(result.train_seconds))
    for name, weight in (scalars(result.final_weights) or {}).items():
        yield Point(entity_name(f"weights/{name}"), weight)


def curve_points(
    steps: npt.NDArray[np.int64],
    errors: npt.NDArray[np.float64],
    validation: npt.NDArray[np.float64] | None,
    chosen: npt.NDArray[np.int64],
) -> list[Point]:
    """Return the points of both curves at the positions `chosen`; finite values alone."""
    curves = [("error", errors)] + (
        [] if validation is None else [("validation_error", validation)]
    )
    return [point for key, values in curves for point in _points(key, steps, values, chosen)]


def _points(
    key: str,
    steps: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.int64],
) -> list[Point]:
    return [
        Point(key, float(values[at]), int(steps[at])) for at in chosen if math.isfinite(values[at])
    ]


def chart_steps(steps: npt.NDArray[np.int64], best_step: int | None) -> npt.NDArray[np.int64]:
    """Return the positions in `steps` of the points for charts, ascending, at most 320.

    Step 0, the last and the best are among them; the others are spaced evenly in log(step),
    by a list that depends on the step alone.

    Parameters
    ----------
    steps
        The kept steps of the curve, ascending, shape (n,).
    """
    if not len(steps):
        return np.empty(0, dtype=np.int64)
    positions = np.searchsorted(steps, charted(int(steps[-1])))
    extra = [0, len(steps) - 1]
    if best_step is not None:
        extra.append(int(np.searchsorted(steps, best_step)))
    chosen = np.unique(np.append(positions, extra))
    return chosen[chosen < len(steps)]
