"""One trajectory under way in a worker: its trainer, its curve, and what its runs are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sweep.training.curve import ErrorCurve
from sweep.training.history import Part, Saved, Snapshot
from sweep.training.protocol import Batch, Trainer, checked_metrics, checked_state, snapshot
from sweep.training.surroundings import Failure, take

__all__ = ["Trajectory"]


@dataclass
class Trajectory:
    """One trajectory under way."""

    trainer: Trainer
    curve: ErrorCurve
    cuts: deque[int]
    max_seconds: float
    seconds: float = 0.0
    parts: list[Part] = field(default_factory=list)
    ended: bool = False
    best: Mapping[str, Any] | None = None

    @property
    def step(self) -> int:
        return max(0, self.curve.marks.last)

    @property
    def under_way(self) -> bool:
        return bool(self.cuts) and not self.ended

    def close_part(self) -> None:
        """End a part at a cut point, a divergence, a stop or `max_seconds`."""
        marks = self.curve.marks
        diverged = marks.diverged_at is not None
        cut = bool(self.cuts) and marks.last == self.cuts[0]
        if cut:
            self.cuts.popleft()
        late = bool(self.cuts) and self.seconds >= self.max_seconds
        self.ended = diverged or marks.stopped_at is not None or late
        if cut or self.ended:
            self._add(self._snapshot(diverged))

    def end_slice(self) -> tuple[Part, ...]:
        """Return the parts of the slice."""
        if self.under_way:
            self._add(None)
        parts, self.parts = tuple(self.parts), []
        return parts

    def close(self, batch: Batch) -> None:
        """Close the trainer after the last part; what that raises or prints belongs to it."""
        failure = None
        try:
            batch.close()
        except BaseException as error:
            failure = Failure.of(error)
        part = self.parts.pop()
        taken = part.snapshot
        if taken is not None and taken.failure is None:
            taken = replace(taken, failure=failure)
        self.parts.append(replace(part, snapshot=taken, printed=part.printed + take()))

    def _add(self, taken: Snapshot | None) -> None:
        ended = self.ended and taken is not None
        self.parts.append(Part(self.curve.take(), self.seconds, taken, ended, printed=take()))

    def _snapshot(self, diverged: bool) -> Snapshot:
        """Take a snapshot; what cannot be taken loses nothing of what was trained."""
        weights: Mapping[str, Any] = {}
        metrics: Mapping[str, float] = {}
        failure = None
        try:
            weights = snapshot(self.trainer)
            metrics = {} if diverged else checked_metrics(self.trainer)
        except BaseException as error:
            failure = Failure.of(error)
        stalled_at = None if diverged else getattr(self.trainer, "stalled_at", None)
        return Snapshot(weights, metrics, stalled_at, failure, self.best)

    def save(self) -> Saved:
        return Saved(self.curve.marks, self.seconds, checked_state(self.trainer))
