"""A trajectory in training in a worker: its curve, and the snapshots of its runs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from sweep.training.curve import CurveSlice, Landmarks, joined, measured
from sweep.training.protocol import Batch, StepValues, checked_metrics, snapshot
from sweep.training.surroundings import Failure, take
from sweep.training.task import Part, Snapshot


@dataclass
class Trajectory:
    """Item number `at` of a batch in training."""

    batch: Batch
    at: int
    cuts: deque[int]
    max_seconds: float
    seconds: float = 0.0
    marks: Landmarks = field(default_factory=Landmarks)
    slices: list[CurveSlice] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    ended: bool = False

    @property
    def trainer(self) -> Any:
        return self.batch.items[self.at]

    @property
    def step(self) -> int:
        return max(0, self.marks.last)

    @property
    def under_way(self) -> bool:
        return bool(self.cuts) and not self.ended

    def append(self, values: StepValues) -> None:
        """Add the next steps to the curve."""
        validation = None if values.validation is None else values.validation[self.at]
        new = measured(self.marks, values.errors[self.at], validation, values.named)
        self.marks = new.marks
        if values.stopped and new.marks.diverged_at is None:
            self.marks = replace(new.marks, stopped_at=new.marks.last)
        self.slices.append(new)

    def end_run(self) -> None:
        """End a part at a cut point, a divergence, a stop or `max_seconds`."""
        diverged = self.marks.diverged_at is not None
        cut = bool(self.cuts) and self.marks.last == self.cuts[0]
        if cut:
            self.cuts.popleft()
        late = bool(self.cuts) and self.seconds >= self.max_seconds
        self.ended = diverged or self.marks.stopped_at is not None or late
        if cut or self.ended:
            self.end_part(self._snapshot(diverged))

    def end_part(self, taken: Snapshot | None, *, initial: bool = False) -> None:
        curve = replace(joined([*self.slices, CurveSlice(self.marks)]), marks=self.marks)
        self.slices = []
        ended = self.ended and taken is not None
        self.parts.append(Part(curve, self.seconds, taken, ended, initial, take()))

    def end_slice(self) -> tuple[Part, ...]:
        """Return and remove the parts of the slice."""
        if self.under_way:
            self.end_part(None)
        parts, self.parts = tuple(self.parts), []
        return parts

    def close(self) -> None:
        """Close the trainer; add its output and any exception to the last part."""
        failure = None
        try:
            self.batch.close()
        except BaseException as error:
            failure = Failure.of(error)
        part = self.parts.pop()
        taken = part.snapshot
        if taken is not None and taken.failure is None:
            taken = replace(taken, failure=failure)
        self.parts.append(replace(part, snapshot=taken, printed=part.printed + take()))

    def _snapshot(self, diverged: bool) -> Snapshot:
        """Take a snapshot; an exception is stored in it, so the training is not lost."""
        stalled_at = None if diverged else getattr(self.trainer, "stalled_at", None)
        taken = Snapshot(stalled_at=stalled_at, best=self.batch.best)
        try:
            taken = replace(taken, weights=snapshot(self.trainer))
            return taken if diverged else replace(taken, metrics=checked_metrics(self.trainer))
        except BaseException as error:
            return replace(taken, failure=Failure.of(error))
