"""Train one trajectory and say what came of it: the error curve, its landmarks, the weights.

Nothing here knows Hydra, MLflow or the disk. A trajectory is trained once; every run that
ends on it is a prefix, so each number below depends on the steps up to the run's last one
and on nothing else: not on slices, company or what follows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "FULL_CURVE",
    "THRESHOLDS",
    "ErrorCurve",
    "RunResult",
    "Trainer",
    "TrainerError",
    "kept_steps",
    "train",
]

FULL_CURVE = 100_000
"""Up to this step a stored curve holds every step; beyond it is thinned (see kept_steps)."""

THRESHOLDS = tuple(range(1, 33))
"""The k of the levels 10^-k whose first crossing is found while training."""

SLICE_SECONDS = 0.1
"""Aim for the length of one call into a trainer, so that signals and progress act in between."""

Weights = Mapping[str, Any]


class TrainerError(TypeError):
    """A trainer broke its protocol; the message names the class and the method."""


class Trainer(Protocol):
    """What trains: one trajectory from its start, forward only.

    ``advance(a)`` then ``advance(b)`` equals ``advance(a + b)`` to the bit. A class that
    cannot promise it has ``shareable = False``; one that may run beside others in the
    threads of one process has ``thread_safe = True``. An optional ``stalled_at`` is the
    step from which on no weight changes, once that is known.
    """

    def advance(self, iterations: int) -> npt.ArrayLike:
        """Train on; return the errors after each iteration, shape (iterations,)."""
        ...

    def error(self) -> float:
        """Return the error now (step 0 before any advance)."""
        ...

    def weights(self) -> Mapping[str, float | npt.ArrayLike]:
        """Return the weights now, by name."""
        ...


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


def next_kept(step: int) -> int:
    """Return the kept step after `step`, for a kept step of at least FULL_CURVE.

    Whole numbers only, so that every machine keeps the same ones: each is 1/500 above the
    one before, about 1150 a decade.
    """
    return step + step // 500


def kept_steps(last: int) -> npt.NDArray[np.int64]:
    """Return the steps from 0 to `last` that a curve keeps, shape (n,), int64.

    Every step up to FULL_CURVE, then a fixed log-spaced list that depends on the step
    alone. (A run adds its best and its last step.)
    """
    head = np.arange(min(last, FULL_CURVE) + 1, dtype=np.int64)
    tail = []
    step = next_kept(FULL_CURVE)
    while step <= last:
        tail.append(step)
        step = next_kept(step)
    return np.concatenate([head, np.array(tail, dtype=np.int64)])


class ErrorCurve:
    """The error curve as it is made: thinned, with its exact best step and thresholds.

    Memory stays below FULL_CURVE + 1150 points for each decade beyond it.
    """

    def __init__(self, initial_error: float) -> None:
        self.last = -1
        self.best_error = math.inf
        self.best_step = 0
        self.thresholds: dict[int, int | None] = dict.fromkeys(THRESHOLDS)
        self.diverged_at: int | None = None
        self._steps: list[npt.NDArray[np.int64]] = []
        self._errors: list[npt.NDArray[np.float64]] = []
        self._next = next_kept(FULL_CURVE)
        self._level = 0  # index of the first threshold not yet reached
        self._last_error = math.nan
        self.extend(np.array([initial_error]))

    def extend(self, errors: npt.NDArray[np.float64]) -> None:
        """Take the errors of the next steps, shape (n,); a non-finite one ends the curve."""
        if self.diverged_at is not None or not len(errors):
            return
        first = self.last + 1
        if not np.isfinite(errors[-1]) or not np.isfinite(errors).all():
            bad = int(np.argmin(np.isfinite(errors)))
            self.diverged_at = first + bad
            errors = errors[:bad]
            if not bad:
                return
        position = int(np.argmin(errors))
        if errors[position] < self.best_error:
            self.best_error = float(errors[position])
            self.best_step = first + position
            self._cross(errors, first)
        self.last = first + len(errors) - 1
        self._last_error = float(errors[-1])
        self._keep(errors, first)

    def _cross(self, errors: npt.NDArray[np.float64], first: int) -> None:
        while self._level < len(THRESHOLDS):
            k = THRESHOLDS[self._level]
            below = errors <= float(f"1e-{k}")
            if not below.any():
                return
            self.thresholds[k] = first + int(np.argmax(below))
            self._level += 1

    def _keep(self, errors: npt.NDArray[np.float64], first: int) -> None:
        head = max(0, min(len(errors), FULL_CURVE + 1 - first))
        if head:
            self._steps.append(np.arange(first, first + head, dtype=np.int64))
            self._errors.append(np.array(errors[:head]))
        chosen = []
        while self._next <= self.last:
            chosen.append(self._next)
            self._next = next_kept(self._next)
        if chosen:
            steps = np.array(chosen, dtype=np.int64)
            self._steps.append(steps)
            self._errors.append(errors[steps - first])

    def points(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the kept steps and errors up to now, with the best and the last step."""
        if not self._steps:
            return np.empty(0, dtype=np.int64), np.empty(0)
        self._steps = [np.concatenate(self._steps)]
        self._errors = [np.concatenate(self._errors)]
        steps, errors = self._steps[0], self._errors[0]
        for step, error in ((self.best_step, self.best_error), (self.last, self._last_error)):
            at = int(np.searchsorted(steps, step))
            if at == len(steps) or steps[at] != step:
                steps = np.insert(steps, at, step)
                errors = np.insert(errors, at, error)
        return steps, errors


