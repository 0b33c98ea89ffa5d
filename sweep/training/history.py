"""What a trajectory has given so far, put together from its slices, and the results of its runs.

A trajectory is trained once; every run that ends on it is a prefix, so each number of a result
depends on the steps up to the run's last one and on nothing else.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.training.curve import THRESHOLDS, CurveSlice, ErrorCurve, Landmarks, Points, charted
from sweep.training.surroundings import Failure

__all__ = ["CurvePart", "History", "Part", "RunResult", "Saved", "Snapshot"]

Weights = Mapping[str, Any]

MOST_PRINTED = 2**20
"""Characters of what a trajectory prints that are kept."""

LEFT_OUT = f"\n(What was printed after the first {MOST_PRINTED} characters is left out.)\n"


@dataclass(frozen=True)
class Snapshot:
    """Weights and a trainer's own metrics at a step, and the step from which nothing changes.

    With what `weights()` or `metrics()` raised, and the weights that early stopping keeps.
    """

    weights: Weights
    metrics: Mapping[str, float]
    stalled_at: int | None
    failure: Failure | None = None
    best: Weights | None = None


@dataclass(frozen=True)
class Saved:
    """Where a trajectory can go on from, with its training time and what it has printed."""

    marks: Landmarks
    seconds: float
    trainer: Mapping[str, npt.NDArray[Any]]
    printed: str = ""


@dataclass(frozen=True)
class Part:
    """A stretch of a trajectory.

    Attributes
    ----------
    seconds
        Training time from step 0 to its end. Of trajectories that train in one batch each has
        its share: a call's time divided by the number of those that were under way.
    snapshot
        Taken at its end, where that is a cut point or where the trajectory ends.
    ended
        Whether no more is trained: the trajectory diverged or has stopped, or `max_seconds` has
        passed.
    initial
        Whether `snapshot` is that of step 0, where a training begins.
    printed
        What was printed in it.
    """

    curve: CurveSlice
    seconds: float
    snapshot: Snapshot | None
    ended: bool = False
    initial: bool = False
    printed: str = ""


@dataclass(frozen=True)
class CurvePart:
    """What charts show of a stretch of a curve, while training goes on; shapes (n,)."""

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
        ``completed``, ``diverged`` (NaN or infinity at ``diverged_at``), ``interrupted``, or
        ``failed``: see `failure`.
    steps, errors
        The kept curve: int64 steps ascending from 0 and their finite errors, same shape.
    best_error, best_step
        The smallest error of **all** steps and the first step that has it.
    final_error
        Error after the last iteration; None where that was not reached.
    diverged_at, stalled_at, stopped_at
        First step with a non-finite value; first step from which on no weight changes; last step
        of a training that ended by itself.
    thresholds
        For each k of THRESHOLDS the first step with error <= 10^-k, or None.
    initial_weights, final_weights
        By name; scalars as float, arrays as float64 arrays. A diverged run's may be non-finite.
    train_seconds
        Seconds of training from the start of the trajectory to this run's last step; see Part.
    metrics
        Extra metrics of a user's trainer at the end of the run, not all of them finite.
    curves
        Name -> steps and finite values of a further curve, shape (n,) each. Its last value is in
        `metrics` too where that is not finite.
    validation
        Validation errors at `steps`, NaN where none was taken; None without validation.
    final_validation_error, best_validation_error
        That after the last iteration, None where that was not reached; the smallest of all steps.
    failure
        What the trainer raised after the last iteration; all else is what came before.
    printed
        What was printed up to the run's end.
    best_weights
        With early stopping, those at the first step with the smallest validation error.
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
    stopped_at: int | None = None
    curves: Mapping[str, Points] = field(default_factory=dict)
    failure: Failure | None = None
    printed: str = ""
    best_weights: Weights | None = None


class History:
    """One trajectory as the driver sees it.

    Parameters
    ----------
    cuts
        The iteration counts at which a run ends, ascending.
    saved, points
        Where an earlier training ended, and the points of its curve up to there.

    Attributes
    ----------
    left
        The cut points without a result.
    saved
        The last state that came back; None where the trajectory can only begin anew.
    printed
        What was printed so far.
    """

    def __init__(
        self, cuts: Sequence[int], saved: Saved | None = None, points: CurveSlice | None = None
    ) -> None:
        self.left = deque(cuts)
        self.saved = saved
        self.seconds = 0.0
        self.curve = ErrorCurve()
        self.printed = saved.printed if saved else ""
        self._initial: Weights = {}
        self._shown = -1
        if saved is not None and points is not None:
            self.curve.append(points)
            self.seconds = saved.seconds

    @property
    def step(self) -> int:
        """The last step that is known."""
        return max(0, self.curve.marks.last)

    def rewind(self) -> None:
        """Go back to the last state: what came after it is trained again."""
        self.curve.rewind(self.saved.marks if self.saved else Landmarks())
        self.seconds = self.saved.seconds if self.saved else 0.0
        self.printed = self.saved.printed if self.saved else ""

    def add(self, parts: Sequence[Part], state: Saved | None = None) -> Iterator[RunResult]:
        """Append the parts of a slice; return a result for each run that ends with one.

        Everything is appended at once, results are made one after the other.

        Parameters
        ----------
        state
            Where the trajectory can go on from after the last part.
        """
        endings = [ending for part in parts for ending in self._append(part)]
        if state is not None:
            self.saved = replace(state, printed=self.printed)
        return (self._result(*ending) for ending in endings)

    def _append(self, part: Part) -> Iterator[tuple[int, str, Part, str]]:
        """Append a part; yield iterations, outcome and output of each run that ends with it."""
        self.curve.append(part.curve)
        self.seconds = part.seconds
        self._print(part.printed)
        if part.snapshot is None:
            return
        if part.initial:
            self._initial = part.snapshot.weights
            return
        marks = part.curve.marks
        while self.left and (part.ended or self.left[0] <= marks.last):
            iters = self.left.popleft()
            if marks.diverged_at is not None:
                outcome = "diverged"
            elif iters > marks.last and marks.stopped_at is None:
                outcome = "interrupted"
            else:
                outcome = "failed" if part.snapshot.failure else "completed"
            yield iters, outcome, part, self.printed

    def _print(self, text: str) -> None:
        room = MOST_PRINTED - len(self.printed)
        if text and room >= 0:
            self.printed += text if len(text) <= room else text[:room] + LEFT_OUT

    def charted(self) -> CurvePart | None:
        """Return what is new of what charts show, each point once; None where nothing is."""
        steps, errors, others = self.curve.points()
        chosen = np.append(0, charted(self.step))
        chosen = chosen[chosen > self._shown]
        if not len(chosen) or not len(steps):
            return None
        self._shown = int(chosen[-1])
        at = np.searchsorted(steps, chosen)
        return CurvePart(steps[at], errors[at], None if others is None else others[at])

    def _result(self, iters: int, outcome: str, part: Part, printed: str) -> RunResult:
        marks, at_end = part.curve.marks, part.snapshot
        assert at_end is not None
        steps, errors, others = self.curve.points(marks)
        finite, reached = len(steps) > 0, outcome in ("completed", "failed")
        curves = self.curve.named(marks)
        last = {name: value for name, (_, value) in marks.named.items()}
        stalled_at = at_end.stalled_at
        crossed = dict(zip(THRESHOLDS, marks.thresholds, strict=False))
        return RunResult(
            iters=iters,
            outcome=outcome,
            steps=steps,
            errors=errors,
            best_error=marks.best_values[0] if finite else None,
            best_step=marks.best_step if finite else None,
            initial_error=float(errors[0]) if finite else None,
            final_error=float(errors[-1]) if reached else None,
            diverged_at=marks.diverged_at,
            stalled_at=stalled_at if stalled_at is not None and stalled_at <= iters else None,
            thresholds={k: crossed.get(k) for k in THRESHOLDS},
            initial_weights=self._initial,
            final_weights=at_end.weights,
            train_seconds=part.seconds,
            metrics={**{n: v for n, v in last.items() if not math.isfinite(v)}, **at_end.metrics},
            validation=others,
            final_validation_error=_finite(marks.last_values[1]) if reached else None,
            best_validation_error=_finite(marks.best_validation_error),
            stopped_at=marks.stopped_at,
            curves=curves,
            failure=at_end.failure if outcome == "failed" else None,
            printed=printed,
            best_weights=at_end.best,
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
