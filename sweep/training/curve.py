"""The error curve of a trajectory: thinned points, with exact landmarks.

A worker extends a curve by the errors of each call into a trainer and takes the new points; the
driver appends them. Thinning depends on the step alone and landmarks cover the whole curve, so
merging is appending.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = [
    "CHART_POINTS",
    "FULL_CURVE",
    "THRESHOLDS",
    "CurveSlice",
    "ErrorCurve",
    "Landmarks",
    "charted",
    "kept_steps",
]

FULL_CURVE = 100_000
"""Up to this step a stored curve holds every step; beyond it is thinned (see kept_steps)."""

CHART_POINTS = 320
PER_DECADE = 12
"""Points a decade of the curve for charts: looks smooth, and each costs 45 µs to store."""

THRESHOLDS = tuple(range(1, 33))
"""The k of the error levels 10^-k whose first crossing is recorded."""

LAST_STEP = 2**62
"""The last kept step; at 10 ns an iteration it takes 1400 years."""

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@cache
def _thinned() -> Steps:
    """Return the steps beyond FULL_CURVE that a curve keeps, each 1/500 above the one before.

    Whole numbers only, so that every machine keeps the same ones: about 1150 a decade.
    """
    steps = [FULL_CURVE + FULL_CURVE // 500]
    while steps[-1] < LAST_STEP:
        steps.append(steps[-1] + steps[-1] // 500)
    return np.array(steps, dtype=np.int64)


def kept_steps(last: int, first: int = 0) -> Steps:
    """Return the steps from `first` to `last` that a curve keeps, shape (n,), int64.

    Every step up to FULL_CURVE, then a fixed log-spaced list that depends on the step
    alone. (A run adds its best and its last step.)
    """
    head = np.arange(first, min(last, FULL_CURVE) + 1, dtype=np.int64)
    if last <= FULL_CURVE:
        return head
    low, high = np.searchsorted(_thinned(), [first, last + 1])
    return np.concatenate([head, _thinned()[low:high]])


def charted(last: int) -> Steps:
    """Return the kept steps from 1 to `last` that charts show, ascending, int64.

    Spaced evenly in log(step), by a list that depends on the step alone, so that the points
    charted while a run trains are among those charted at its end. (A run adds its first, its
    best and its last step.)
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


@dataclass(frozen=True)
class Landmarks:
    """Exact facts about all steps of a curve, independent of the points it keeps.

    Attributes
    ----------
    last
        The last finite step; -1 before step 0.
    last_values, best_values
        Error and validation error at `last` and at `best_step`; NaN where there is none.
    best_step
        The first step with the smallest error.
    thresholds
        The first step with error <= 10^-k, for k = 1, 2, … as far as they were reached.
    best_validation_error
        The smallest finite validation error; NaN without one.
    diverged_at
        The first step whose error is not finite; the curve ends before it.
    """

    last: int = -1
    last_values: tuple[float, float] = (math.nan, math.nan)
    best_step: int = 0
    best_values: tuple[float, float] = (math.inf, math.nan)
    thresholds: tuple[int, ...] = ()
    best_validation_error: float = math.nan
    diverged_at: int | None = None


@dataclass(frozen=True)
class CurveSlice:
    """Points of a curve, shapes (n,), and the landmarks of the whole curve up to their end."""

    marks: Landmarks
    steps: Steps
    errors: Values
    validation: Values | None

    def until(self, marks: Landmarks) -> CurveSlice:
        """Return the points up to earlier landmarks."""
        end = int(np.searchsorted(self.steps, marks.last, side="right"))
        validation = None if self.validation is None else self.validation[:end]
        return CurveSlice(marks, self.steps[:end], self.errors[:end], validation)


