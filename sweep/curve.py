"""The error curve of a trajectory as it is made: thinned, with exact landmarks."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["FULL_CURVE", "THRESHOLDS", "ErrorCurve", "kept_steps", "next_kept"]

FULL_CURVE = 100_000
"""Up to this step a stored curve holds every step; beyond it is thinned (see kept_steps)."""

THRESHOLDS = tuple(range(1, 33))
"""The k of the levels 10^-k whose first crossing is found while training."""


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
