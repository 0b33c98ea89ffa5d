"""The error curve of a trajectory as it is made: thinned, with exact landmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "CHART_POINTS",
    "FULL_CURVE",
    "THRESHOLDS",
    "ErrorCurve",
    "charted",
    "kept_steps",
    "next_kept",
]

FULL_CURVE = 100_000
"""Up to this step a stored curve holds every step; beyond it is thinned (see kept_steps)."""

CHART_POINTS = 320
PER_DECADE = 12
"""Points a decade of the curve for charts: smooth to the eye, and each costs 45 µs to store."""

THRESHOLDS = tuple(range(1, 33))
"""The k of the levels 10^-k whose first crossing is found while training."""


Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


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


def charted(last: int) -> Steps:
    """Return the kept steps from 1 to `last` that charts show, ascending, int64.

    Spaced evenly in log(step), by a list that depends on the step alone, so that what is
    charted of a run while it trains is part of what is charted of it in the end. (A run adds
    its first, its best and its last step.)
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


class ErrorCurve:
    """The error curve as it is made: thinned, with its exact best step and thresholds.

    Memory stays below FULL_CURVE + 1150 points for each decade beyond it.

    Parameters
    ----------
    initial_error
        The error at step 0.
    initial_validation
        The validation error at step 0, where one is told; then each step has one, NaN where
        it was not taken.
    """

    def __init__(self, initial_error: float, initial_validation: float | None = None) -> None:
        self.last = -1
        self.best_error = math.inf
        self.best_step = 0
        self.thresholds: dict[int, int | None] = dict.fromkeys(THRESHOLDS)
        self.diverged_at: int | None = None
        self.best_validation_error: float | None = None
        self._steps: list[Steps] = []
        self._errors: list[Values] = []
        self._others: list[Values] = []
        self._next = next_kept(FULL_CURVE)
        self._level = 0  # index of the first threshold not yet reached
        self._last_values = self._best_values = (math.nan, math.nan)
        self.has_validation = initial_validation is not None
        self.extend(
            np.array([initial_error]),
            None if initial_validation is None else np.array([initial_validation]),
        )

    def extend(self, errors: Values, validation: Values | None = None) -> None:
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
        others = None if validation is None else validation[: len(errors)]
        position = int(np.argmin(errors))
        if errors[position] < self.best_error:
            self.best_error = float(errors[position])
            self.best_step = first + position
            self._best_values = _pair(errors, others, position)
            self._cross(errors, first)
        self.last = first + len(errors) - 1
        self._last_values = _pair(errors, others, -1)
        self._keep(errors, self._errors, first)
        if others is not None:
            self._keep(others, self._others, first)
            self._best_validation(others)
        self._keep_steps(first)

    def _best_validation(self, others: Values) -> None:
        finite = others[np.isfinite(others)]
        if len(finite):
            best = self.best_validation_error
            least = float(finite.min())
            self.best_validation_error = least if best is None else min(best, least)

    def _cross(self, errors: Values, first: int) -> None:
        while self._level < len(THRESHOLDS):
            k = THRESHOLDS[self._level]
            below = errors <= float(f"1e-{k}")
            if not below.any():
                return
            self.thresholds[k] = first + int(np.argmax(below))
            self._level += 1

    def _keep(self, values: Values, kept: list[Values], first: int) -> None:
        """Append those of `values`, at the steps from `first` on, whose steps are kept."""
        head = max(0, min(len(values), FULL_CURVE + 1 - first))
        if head:
            kept.append(np.array(values[:head]))
        chosen = self._thinned()
        if len(chosen):
            kept.append(values[chosen - first])

    def _keep_steps(self, first: int) -> None:
        """Append the kept steps from `first` to the last one; go on behind them."""
        end = min(self.last, FULL_CURVE) + 1
        if first < end:
            self._steps.append(np.arange(first, end, dtype=np.int64))
        chosen = self._thinned()
        if len(chosen):
            self._steps.append(chosen)
            self._next = next_kept(int(chosen[-1]))

    def _thinned(self) -> Steps:
        """Return the kept steps beyond FULL_CURVE up to the last one that are not yet there."""
        chosen = []
        step = self._next
        while step <= self.last:
            chosen.append(step)
            step = next_kept(step)
        return np.array(chosen, dtype=np.int64)

    def points(self) -> tuple[Steps, Values]:
        """Return the kept steps and errors up to now, with the best and the last step."""
        steps, errors, _ = self._all_points()
        return steps, errors

    def validation(self) -> Values | None:
        """Return the validation errors at the steps of `points`, or None where none is told."""
        return self._all_points()[2] if self.has_validation else None

    def final_validation_error(self) -> float | None:
        """Return the validation error at the last step, or None where there is no finite one."""
        other = self._last_values[1]
        return other if math.isfinite(other) else None

    def state(self) -> dict[str, Any]:
        """Return all that a later curve needs to go on from here: arrays and numbers."""
        steps = np.concatenate([np.empty(0, np.int64), *self._steps])
        best = math.nan if self.best_validation_error is None else self.best_validation_error
        return {
            "last": self.last,
            "best": np.array([self.best_error, *self._best_values, *self._last_values, best]),
            "best_step": self.best_step,
            "thresholds": np.array([-1 if at is None else at for at in self.thresholds.values()]),
            "steps": steps,
            "errors": np.concatenate([np.empty(0), *self._errors]),
            "others": np.concatenate([np.empty(0), *self._others]),
            "next": self._next,
            "level": self._level,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, for a fresh curve with or without validation as that one."""
        best_error, *values = np.asarray(state["best"]).tolist()
        self.last, self.best_step = int(state["last"]), int(state["best_step"])
        self.best_error = best_error
        self._best_values, self._last_values = tuple(values[:2]), tuple(values[2:4])
        self.best_validation_error = values[4] if math.isfinite(values[4]) else None
        crossed = np.asarray(state["thresholds"]).tolist()
        self.thresholds = {
            k: None if at < 0 else at for k, at in zip(THRESHOLDS, crossed, strict=True)
        }
        self._steps, self._errors = [np.asarray(state["steps"])], [np.asarray(state["errors"])]
        self._others = [np.asarray(state["others"])] if self.has_validation else []
        self._next, self._level = int(state["next"]), int(state["level"])

    def charted_after(self, step: int) -> tuple[Steps, Values, Values | None]:
        """Return the points beyond `step` that charts show, up to now; 0 is among the first."""
        steps, errors, others = self._all_points()
        chosen = np.append(0, charted(self.last))
        at = np.searchsorted(steps, chosen[chosen > step])
        return steps[at], errors[at], others[at] if self.has_validation else None

    def _all_points(self) -> tuple[Steps, Values, Values]:
        if not self._steps:
            return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
        self._steps = [np.concatenate(self._steps)]
        self._errors = [np.concatenate(self._errors)]
        self._others = [np.concatenate(self._others)] if self._others else []
        steps, errors = self._steps[0], self._errors[0]
        others = self._others[0] if self._others else np.empty(0)
        for step, values in ((self.best_step, self._best_values), (self.last, self._last_values)):
            at = int(np.searchsorted(steps, step))
            if at == len(steps) or steps[at] != step:
                steps = np.insert(steps, at, step)
                errors = np.insert(errors, at, values[0])
                others = np.insert(others, at, values[1]) if self._others else others
        return steps, errors, others


def _pair(errors: Values, others: Values | None, at: int) -> tuple[float, float]:
    return float(errors[at]), math.nan if others is None else float(others[at])
