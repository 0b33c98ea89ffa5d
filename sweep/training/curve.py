"""The error curve of a trajectory: thinned points, and exact landmarks of all steps.

Thinning depends only on the step, so slices of a curve are joined by concatenation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

FULL_CURVE = 100_000
"""Curves keep every step up to this one and are thinned beyond it; see kept_steps."""

THRESHOLDS = tuple(range(1, 33))
"""The k of the error levels 10^-k whose first step is recorded."""

CHART_POINTS = 320
PER_DECADE = 12
"""Charted curves have PER_DECADE points per decade (looks smooth), in total at most CHART_POINTS.

Each point takes 45 µs to store.
"""

LAST_STEP = 2**62
"""Last kept step: 1400 years at 10 ns an iteration."""

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Points = tuple[Steps, Values]
"""Steps, ascending, and the values at these; shape (n,) each."""


@dataclass(frozen=True)
class Landmarks:
    """Exact properties of all steps of a curve, independent of thinning.

    Pairs of values are (error, validation error), the latter NaN without validation.
    """

    last: int = -1  # the last finite step; -1 before step 0
    last_values: tuple[float, float] = (math.nan, math.nan)
    best_step: int = 0  # the first step with the smallest error
    best_values: tuple[float, float] = (math.inf, math.nan)
    thresholds: tuple[int, ...] = ()  # first step with error <= 10^-k, for each k reached
    best_validation_error: float = math.nan  # the smallest finite one
    diverged_at: int | None = None  # first step whose error is not finite; the curve ends before it
    stopped_at: int | None = None  # last step, if trainer or early stopping ended it
    named: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Last step and value of each further curve, finite or not."""


@dataclass(frozen=True)
class CurveSlice:
    """Points of a curve, shapes (n,), and the landmarks of all its steps up to their end.

    `named` holds the finite points of further curves, which may skip steps.
    """

    marks: Landmarks
    steps: Steps = field(default_factory=lambda: np.empty(0, np.int64))
    errors: Values = field(default_factory=lambda: np.empty(0))
    validation: Values | None = None
    named: Mapping[str, Points] = field(default_factory=dict)

    def at(self, chosen: npt.NDArray[Any] | slice) -> CurveSlice:
        """Return the points at the positions `chosen`."""
        validation = None if self.validation is None else self.validation[chosen]
        return replace(
            self, steps=self.steps[chosen], errors=self.errors[chosen], validation=validation
        )

    def until(self, marks: Landmarks) -> CurveSlice:
        """Return the curve up to the step of earlier landmarks."""
        end = int(np.searchsorted(self.steps, marks.last, side="right"))
        named = {name: _up_to(points, marks.last) for name, points in self.named.items()}
        return replace(self.at(slice(end)), marks=marks, named=named)

    def completed(self) -> CurveSlice:
        """Return the curve with its best and last point, and the last of further curves."""
        marks, steps, errors, validation = self.marks, self.steps, self.errors, self.validation
        landmarks = (marks.best_step, marks.best_values), (marks.last, marks.last_values)
        for step, (error, other) in landmarks if marks.last >= 0 else ():
            at = int(np.searchsorted(steps, step))
            if at == len(steps) or steps[at] != step:
                steps, errors = np.insert(steps, at, step), np.insert(errors, at, error)
                validation = None if validation is None else np.insert(validation, at, other)
        named = dict(self.named)
        for name, (step, value) in marks.named.items():
            before = named.get(name, (steps[:0], errors[:0]))
            if math.isfinite(value) and step not in before[0][-1:]:
                named[name] = np.append(before[0], step), np.append(before[1], value)
        named = {name: points for name, points in named.items() if len(points[0])}
        return CurveSlice(marks, steps, errors, validation, named)


def joined(parts: Sequence[CurveSlice]) -> CurveSlice:
    """Return consecutive slices as one."""
    if len(parts) == 1:
        return parts[0]
    validation = [part.validation for part in parts if part.validation is not None]
    return CurveSlice(
        parts[-1].marks,
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.errors for part in parts]),
        np.concatenate(validation) if validation else None,
        joined_points([part.named for part in parts]),
    )


def joined_points(parts: Sequence[Mapping[str, Points]]) -> dict[str, Points]:
    """Return the points of consecutive slices by name."""
    named = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        steps, values = zip(*(part[name] for part in parts if name in part), strict=True)
        named[name] = np.concatenate(steps), np.concatenate(values)
    return named


