"""What a trajectory has given so far, put together from its slices, and the results of its runs.

A trajectory is trained once; every run that ends on it is a prefix, so each number of a result
depends on the steps up to the run's last one and on nothing else.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sweep.training.curve import THRESHOLDS, CurveSlice, Landmarks, Points, charted, joined
from sweep.training.task import Failure, Part, Saved, Weights

__all__ = ["History", "RunResult"]

MOST_PRINTED = 2**20
"""Characters of what a trajectory prints that are kept."""

LEFT_OUT = f"\n(What was printed after the first {MOST_PRINTED} characters is left out.)\n"


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
        The last state that came back; None where the trajectory starts again at step 0.
    seconds
        The training time so far.
    printed
        What was printed so far.
    """

    def __init__(
        self, cuts: Sequence[int], saved: Saved | None = None, points: CurveSlice | None = None
    ) -> None:
        self.left = deque(cuts)
        self.saved = saved
        self.seconds = saved.seconds if saved and points else 0.0
        self.printed = saved.printed if saved else ""
        self._slices = [points or CurveSlice(Landmarks())]
        self._initial: Weights = {}
        self._shown = -1

    @property
    def step(self) -> int:
        """The last step that is known."""
        return max(0, self._slices[-1].marks.last)

    @property
    def curve(self) -> CurveSlice:
        """The curve so far: all points that do not depend on where it ends."""
        self._slices = [joined(self._slices)]
        return self._slices[0]

    def rewind(self) -> None:
        """Go back to the last state: what came after it is trained again."""
        saved = self.saved or Saved(Landmarks(), 0.0, {})
        self._slices = [self.curve.until(saved.marks)]
        self.seconds, self.printed = saved.seconds, saved.printed

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
        """Append a part; yield iterations, outcome, part and output of each run it ends."""
        self._slices.append(part.curve)
        self.seconds = part.seconds
        room = MOST_PRINTED - len(self.printed)
        if part.printed and room >= 0:
            left_out = LEFT_OUT if len(part.printed) > room else ""
            self.printed += part.printed[:room] + left_out
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

    def charted(self) -> CurveSlice | None:
        """Return the new points that charts show, each once; None where there is none."""
        curve = self.curve.completed()
        chosen = np.append(0, charted(self.step))
        chosen = chosen[chosen > self._shown]
        if not len(chosen) or not len(curve.steps):
            return None
        self._shown = int(chosen[-1])
        return curve.at(np.searchsorted(curve.steps, chosen))

    def _result(self, iters: int, outcome: str, part: Part, printed: str) -> RunResult:
        marks, at_end = part.curve.marks, part.snapshot
        assert at_end is not None
        curve = self.curve.until(marks).completed()
        finite, reached = len(curve.steps) > 0, outcome in ("completed", "failed")
        last = {name: value for name, (_, value) in marks.named.items()}
        stalled_at = at_end.stalled_at
        crossed = dict(zip(THRESHOLDS, marks.thresholds, strict=False))
        return RunResult(
            iters=iters,
            outcome=outcome,
            steps=curve.steps,
            errors=curve.errors,
            best_error=marks.best_values[0] if finite else None,
            best_step=marks.best_step if finite else None,
            initial_error=float(curve.errors[0]) if finite else None,
            final_error=float(curve.errors[-1]) if reached else None,
            diverged_at=marks.diverged_at,
            stalled_at=stalled_at if stalled_at is not None and stalled_at <= iters else None,
            thresholds={k: crossed.get(k) for k in THRESHOLDS},
            initial_weights=self._initial,
            final_weights=at_end.weights,
            train_seconds=part.seconds,
            metrics={**{n: v for n, v in last.items() if not math.isfinite(v)}, **at_end.metrics},
            validation=curve.validation,
            final_validation_error=_finite(marks.last_values[1]) if reached else None,
            best_validation_error=_finite(marks.best_validation_error),
            stopped_at=marks.stopped_at,
            curves=curve.named,
            failure=at_end.failure if outcome == "failed" else None,
            printed=printed,
            best_weights=at_end.best,
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
