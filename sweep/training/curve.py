"""The error curve of a trajectory: thinned points, with exact landmarks.

A worker extends a curve by the errors of each call into a trainer and takes the new points; the
driver appends them. Thinning depends on the step alone and landmarks cover the whole curve, so
merging is appending.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sweep.training.thinning import CHART_POINTS, FULL_CURVE, charted, kept_steps

__all__ = [
    "CHART_POINTS",
    "FULL_CURVE",
    "THRESHOLDS",
    "CurveSlice",
    "ErrorCurve",
    "Landmarks",
    "Points",
    "charted",
    "kept_steps",
]

THRESHOLDS = tuple(range(1, 33))
"""The k of the error levels 10^-k whose first crossing is recorded."""

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Points = tuple[Steps, Values]
"""Steps, ascending, and the value at each, shape (n,) both."""


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
    stopped_at
        The last step of a training that ended by itself.
    named
        The last step and value of each further curve, finite or not.
    """

    last: int = -1
    last_values: tuple[float, float] = (math.nan, math.nan)
    best_step: int = 0
    best_values: tuple[float, float] = (math.inf, math.nan)
    thresholds: tuple[int, ...] = ()
    best_validation_error: float = math.nan
    diverged_at: int | None = None
    stopped_at: int | None = None
    named: Mapping[str, tuple[int, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class CurveSlice:
    """Points of a curve, shapes (n,), and the landmarks of the whole curve up to their end.

    `named` holds the finite points of further curves, which need not have one at each step.
    """

    marks: Landmarks
    steps: Steps
    errors: Values
    validation: Values | None
    named: Mapping[str, Points] = field(default_factory=dict)

    def until(self, marks: Landmarks) -> CurveSlice:
        """Return the points up to earlier landmarks."""
        end = int(np.searchsorted(self.steps, marks.last, side="right"))
        validation = None if self.validation is None else self.validation[:end]
        named = {name: _up_to(points, marks.last) for name, points in self.named.items()}
        return CurveSlice(marks, self.steps[:end], self.errors[:end], validation, named)


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
            parts = self._slices
            others = [part.validation for part in parts if part.validation is not None]
            validation = np.concatenate(others) if others else None
            steps = np.concatenate([part.steps for part in parts])
            errors = np.concatenate([part.errors for part in parts])
            self._slices = [CurveSlice(self.marks, steps, errors, validation, _named(parts))]
        return self._slices[0]

    def extend(
        self,
        errors: Values,
        validation: Values | None = None,
        named: Mapping[str, Points] | None = None,
    ) -> None:
        """Add the errors of the next steps, shape (n,); a non-finite one ends the curve.

        Parameters
        ----------
        named
            New points of further curves, at steps of this one.
        """
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
        new = {name: _up_to(points, marks.last) for name, points in (named or {}).items()}
        ends = {
            name: (int(one[0][-1]), float(one[1][-1])) for name, one in new.items() if len(one[0])
        }
        marks = replace(marks, named={**marks.named, **ends})
        thinned = {name: _chosen(points, steps) for name, points in new.items()}
        self.append(CurveSlice(marks, steps, errors[at], kept, thinned))

    def stop(self) -> None:
        """End the curve at its last step: its training has ended by itself."""
        self.append(_empty(replace(self.marks, stopped_at=self.marks.last)))

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

    def named(self, marks: Landmarks | None = None) -> dict[str, Points]:
        """Return the points of each further curve, with the last one; see `points`."""
        marks, found = marks or self.marks, {}
        for name, (steps, values) in self.kept.until(marks).named.items():
            step, value = marks.named.get(name, (-1, math.nan))
            if math.isfinite(value) and not (len(steps) and steps[-1] == step):
                steps, values = np.append(steps, step), np.append(values, value)
            if len(steps):
                found[name] = steps, values
        return found


def _up_to(points: Points, last: int) -> Points:
    end = int(np.searchsorted(points[0], last, side="right"))
    return points[0][:end], points[1][:end]


def _chosen(points: Points, steps: Steps) -> Points:
    """Return the finite points at the kept `steps`."""
    wanted = np.isin(points[0], steps) & np.isfinite(points[1])
    return points[0][wanted], points[1][wanted]


def _named(parts: Sequence[CurveSlice]) -> dict[str, Points]:
    """Join the further curves of consecutive slices."""
    joined = {}
    for name in dict.fromkeys(name for part in parts for name in part.named):
        points = [part.named[name] for part in parts if name in part.named]
        steps, values = zip(*points, strict=True)
        joined[name] = np.concatenate(steps), np.concatenate(values)
    return joined


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
        None,
        marks.named,
    )


def _values(errors: Values, validation: Values | None, at: int) -> tuple[float, float]:
    return float(errors[at]), math.nan if validation is None else float(validation[at])
