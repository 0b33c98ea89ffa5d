"""What a worker does: train one trajectory and send a result for each run that it passes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from sweep.config.spec import RunSpec
from sweep.engine.backends.seam import one_blas_thread
from sweep.engine.checkpoint import Checkpoint
from sweep.training.protocol import resumable
from sweep.training.trainers import build_trainer
from sweep.training.training import CurvePart, RunResult, train

__all__ = ["Failure", "Progress", "TrajectoryWork"]


@dataclass(frozen=True)
class Progress:
    """Iterations done since the last word; `restarted` says that training began at step 0."""

    iterations: int
    restarted: bool = False


@dataclass(frozen=True)
class Failure:
    """What a run raised, with the formatted traceback where it has one."""

    error: BaseException
    traceback: str | None


@dataclass(frozen=True)
class TrajectoryWork:
    """Train one trajectory; plain values that any worker can be sent.

    Attributes
    ----------
    stops
        The iteration counts at which a run ends, ascending.
    max_seconds
        Training time after which the runs that are left end as ``interrupted``.
    checkpoint
        The file that a long training is kept in, where its trainer has state() and restore(),
        and that it goes on from; gone when the training is done.
    """

    spec: RunSpec
    stops: tuple[int, ...]
    max_seconds: float | None
    checkpoint: Path | None = None

    @property
    def thread_safe(self) -> bool:
        """Whether a worker may train another trajectory beside it, in a thread of one process."""
        return self.spec.trainer.thread_safe

    def alone(
        self, emit: Callable[[RunResult | Progress | CurvePart], None], stop: Callable[[], bool]
    ) -> None:
        """Train without a backend, which would hold BLAS to one thread for the same bits."""
        with nullcontext() if self.spec.trainer.built_in else one_blas_thread():
            self(emit, stop)  # the built-in one sees to it by itself

    def __call__(
        self, emit: Callable[[RunResult | Progress | CurvePart], None], stop: Callable[[], bool]
    ) -> None:
        """Train on; emit a RunResult at each stop, and in between what is known."""
        emit(Progress(0, restarted=True))
        trainer = build_trainer(self.spec)
        kept = Checkpoint(self.checkpoint) if self.checkpoint and resumable(trainer) else None
        start = kept.load(self.stops[0]) if kept else None
        if start is not None:
            emit(Progress(int(start["step"])))
        whole = True
        for result in train(
            trainer,
            self.stops,
            stop=stop,
            progress=lambda iterations: emit(Progress(iterations)),
            watch=emit,
            max_seconds=self.max_seconds,
            keep=kept.save if kept else None,
            start=start,
        ):
            whole = whole and result.outcome != "interrupted"
            emit(result)
        if kept and whole:
            kept.remove()
