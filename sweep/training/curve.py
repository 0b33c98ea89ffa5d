"""The error curve of a trajectory: thinned points, with exact landmarks.

A worker extends a curve by the errors of each call into a trainer and takes what is new of it;
the driver appends that. The thinning depends on the step alone and the landmarks are those of
the whole curve, so merging is appending.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sweep.training.thinning import CHART_POINTS, FULL_CURVE, charted, kept_between, kept_steps

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
"""The k of the levels 10^-k whose first crossing is found while training."""

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Points = tuple[Steps, Values]
"""Steps, ascending, and the value at each; shape (n,) both."""


@dataclass(frozen=True)
class Landmarks:
    """What is exact of a curve whatever its points are; of all its steps.

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
    """New points of a curve, shapes (n,), and the landmarks of all of it up to their end.

    `named` holds those of further curves, finite ones alone; they need not have one at each step.
    """

    marks: Landmarks
    steps: Steps
    errors: Values
    validation: Values | None
    named: Mapping[str, Points] = field(default_factory=dict)


class ErrorCurve:
    """An error curve as it is made; step 0 is the first that it is extended by.

    Memory stays below FULL_CURVE + 1150 points for each decade beyond it.

    Parameters
    ----------
    marks
        The landmarks of what came before the first point.
    """

    def __init__(self, marks: Landmarks | None = None) -> None:
        self.marks = marks or Landmarks()
        self._slices: list[CurveSlice] = []

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
            New points of further curves; their steps are those of this curve.
        """
        if self.marks.diverged_at is not None or not len(errors):
            return
        first = self.marks.last + 1
        diverged_at = None
        if not np.isfinite(errors[-1]) or not np.isfinite(errors).all():
            bad = int(np.argmin(np.isfinite(errors)))
            diverged_at, errors = first + bad, errors[:bad]
        if not len(errors):
            self.marks = replace(self.marks, diverged_at=diverged_at)
            return
        if validation is not None:
            validation = validation[: len(errors)]
        self.marks = _extended(self.marks, errors, validation, diverged_at)
        steps = kept_between(first, self.marks.last)
        at = steps - first
        kept = None if validation is None else validation[at]
        inside = {name: _up_to(points, self.marks.last) for name, points in (named or {}).items()}
        last = {
            name: (int(there[-1]), float(values[-1]))
            for name, (there, values) in inside.items()
            if len(there)
        }
        self.marks = replace(self.marks, named={**self.marks.named, **last})
        thinned = {name: _chosen(points, steps) for name, points in inside.items()}
        self._slices.append(CurveSlice(self.marks, steps, errors[at], kept, thinned))

    def stop(self) -> None:
        """End the curve at its last step: its training has ended by itself."""
        self.marks = replace(self.marks, stopped_at=self.marks.last)

    def take(self) -> CurveSlice:
        """Return the points since the last call, and forget them."""
        taken = self._joined()
        self._slices = []
        return taken

    def append(self, new: CurveSlice) -> None:
        """Append what another curve, which went on from this one's landmarks, has taken."""
        self._slices.append(new)
        self.marks = new.marks

    def rewind(self, marks: Landmarks) -> None:
        """Go back to earlier landmarks of this curve."""
        whole = self._joined()
        end = int(np.searchsorted(whole.steps, marks.last, side="right"))
        others = None if whole.validation is None else whole.validation[:end]
        named = {name: _up_to(points, marks.last) for name, points in whole.named.items()}
        self._slices = [CurveSlice(marks, whole.steps[:end], whole.errors[:end], others, named)]
        self.marks = marks

    def kept(self) -> CurveSlice:
        """Return all points that do not depend on where the curve ends."""
        whole = self._joined()
        self._slices = [whole]
        return whole

    def points(self, marks: Landmarks | None = None) -> tuple[Steps, Values, Values | None]:
        """Return the steps, errors and validation errors, with the best and the last step.

        Parameters
        ----------
        marks
            Earlier landmarks of this curve, where it is to end.
        """
        whole, marks = self.kept(), marks or self.marks
        end = int(np.searchsorted(whole.steps, marks.last, side="right"))
        steps, errors, others = whole.steps[:end], whole.errors[:end], whole.validation
        others = None if others is None else others[:end]
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
        """Return the points of each further curve, the last one among them; see `points`."""
        marks, found = marks or self.marks, {}
        for name, points in self.kept().named.items():
            steps, values = _up_to(points, marks.last)
            step, value = marks.named.get(name, (-1, math.nan))
            if math.isfinite(value) and not (len(steps) and steps[-1] == step):
                steps, values = np.append(steps, step), np.append(values, value)
            if len(steps):
                found[name] = steps, values
        return found

    def _joined(self) -> CurveSlice:
        if len(self._slices) == 1:
            return replace(self._slices[0], marks=self.marks)
        steps = np.concatenate([np.empty(0, np.int64), *(part.steps for part in self._slices)])
        errors = np.concatenate([np.empty(0), *(part.errors for part in self._slices)])
        others = [part.validation for part in self._slices if part.validation is not None]
        named = {}
        for name in dict.fromkeys(name for part in self._slices for name in part.named):
            pieces = [part.named[name] for part in self._slices if name in part.named]
            there, values = zip(*pieces, strict=True)
            named[name] = np.concatenate(there), np.concatenate(values)
        validation = np.concatenate(others) if others else None
        return CurveSlice(self.marks, steps, errors, validation, named)


def _up_to(points: Points, last: int) -> Points:
    end = int(np.searchsorted(points[0], last, side="right"))
    return points[0][:end], points[1][:end]


def _chosen(points: Points, steps: Steps) -> Points:
    """Return the finite points at the kept `steps`."""
    wanted = np.isin(points[0], steps) & np.isfinite(points[1])
    return points[0][wanted], points[1][wanted]


def _extended(
    marks: Landmarks, errors: Values, validation: Values | None, diverged_at: int | None
) -> Landmarks:
    """Return the landmarks of a curve that goes on by these finite errors, at least one."""
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
