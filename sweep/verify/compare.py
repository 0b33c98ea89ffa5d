"""Compare a stored run with what training it again gave: each metric, each file, the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.training.history import RunResult
from sweep.verify.closeness import Closeness
from sweep.verify.difference import MISSING, Difference

if TYPE_CHECKING:
    from sweep.tracking.histories import History
    from sweep.tracking.stored import StoredRun

__all__ = ["compare"]

TIMES = ("train_seconds",)
"""Metrics that the specification does not determine: only their presence is looked at."""

NAMED = 3
"""So many differing points of one curve are named; the rest is counted."""


def compare(
    run: StoredRun, history: History, result: RunResult, close: Closeness
) -> list[Difference]:
    """Return all that a finished run's store says otherwise than its training.

    Parameters
    ----------
    history
        All stored values of its metrics.
    """
    found = []
    if run.tags.get("sweep.outcome") != result.outcome:
        stored = run.tags.get("sweep.outcome", MISSING)
        found.append(Difference("tag sweep.outcome", stored, result.outcome))
    return [*found, *_metrics(run, history, result, close), *_files(run, result, close)]


def _metrics(
    run: StoredRun, history: History, result: RunResult, close: Closeness
) -> Iterator[Difference]:
    from sweep.tracking.metrics import run_metrics

    expected: dict[str, dict[int, float]] = {}
    for point in run_metrics(result):
        expected.setdefault(point.key, {})[point.step] = point.value
    for key in dict.fromkeys([*expected, *run.metrics]):
        if key not in expected:
            yield Difference(f"metric {key}", run.metrics[key], MISSING)
        elif key not in run.metrics:
            yield Difference(f"metric {key}", MISSING, _latest(expected[key]))
        elif key in TIMES:
            if not 0 <= run.metrics[key] < float("inf"):
                yield Difference(f"metric {key}", run.metrics[key], "a time")
        else:
            if not close.metric(key, run.metrics[key], _latest(expected[key])):
                yield Difference(f"metric {key}", run.metrics[key], _latest(expected[key]))
            points = _history(key, history.get(key, ()), expected[key], close, run)
            yield from _named(f"metric {key}, history", list(points))


def _latest(points: Mapping[int, float]) -> float:
    return points[max(points)]


def _history(
    key: str,
    stored: tuple[tuple[int, float], ...],
    expected: Mapping[int, float],
    close: Closeness,
    run: StoredRun,
) -> Iterator[Difference]:
    """Yield the steps at which a metric's stored values are not the one that was trained."""
    what = f"metric {key}, history at step"
    best = run.metrics.get("best_step")
    steps = {step for step, _ in stored}
    for step, value in stored:
        if step not in expected:
            if not close.step_may_differ(step, best):
                yield Difference(f"{what} {step}", value, MISSING)
        elif not close.metric(key, value, expected[step]):
            yield Difference(f"{what} {step}", value, expected[step])
    for step in expected.keys() - steps:
        if not close.step_may_differ(step, best):
            yield Difference(f"{what} {step}", MISSING, expected[step])


def _named(what: str, differences: list[Difference]) -> Iterator[Difference]:
    """Yield the first few differences of one series, and how many more there are."""
    yield from differences[:NAMED]
    more = len(differences) - NAMED
    if more > 0:
        yield Difference(what, f"{more} more values otherwise", "other ones")


def _files(run: StoredRun, result: RunResult, close: Closeness) -> Iterator[Difference]:
    from sweep.tracking import files

    judges: dict[str, Callable[..., Iterator[Difference]]] = {
        files.CURVE: _curve,
        files.THRESHOLDS: _thresholds,
        files.WEIGHTS: _weights,
        files.WEIGHTS_LARGE: _weights,
    }
    for name, ours in files.result_files(result, {}).items():
        if name == files.CONFIG:  # compared with the specification before
            continue
        stored = run.artifacts.read(run.run_id, name) if run.artifacts else None
        if stored is None:
            yield Difference(name, MISSING, "a file")
            continue
        try:
            yield from judges[name](name, stored, ours, result, close)
        except Exception as error:  # whatever its reader makes of damaged bytes
            text = f"what cannot be read ({type(error).__name__}: {error})"
            yield Difference(name, text, f"{len(ours)} bytes")


