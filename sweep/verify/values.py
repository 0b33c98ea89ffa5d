"""Stored and retrained values of a run, each as a flat mapping from key to value.

Both are read by the same functions; a file with the same bytes on both sides is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.tracking.artifacts import (
    CONFIG,
    CURVE,
    LOG,
    THRESHOLDS,
    read_curve,
    read_thresholds,
    read_weights,
)
from sweep.tracking.entities import run_metrics
from sweep.tracking.results import completed
from sweep.training.history import RunResult

if TYPE_CHECKING:
    from sweep.tracking.read import History, StoredRun

Values = dict[str, Any]
"""Keys are kind, name and position: ``metric error@100``, ``weights final w1``, ``curve@10``."""

FILE = "a file"


def flat(value: Any, path: str = "", separator: str = " ") -> Values:
    """Return each leaf of nested values by its path: ``config.yaml network.layers.0``."""
    if not isinstance(value, Mapping | list | tuple) or not value:
        return {path: value}
    found: Values = {}
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        place = f"{path}{separator}{key}" if path else str(key)
        found |= flat(item, place, "." if path else " ")
    return found


def stored_metrics(run: StoredRun, history: History) -> Values:
    """Return a run's outcome, the last value of each metric, and the history of each metric."""
    found: Values = {"tag sweep.outcome": run.tags.get("sweep.outcome")}
    found |= {f"metric {name}": value for name, value in run.metrics.items()}
    for name, points in history.items():
        for step, value in points:
            key = f"metric {name}@{step}"
            found[f"{key} again" if key in found else key] = value
    return found


def result_values(run: StoredRun, result: RunResult) -> tuple[Values, Values]:
    """Return the values in a run's files, and all values of its retraining."""
    stored: Values = {}
    trained: Values = {"tag sweep.outcome": result.outcome}
    for point in run_metrics(result):
        trained[f"metric {point.key}@{point.step}"] = point.value
        trained[f"metric {point.key}"] = point.value  # steps ascend: the last one stays
    for name, content in completed(result, {}).files.items():
        theirs = run.artifacts.read(run.run_id, name) if run.artifacts else None
        # The specification covers the configuration; the log may contain times.
        if theirs == content or name in (CONFIG, LOG):
            continue
        try:
            found = None if theirs is None else _contents(name, theirs)
        except Exception as error:  # readers may raise anything on damaged bytes
            found, stored[name] = None, f"what cannot be read ({type(error).__name__}: {error})"
        stored |= found or {}
        trained |= {name: FILE} if found is None else _contents(name, content)
    return stored, trained


def _contents(name: str, content: bytes) -> Values:
    if name == CURVE:
        return _curve(content)
    if name == THRESHOLDS:
        return {f"threshold 1e-{k}": step for k, step in read_thresholds(content).items()}
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
