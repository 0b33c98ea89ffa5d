"""Join the slices of a trajectory, and derive the results of its runs.

Each run is a prefix of the trajectory: its result depends only on the steps up to its last one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sweep.training.curve import THRESHOLDS, CurveSlice, Landmarks, Points, charted, joined
from sweep.training.surroundings import Failure
from sweep.training.task import Part, Saved, Snapshot, Weights

MOST_PRINTED = 2**20
"""Most characters of a trajectory's printed output that are kept."""

LEFT_OUT = f"\n(What was printed after the first {MOST_PRINTED} characters is left out.)\n"


@dataclass(frozen=True)
class RunResult:
    """Result of one run; plain values, sent between processes."""

    iters: int  # iterations asked for
    outcome: str  # completed, diverged, interrupted or failed
    steps: npt.NDArray[np.int64]  # of the kept curve, ascending from 0
    errors: npt.NDArray[np.float64]  # at `steps`, all finite
    best_error: float | None  # smallest of all steps, kept or not
    best_step: int | None  # first step with this error
    initial_error: float | None
    final_error: float | None  # after the last iteration; None if that was not reached
    diverged_at: int | None  # first step with a non-finite value
    stalled_at: int | None  # first step from which no weight changes
    thresholds: Mapping[int, int | None]  # k of THRESHOLDS -> first step with error <= 10^-k
    initial_weights: Weights  # by name; scalars as float, arrays as float64 arrays
    final_weights: Weights  # may be non-finite if the run diverged
    train_seconds: float  # from the start of the trajectory to this run's last step; see Part
    metrics: Mapping[str, float] = field(default_factory=dict)  # may be non-finite
    validation: npt.NDArray[np.float64] | None = None  # errors at `steps`, NaN where missing
    final_validation_error: float | None = None  # None if the last iteration was not reached
    best_validation_error: float | None = None  # smallest of all steps
    stopped_at: int | None = None  # last step, if trainer or early stopping ended it
    curves: Mapping[str, Points] = field(default_factory=dict)  # finite points of further curves
    failure: Failure | None = None  # raised by the trainer after the last iteration
    printed: str = ""  # output up to the run's end
    best_weights: Weights | None = None  # early stopping: at the smallest validation error


class History:
    """The driver's data of one trajectory; `points` is the curve up to the state `saved`."""

    def __init__(
        self, cuts: Sequence[int], saved: Saved | None = None, points: CurveSlice | None = None
    ) -> None:
        self.left = deque(cuts)  # cut points without a result
        self.saved = saved  # the last state returned by a worker; None: step 0
        self.seconds = saved.seconds if saved and points else 0.0
        self.printed = saved.printed if saved else ""
        self._slices = [points or CurveSlice(Landmarks())]
        self._initial: Weights = {}
        self._shown = -1

    @property
    def step(self) -> int:
        """The last step received."""
        return max(0, self._slices[-1].marks.last)

    @property
    def curve(self) -> CurveSlice:
        """The curve so far, without points that depend on its end (see completed)."""
        self._slices = [joined(self._slices)]
        return self._slices[0]

    def rewind(self) -> None:
        """Return to the last state; the steps after it are trained again."""
        saved = self.saved or Saved(Landmarks(), 0.0, {})
        self._slices = [self.curve.until(saved.marks)]
        self.seconds, self.printed = saved.seconds, saved.printed

    def add(self, part: Part) -> Iterator[RunResult]:
        """Append what a slice added; return an iterator of the results of runs that end in it.

        All is appended at once; results are computed lazily.
        """
        self._slices.append(part.curve)
        self.seconds = part.seconds
        if part.initial is not None:
            self._initial = part.initial
        ended = [one for snapshot in part.snapshots for one in self._ended(snapshot)]
        self._print(part.printed)
        if part.state is not None:
            self.saved = replace(part.state, printed=self.printed)
        return (self._result(*one) for one in ended)

    def unfinished(self, iters: int) -> RunResult | None:
        """Return the result of a run up to the last step received; None without a step."""
        marks = self._slices[-1].marks
        at_end = Snapshot(marks, self.seconds, ended=True)
        return None if marks.last < 0 else self._result(iters, "interrupted", at_end, self.printed)

    def _print(self, text: str) -> None:
        room = MOST_PRINTED - len(self.printed)
        if text and room >= 0:
            self.printed += text[:room] + (LEFT_OUT if len(text) > room else "")

    def _ended(self, at_end: Snapshot) -> Iterator[tuple[int, str, Snapshot, str]]:
        """Yield (iterations, outcome, snapshot, output) of each run that a snapshot ends."""
        self._print(at_end.printed)
        marks = at_end.marks
        while self.left and (at_end.ended or self.left[0] <= marks.last):
            iters = self.left.popleft()
            if marks.diverged_at is not None:
                outcome = "diverged"
            elif iters > marks.last and marks.stopped_at is None:
                outcome = "interrupted"
            else:
                outcome = "failed" if at_end.failure else "completed"
            yield iters, outcome, at_end, self.printed

    def charted(self) -> CurveSlice | None:
        """Return the points for charts that are new since the last call; None if there are none."""
        curve = self.curve.completed()
        chosen = np.append(0, charted(self.step))
        chosen = chosen[chosen > self._shown]
        if not len(chosen) or not len(curve.steps):
            return None
        self._shown = int(chosen[-1])
        return curve.at(np.searchsorted(curve.steps, chosen))

    def _result(self, iters: int, outcome: str, at_end: Snapshot, printed: str) -> RunResult:
        marks = at_end.marks
        curve = self.curve.until(marks).completed()
        finite, reached = len(curve.steps) > 0, outcome in ("completed", "failed")
        last = {name: value for name, (_, value) in marks.named.items()}
        final, best = marks.last_values[1], marks.best_validation_error
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
            train_seconds=at_end.seconds,
            metrics={**{n: v for n, v in last.items() if not math.isfinite(v)}, **at_end.metrics},
            validation=curve.validation,
            final_validation_error=final if reached and math.isfinite(final) else None,
            best_validation_error=best if math.isfinite(best) else None,
            stopped_at=marks.stopped_at,
            curves=curve.named,
            failure=at_end.failure if outcome == "failed" else None,
            printed=printed,
            best_weights=at_end.best,
        )
