"""Train one trajectory and say what came of it: the error curve, its landmarks, the weights.

Nothing here knows Hydra, MLflow or the disk. A trajectory is trained once; every run that
ends on it is a prefix, so each number below depends on the steps up to the run's last one
and on nothing else: not on slices, company or what follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.curve import ErrorCurve
from sweep.protocol import (
    Trainer,
    TrainerError,
    checked_error,
    checked_metrics,
    checked_slice,
    checked_validation,
    snapshot,
)

__all__ = [
    "CurvePart",
    "RunResult",
    "Trainer",
    "TrainerError",
    "train",
]

SLICE_SECONDS = 0.1
"""Aim for the length of one call into a trainer, so that signals and progress act in between."""

WATCH_SECONDS = 3.0
"""Seconds of training after which a part of the curve is told, and again after as many."""

Weights = Mapping[str, Any]


@dataclass(frozen=True)
class CurvePart:
    """What charts show of a stretch of a curve, told while training goes on; shapes (n,)."""

    steps: npt.NDArray[np.int64]
    errors: npt.NDArray[np.float64]
    validation: npt.NDArray[np.float64] | None

    def up_to(self, iters: int) -> CurvePart:
        """Return the part that belongs to a run of `iters` iterations."""
        inside = self.steps <= iters
        others = None if self.validation is None else self.validation[inside]
        return CurvePart(self.steps[inside], self.errors[inside], others)


@dataclass(frozen=True)
class RunResult:
    """What one run produced; plain values that travel between processes.

    Attributes
    ----------
    iters
        Iterations asked for.
    outcome
        ``completed``, ``diverged`` (NaN or infinity at ``diverged_at``) or ``interrupted``.
    steps, errors
        The kept curve: int64 steps ascending from 0 and their finite errors, same shape.
    best_error, best_step
        The smallest error of **all** steps and the first step that has it.
    final_error
        Error after the last iteration; None unless completed.
    diverged_at, stalled_at
        First step with a non-finite value; first step from which on no weight changes.
    thresholds
        For each k of THRESHOLDS the first step with error <= 10^-k, or None.
    initial_weights, final_weights
        By name; scalars as float, arrays as float64 arrays. A diverged run's may be non-finite.
    train_seconds
        Seconds of training from the start of the trajectory to this run's last step.
    metrics
        Extra metrics of a user's trainer at the end of the run.
    validation
        Validation errors at `steps`, NaN where none was taken; None without validation.
    final_validation_error, best_validation_error
        That after the last iteration, None unless completed; the smallest of all steps.
    """

    iters: int
    outcome: str
    steps: npt.NDArray[np.int64]
    errors: npt.NDArray[np.float64]
    best_error: float | None
    best_step: int | None
    initial_error: float | None
    final_error: float | None
    diverged_at: int | None
    stalled_at: int | None
    thresholds: Mapping[int, int | None]
    initial_weights: Weights
    final_weights: Weights
    train_seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    validation: npt.NDArray[np.float64] | None = None
    final_validation_error: float | None = None
    best_validation_error: float | None = None


def train(
    trainer: Trainer,
    stops: Sequence[int],
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda iterations: None,
    watch: Callable[[CurvePart], None] = lambda part: None,
    max_seconds: float | None = None,
) -> Iterator[RunResult]:
    """Train one trajectory and yield a result at each of `stops`, in ascending order.

    Parameters
    ----------
    trainer
        A fresh trainer at step 0.
    stops
        The iteration counts of the runs that end on this trajectory, ascending, distinct.
    stop
        Asked between slices; once true, the runs that are left end as ``interrupted``.
    progress
        Told the iterations of each slice that is done.
    watch
        Told a part of the curve every WATCH_SECONDS of training, each point once.
    max_seconds
        Training time after which the runs that are left end as ``interrupted``.

    Raises
    ------
    TrainerError
        The trainer returned something else than its protocol says.
    """
    seconds = 0.0
    told_at, told = 0.0, -1
    step = 0
    size = 1
    initial = snapshot(trainer)
    first = checked_validation(trainer, 1, "before any advance")
    curve = ErrorCurve(checked_error(trainer), None if first is None else float(first[0]))

    def result(iters: int, outcome: str) -> RunResult:
        stalled_at = getattr(trainer, "stalled_at", None)
        if stalled_at is not None and (stalled_at > iters or curve.diverged_at is not None):
            stalled_at = None
        steps, errors = curve.points()
        finite = len(steps) > 0
        return RunResult(
            iters=iters,
            outcome=outcome,
            steps=steps,
            errors=errors,
            best_error=curve.best_error if finite else None,
            best_step=curve.best_step if finite else None,
            initial_error=float(errors[0]) if finite else None,
            final_error=float(errors[-1]) if outcome == "completed" else None,
            diverged_at=curve.diverged_at,
            stalled_at=stalled_at,
            thresholds=dict(curve.thresholds),
            initial_weights=initial,
            final_weights=snapshot(trainer),
            train_seconds=seconds,
            metrics=checked_metrics(trainer) if outcome != "diverged" else {},
            validation=curve.validation(),
            final_validation_error=(
                curve.final_validation_error() if outcome == "completed" else None
            ),
            best_validation_error=curve.best_validation_error,
        )

    for position, iters in enumerate(stops):
        while step < iters and curve.diverged_at is None:
            if stop() or (max_seconds is not None and seconds >= max_seconds):
                for left in stops[position:]:
                    yield result(left, "interrupted")
                return
            count = min(size, iters - step)
            started = time.perf_counter()
            errors, others = checked_slice(trainer, count, curve.has_validation)
            elapsed = time.perf_counter() - started
            seconds += elapsed
            step += count
            curve.extend(errors, others)
            progress(count)
            if seconds - told_at >= WATCH_SECONDS and curve.last > told:
                watch(CurvePart(*curve.charted_after(told)))
                told_at, told = seconds, curve.last
            if count == size:
                size = _next_size(size, elapsed)
        yield result(iters, "completed" if curve.diverged_at is None else "diverged")


def _next_size(size: int, elapsed: float) -> int:
    """Return the next slice's iterations: grow at most tenfold towards SLICE_SECONDS."""
    wanted = size * SLICE_SECONDS / max(elapsed, 1e-9)
    return max(1, min(size * 10, int(wanted), 2**21))