def measured(
    marks: Landmarks,
    errors: Values,
    validation: Values | None = None,
    named: Mapping[str, Points] | None = None,
) -> CurveSlice:
    """Return the slice of the next steps of a curve, which ends before a non-finite error.

    `marks` are the landmarks of the previous steps. `errors` and `validation` are values at the
    next steps, shape (n,), `named` points of further curves at these steps.
    """
    first, diverged_at = marks.last + 1, None
    if not np.isfinite(errors).all():
        end = int(np.argmin(np.isfinite(errors)))
        diverged_at, errors = first + end, errors[:end]
    marks = replace(marks, diverged_at=diverged_at)
    if not len(errors):
        return CurveSlice(marks)
    if validation is not None:
        validation = validation[: len(errors)]
    last = marks.last + len(errors)
    new = {name: _up_to(points, last) for name, points in (named or {}).items()}
    ends = {name: (int(at[-1]), float(values[-1])) for name, (at, values) in new.items() if len(at)}
    marks = replace(_extended(marks, errors, validation), named={**marks.named, **ends})
    steps = kept_steps(last, first)
    thinned = {}
    for name, (at, values) in new.items():
        kept = np.isin(at, steps) & np.isfinite(values)
        thinned[name] = at[kept], values[kept]
    others = None if validation is None else validation[steps - first]
    return CurveSlice(marks, steps, errors[steps - first], others, thinned)


def _extended(marks: Landmarks, errors: Values, validation: Values | None) -> Landmarks:
    """Return the landmarks after further errors: finite, at least one."""

    def values(at: int) -> tuple[float, float]:
        return float(errors[at]), math.nan if validation is None else float(validation[at])

    first, best_at = marks.last + 1, int(np.argmin(errors))
    if errors[best_at] < marks.best_values[0]:
        thresholds = marks.thresholds
        for k in THRESHOLDS[len(thresholds) :]:
            if errors[best_at] > float(f"1e-{k}"):
                break
            thresholds += (first + int(np.argmax(errors <= float(f"1e-{k}"))),)
        marks = replace(
            marks, best_step=first + best_at, best_values=values(best_at), thresholds=thresholds
        )
    least = marks.best_validation_error
    if validation is not None:
        least = float(np.fmin.reduce(validation[np.isfinite(validation)], initial=least))
    return replace(
        marks, last=marks.last + len(errors), last_values=values(-1), best_validation_error=least
    )


def _up_to(points: Points, last: int) -> Points:
    end = int(np.searchsorted(points[0], last, side="right"))
    return points[0][:end], points[1][:end]


@cache
def _thinned() -> Steps:
    """Return the steps kept beyond FULL_CURVE, each larger by 1/500: about 1150 a decade.

    Integer arithmetic, so that every machine keeps the same steps.
    """
    steps = [FULL_CURVE + FULL_CURVE // 500]
    while steps[-1] < LAST_STEP:
        steps.append(steps[-1] + steps[-1] // 500)
    return np.array(steps, dtype=np.int64)


def kept_steps(last: int, first: int = 0) -> Steps:
    """Return the steps from `first` to `last` that a curve keeps, shape (n,).

    Every step up to FULL_CURVE, then a fixed log-spaced list. A run adds its best and last step.
    """
    head = np.arange(first, min(last, FULL_CURVE) + 1, dtype=np.int64)
    if last <= FULL_CURVE:
        return head
    low, high = np.searchsorted(_thinned(), [first, last + 1])
    return np.concatenate([head, _thinned()[low:high]])


def charted(last: int) -> Steps:
    """Return the kept steps from 1 to `last` that charts show, ascending, shape (n,).

    Log-spaced by a fixed list, so that points charted during training are charted at the end,
    too. A run adds its first, best and last step.
    """
    per_decade = PER_DECADE
    decades = math.log10(max(last, 1))
    if decades * per_decade > CHART_POINTS - 4:
        per_decade = max(1, int((CHART_POINTS - 4) / decades))
    wanted = np.round(10.0 ** (np.arange(math.floor(decades * per_decade) + 1) / per_decade))
    chosen = np.unique(wanted.astype(np.int64))
    if last > FULL_CURVE:  # round up to kept steps
        kept = kept_steps(last)
        at = np.searchsorted(kept, chosen)
        chosen = np.unique(kept[at[at < len(kept)]])
    return chosen[chosen <= last]