def _curve(
    name: str, stored: bytes, ours: bytes, result: RunResult, close: Closeness
) -> Iterator[Difference]:
    from sweep.tracking.files import read_curve

    steps, errors = read_curve(stored)
    if len(np.unique(steps)) != len(steps) or (np.diff(steps) < 0).any():
        yield Difference(f"{name} step", "steps out of order", "ascending steps")
        return
    best = int(steps[np.argmin(errors)]) if len(steps) else None
    missing = [s for s in np.setdiff1d(result.steps, steps) if not close.step_may_differ(s, best)]
    extra = [s for s in np.setdiff1d(steps, result.steps) if not close.step_may_differ(s, best)]
    _, at, here = np.intersect1d(steps, result.steps, assume_unique=True, return_indices=True)
    wrong = np.flatnonzero(~close.errors(errors[at], result.errors[here]))
    found = [
        Difference(
            f"{name} error at step {steps[at[one]]}",
            float(errors[at[one]]),
            float(result.errors[here[one]]),
        )
        for one in wrong
    ]
    found += [Difference(f"{name} error at step {s}", MISSING, "a value") for s in missing]
    found += [Difference(f"{name} error at step {s}", "a value", MISSING) for s in extra]
    yield from _named(f"{name} error", found)
    yield from _validation(name, stored, result, close)


def _validation(
    name: str, stored: bytes, result: RunResult, close: Closeness
) -> Iterator[Difference]:
    """Yield where the validation errors differ; where steps do, that was told before."""
    from sweep.tracking.files import read_validation

    theirs, ours = read_validation(stored), result.validation
    if theirs is None or ours is None:
        if theirs is not ours:
            there, here = (MISSING if one is None else "values" for one in (theirs, ours))
            yield Difference(f"{name} validation_error", there, here)
    elif len(theirs) == len(ours):
        same = close.errors(theirs, ours) | (np.isnan(theirs) & np.isnan(ours))
        found = [
            Difference(
                f"{name} validation_error at step {result.steps[at]}",
                float(theirs[at]),
                float(ours[at]),
            )
            for at in np.flatnonzero(~same)
        ]
        yield from _named(f"{name} validation_error", found)


def _thresholds(
    name: str, stored: bytes, ours: bytes, result: RunResult, close: Closeness
) -> Iterator[Difference]:
    from sweep.tracking.files import read_thresholds

    theirs: dict[int, Any] = dict(read_thresholds(stored))
    for k in dict.fromkeys([*result.thresholds, *theirs]):
        there, here = theirs.get(k, MISSING), result.thresholds.get(k)
        if k not in result.thresholds:
            yield Difference(f"{name} 1e-{k}", there, MISSING)
        elif there is MISSING or not close.threshold(k, there, here):
            yield Difference(f"{name} 1e-{k}", there, here)


def _weights(
    name: str, stored: bytes, ours: bytes, result: RunResult, close: Closeness
) -> Iterator[Difference]:
    from sweep.tracking.files import read_weights

    theirs, mine = _by_name(read_weights(stored, name)), _by_name(read_weights(ours, name))
    for key in dict.fromkeys([*mine, *theirs]):
        if key not in theirs:
            yield Difference(f"{name} {key}", MISSING, "a value")
            continue
        if key not in mine:
            yield Difference(f"{name} {key}", "a value", MISSING)
            continue
        here, there = mine[key], theirs[key]
        if here.shape != there.shape:
            yield Difference(f"{name} {key}", f"shape {there.shape}", f"shape {here.shape}")
            continue
        wrong = np.argwhere(~close.weights(there, here))
        found = [
            Difference(f"{name} {key}{_place(at)}", float(there[tuple(at)]), float(here[tuple(at)]))
            for at in wrong
        ]
        yield from _named(f"{name} {key}", found)


def _place(index: Any) -> str:
    return f"[{', '.join(str(int(one)) for one in index)}]" if len(index) else ""


def _by_name(weights: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``final w1`` -> float64 array; None, which stands for no finite value, as NaN."""
    return {
        f"{part} {name}": np.array(value, dtype=np.float64)
        for part, named in weights.items()
        for name, value in named.items()
    }