class ErrorCurve:
    """An error curve that grows from step 0 on.

    Memory stays below FULL_CURVE + 1150 points for each decade beyond it.

    Parameters
    ----------
    marks
        The landmarks of the steps before the first point.
    """

    def __init__(self, marks: Landmarks | None = None) -> None:
        self._slices = [_empty(marks or Landmarks())]

    @property
    def marks(self) -> Landmarks:
        """The landmarks so far."""
        return self._slices[-1].marks

    @property
    def kept(self) -> CurveSlice:
        """All points that do not depend on where the curve ends."""
        if len(self._slices) > 1:
            others = [part.validation for part in self._slices if part.validation is not None]
            steps = np.concatenate([part.steps for part in self._slices])
            errors = np.concatenate([part.errors for part in self._slices])
            validation = np.concatenate(others) if others else None
            self._slices = [CurveSlice(self.marks, steps, errors, validation)]
        return self._slices[0]

    def extend(self, errors: Values, validation: Values | None = None) -> None:
        """Add the errors of the next steps, shape (n,); a non-finite one ends the curve."""
        marks, first = self.marks, self.marks.last + 1
        if marks.diverged_at is not None or not len(errors):
            return
        diverged_at = None
        if not np.isfinite(errors[-1]) or not np.isfinite(errors).all():
            bad = int(np.argmin(np.isfinite(errors)))
            diverged_at, errors = first + bad, errors[:bad]
        if not len(errors):
            self.append(_empty(replace(marks, diverged_at=diverged_at)))
            return
        if validation is not None:
            validation = validation[: len(errors)]
        marks = _extended(marks, errors, validation, diverged_at)
        steps = kept_steps(marks.last, first)
        at = steps - first
        kept = None if validation is None else validation[at]
        self.append(CurveSlice(marks, steps, errors[at], kept))

    def take(self) -> CurveSlice:
        """Return and remove the points since the last call."""
        taken, self._slices = self.kept, [_empty(self.marks)]
        return taken

    def append(self, new: CurveSlice) -> None:
        """Append the points of a curve that continued from this one's landmarks."""
        self._slices.append(new)

    def rewind(self, marks: Landmarks) -> None:
        """Go back to earlier landmarks of this curve."""
        self._slices = [self.kept.until(marks)]

    def points(self, marks: Landmarks | None = None) -> tuple[Steps, Values, Values | None]:
        """Return the steps, errors and validation errors, with the best and the last step.

        Parameters
        ----------
        marks
            Earlier landmarks of this curve, where it is to end.
        """
        marks = marks or self.marks
        part = self.kept.until(marks)
        steps, errors, others = part.steps, part.errors, part.validation
        if marks.last < 0:
            return steps, errors, others
        for step, values in (
            (marks.best_step, marks.best_values),
            (marks.last, marks.last_values),
        ):
            at = int(np.searchsorted(steps, step))
            if at == len(steps) or steps[at] != step:
                steps = np.insert(steps, at, step)
                errors = np.insert(errors, at, values[0])
                others = None if others is None else np.insert(others, at, values[1])
        return steps, errors, others


def _empty(marks: Landmarks) -> CurveSlice:
    return CurveSlice(marks, np.empty(0, np.int64), np.empty(0), None)


def _extended(
    marks: Landmarks, errors: Values, validation: Values | None, diverged_at: int | None
) -> Landmarks:
    """Return the landmarks after these finite errors, at least one."""
    first = marks.last + 1
    best_step, best_values, thresholds = marks.best_step, marks.best_values, marks.thresholds
    best_at = int(np.argmin(errors))
    if errors[best_at] < best_values[0]:
        best_step, best_values = first + best_at, _values(errors, validation, best_at)
        for k in THRESHOLDS[len(thresholds) :]:
            if best_values[0] > float(f"1e-{k}"):
                break
            thresholds += (first + int(np.argmax(errors <= float(f"1e-{k}"))),)
    least = marks.best_validation_error
    if validation is not None:
        finite = validation[np.isfinite(validation)]
        least = float(np.fmin(least, finite.min())) if len(finite) else least
    return Landmarks(
        first + len(errors) - 1,
        _values(errors, validation, -1),
        best_step,
        best_values,
        thresholds,
        least,
        diverged_at,
    )


def _values(errors: Values, validation: Values | None, at: int) -> tuple[float, float]:
    return float(errors[at]), math.nan if validation is None else float(validation[at])
