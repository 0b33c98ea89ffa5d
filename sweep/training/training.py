"""Train one trajectory and say what came of it: the error curve, its landmarks, the weights.

Nothing here knows Hydra, MLflow or the disk. A trajectory is trained once; every run that
ends on it is a prefix, so each number below depends on the steps up to the run's last one
and on nothing else: not on slices, company or what follows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.training.curve import ErrorCurve
from sweep.training.protocol import (
    Trained,
    Trainer,
    TrainerError,
    checked_error,
    checked_metrics,
    checked_slice,
    checked_state,
    checked_validation,
    snapshot,
)

__all__ = [
    "Course",
    "CurvePart",
    "RunResult",
    "Trainer",
    "TrainerError",
    "next_size",
    "train",
]

SLICE_SECONDS = 0.1
"""Aim for the length of one call into a trainer, so that signals and progress act in between."""

KEEP_SECONDS = 20.0
"""Seconds of training after which what is needed to go on is kept, and again after as many."""

WATCH_SECONDS = 3.0
"""Seconds of training after which a part of the curve is told, and again after as many."""

Values = npt.NDArray[np.float64]
State = Mapping[str, npt.NDArray[Any]]
Weights = Mapping[str, Any]


@dataclass(frozen=True)
class CurvePart:
    """What charts show of a stretch of a curve, told while training goes on; shapes (n,)."""

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
        Seconds of training from the start of the trajectory to this run's last step. Of
        trajectories that train side by side each has its share: a slice's time divided by the
        number of those that still had a stop to pass.
    metrics
        Extra metrics of a user's trainer at the end of the run.
    validation
        Validation errors at `steps`, NaN where none was taken; None without validation.
    final_validation_error, best_validation_error
        That after the last iteration, None unless completed; the smallest of all steps.
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


def train(
    trainer: Trainer,
    stops: Sequence[int],
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda iterations: None,
    watch: Callable[[CurvePart], None] = lambda part: None,
    max_seconds: float | None = None,
    keep: Callable[[State], None] | None = None,
    start: State | None = None,
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
    watch
        Told a part of the curve every WATCH_SECONDS of training, each point once.
    max_seconds
        Training time after which the runs that are left end as ``interrupted``.
    keep
        Told what a later training needs to go on from here: every KEEP_SECONDS of training,
        and where it ends before its last stop. The trainer has state() and restore().
    start
        What an earlier training of the same trajectory told `keep`, before the first of `stops`.

    Raises
    ------
    TrainerError
        The trainer returned something else than its protocol says.
    """
    course = Course(trainer, stops)
    if start is not None:
        course.restore(start)
    began = kept_at = course.seconds
    size = 1
    while True:
        yield from course.passed()
        if not course.left:
            return
        ends = stop() or (max_seconds is not None and course.seconds - began >= max_seconds)
        if keep is not None and (ends or course.seconds - kept_at >= KEEP_SECONDS):
            keep(course.state())
            kept_at = course.seconds
        if ends:
            yield from course.interrupted()
            return
        count = min(size, course.to_next)
        started = time.perf_counter()
        errors, others = checked_slice(trainer, count, course.has_validation)
        elapsed = time.perf_counter() - started
        course.take(errors, others, elapsed)
        progress(count)
        course.tell(watch, course.seconds)
        if count == size:
            size = next_size(size, elapsed)


class Course:
    """A trajectory under way: its curve so far, and the stops that it has yet to pass.

    Attributes
    ----------
    left
        The stops that it has yet to pass, ascending.
    seconds
        Training time up to now.
    """

    def __init__(self, trainer: Trained, stops: Sequence[int]) -> None:
        self.left = deque(stops)
        self.seconds = 0.0
        self._trainer = trainer
        self._step = 0
        self._told_at, self._told = 0.0, -1
        self._initial = snapshot(trainer)
        first = checked_validation(trainer, 1, "before any advance")
        self._curve = ErrorCurve(checked_error(trainer), None if first is None else float(first[0]))
        self.has_validation = self._curve.has_validation

    @property
    def to_next(self) -> int:
        """The iterations to the next stop."""
        return self.left[0] - self._step

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that is needed to go on from here, the trainer's own state included."""
        curve = {f"curve/{name}": np.asarray(v) for name, v in self._curve.state().items()}
        own = {f"trainer/{name}": value for name, value in checked_state(self._trainer).items()}
        return {**curve, **own, "step": np.array(self._step), "seconds": np.array(self.seconds)}

    def restore(self, state: State) -> None:
        """Go on from a state, with a fresh trainer."""
        self._trainer.restore(_below(state, "trainer/"))  # type: ignore[attr-defined]
        self._curve.restore(_below(state, "curve/"))
        self._step = int(state["step"])
        self.seconds = self._told_at = float(state["seconds"])

    def take(self, errors: Values, others: Values | None, seconds: float) -> None:
        """Take the errors of the next steps, shape (n,), and the time that they took."""
        self.seconds += seconds
        self._step += len(errors)
        self._curve.extend(errors, others)

    def tell(self, watch: Callable[[CurvePart], None], seconds: float) -> None:
        """Tell what is new of the curve, when it is time; `seconds` is the time by now."""
        if seconds - self._told_at >= WATCH_SECONDS and self._curve.last > self._told:
            watch(CurvePart(*self._curve.charted_after(self._told)))
            self._told_at, self._told = seconds, self._curve.last

    def passed(self) -> Iterator[RunResult]:
        """Yield a result for each stop that is passed by now; all are once it diverged."""
        diverged = self._curve.diverged_at is not None
        while self.left and (diverged or self.left[0] <= self._step):
            yield self._result(self.left.popleft(), "diverged" if diverged else "completed")

    def interrupted(self) -> Iterator[RunResult]:
        """Yield a result for each stop that is left: training ends here."""
        while self.left:
            yield self._result(self.left.popleft(), "interrupted")

    def _result(self, iters: int, outcome: str) -> RunResult:
        curve, trainer = self._curve, self._trainer
        stalled_at = getattr(trainer, "stalled_at", None)
        if stalled_at is not None and (stalled_at > iters or curve.diverged_at is not None):
            stalled_at = None
        steps, errors = curve.points()
        finite = len(steps) > 0
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
            initial_weights=self._initial,
            final_weights=snapshot(trainer),
            train_seconds=self.seconds,
            metrics=checked_metrics(trainer) if outcome != "diverged" else {},
            validation=curve.validation(),
            final_validation_error=(
                curve.final_validation_error() if outcome == "completed" else None
            ),
            best_validation_error=curve.best_validation_error,
        )


def _below(state: State, prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def next_size(size: int, elapsed: float, most: int = 2**17) -> int:
    """Return the next slice's iterations: grow at most tenfold towards SLICE_SECONDS."""
    wanted = size * SLICE_SECONDS / max(elapsed, 1e-9)
    return max(1, min(size * 10, int(wanted), most))