def train(
    trainer: Trainer,
    stops: Sequence[int],
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda iterations: None,
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
    max_seconds
        Training time after which the runs that are left end as ``interrupted``.

    Raises
    ------
    TrainerError
        The trainer returned something else than its protocol says.
    """
    seconds = 0.0
    step = 0
    size = 1
    initial = _snapshot(trainer)
    curve = ErrorCurve(_checked_error(trainer))

    def result(iters: int, outcome: str) -> RunResult:
        stalled_at = getattr(trainer, "stalled_at", None)
        if stalled_at is not None and (stalled_at > iters or curve.diverged_at is not None):
            stalled_at = None
        steps, errors = curve.points()
        finite = len(steps) > 0
        metrics = getattr(trainer, "metrics", dict)() if outcome != "diverged" else {}
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
            final_weights=_snapshot(trainer),
            train_seconds=seconds,
            metrics={str(name): float(value) for name, value in metrics.items()},
        )

    for position, iters in enumerate(stops):
        while step < iters and curve.diverged_at is None:
            if stop() or (max_seconds is not None and seconds >= max_seconds):
                for left in stops[position:]:
                    yield result(left, "interrupted")
                return
            count = min(size, iters - step)
            started = time.perf_counter()
            errors = _checked_slice(trainer, count)
            elapsed = time.perf_counter() - started
            seconds += elapsed
            step += count
            curve.extend(errors)
            progress(count)
            if count == size:
                size = _next_size(size, elapsed)
        yield result(iters, "completed" if curve.diverged_at is None else "diverged")


def _next_size(size: int, elapsed: float) -> int:
    """Return the next slice's iterations: grow at most tenfold towards SLICE_SECONDS."""
    wanted = size * SLICE_SECONDS / max(elapsed, 1e-9)
    return max(1, min(size * 10, int(wanted), 2**21))


def _checked_slice(trainer: Trainer, count: int) -> npt.NDArray[np.float64]:
    errors = np.asarray(trainer.advance(count), dtype=np.float64)
    if errors.shape != (count,):
        raise TrainerError(
            f"{type(trainer).__name__}.advance({count}) returned shape {errors.shape}; "
            f"it must return one error for each iteration, shape ({count},)."
        )
    return errors


def _checked_error(trainer: Trainer) -> float:
    value = np.asarray(trainer.error(), dtype=np.float64)
    if value.ndim:
        raise TrainerError(
            f"{type(trainer).__name__}.error() returned shape {value.shape}; "
            "it must return one number."
        )
    return float(value)


def _snapshot(trainer: Trainer) -> dict[str, Any]:
    weights = {}
    for name, value in trainer.weights().items():
        array = np.array(value, dtype=np.float64)
        weights[str(name)] = float(array) if array.ndim == 0 else array
    return weights
