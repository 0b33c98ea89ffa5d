"""Train a batch of trajectories slice by slice.

A slice's result holds new curve points, a snapshot for each cut point passed, and states to
continue from.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sweep.training.curve import CurveSlice, Landmarks, joined, measured
from sweep.training.protocol import Batch, StepValues, checked_metrics, checked_stall, snapshot
from sweep.training.surroundings import Failure, take
from sweep.training.task import Part, Saved, SliceResult, Snapshot, Task
from sweep.training.trainers import build_batch

CALL_SECONDS = 0.1
"""Target duration of one call into a trainer; a slice can end only between two calls."""

MOST_ERRORS = 2**20
"""Most errors of one call, over all trajectories: 8 MB."""

SMALL_STATE = 2**16
STATE_SECONDS = 20.0
"""States of up to SMALL_STATE bytes return with each slice, larger ones every STATE_SECONDS."""


@dataclass
class Trajectory:
    """Item number `at` of a batch in training, and what the current slice has added to it."""

    batch: Batch
    at: int
    cuts: deque[int]
    max_seconds: float
    seconds: float = 0.0
    marks: Landmarks = field(default_factory=Landmarks)
    slices: list[CurveSlice] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    initial: Mapping[str, Any] | None = None
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
        """Take a snapshot at a cut point, a divergence, a stop or `max_seconds`."""
        diverged = self.marks.diverged_at is not None
        cut = bool(self.cuts) and self.marks.last == self.cuts[0]
        if cut:
            self.cuts.popleft()
        late = bool(self.cuts) and self.seconds >= self.max_seconds
        self.ended = diverged or self.marks.stopped_at is not None or late
        if cut or self.ended:
            self.snapshots.append(replace(self._snapshot(diverged), printed=take()))

    def end_slice(self, state: Saved | None) -> Part:
        """Return and remove what the slice has added."""
        curve = replace(joined([*self.slices, CurveSlice(self.marks)]), marks=self.marks)
        snapshots = tuple(self.snapshots)
        part = Part(curve, self.seconds, snapshots, state, self.initial, take())
        self.slices, self.snapshots, self.initial = [], [], None
        return part

    def close(self) -> None:
        """Close the trainer; add its output and any exception to the last snapshot."""
        failure = None
        try:
            self.batch.close()
        except BaseException as error:
            failure = Failure.of(error)
        last = self.snapshots[-1]
        printed = last.printed + take()
        self.snapshots[-1] = replace(last, failure=last.failure or failure, printed=printed)

    def _snapshot(self, diverged: bool) -> Snapshot:
        """Take a snapshot; an exception is stored in it, so the training is not lost."""
        taken = Snapshot(self.marks, self.seconds, self.ended)
        try:
            taken = replace(taken, best=self.batch.best, weights=snapshot(self.trainer))
            if not diverged:
                taken = replace(taken, stalled_at=checked_stall(self.trainer))
                taken = replace(taken, metrics=checked_metrics(self.trainer))
            return taken
        except BaseException as error:
            return replace(taken, failure=Failure.of(error))


class Training:
    """A batch of trajectories in training; TrainerError if a trainer violates the protocol."""

    def __init__(
        self,
        batch: Batch,  # at step 0
        cuts: Sequence[Sequence[int]],  # of each trajectory, ascending
        saved: Sequence[Saved | None] | None = None,  # states at one step; None starts at step 0
        max_seconds: Sequence[float] | None = None,  # of each trajectory; see Item
    ) -> None:
        self._batch = batch
        self._calls = 1
        self._state_size, self._state_age = 0, 0.0
        limits = max_seconds or [math.inf] * len(cuts)
        self._items = [
            Trajectory(batch, at, deque(ends), limit)
            for at, (ends, limit) in enumerate(zip(cuts, limits, strict=True))
        ]
        starts = saved or [None] * len(cuts)
        now = batch.now()
        initial = [snapshot(trainer) for trainer in batch.items]
        if states := [start.trainer for start in starts if start]:
            batch.restore(states)
        for item, start, weights in zip(self._items, starts, initial, strict=True):
            if start:
                item.marks, item.seconds = start.marks, start.seconds
            else:
                item.append(now)
            item.initial = weights
            item.end_run()

    @property
    def done(self) -> bool:
        """Whether no trajectory is left to train."""
        return not any(item.under_way for item in self._items)

    def advance(self, seconds: float = math.inf, iterations: float = math.inf) -> SliceResult:
        """Train until `seconds` or `iterations` have passed, or no trajectory is left."""
        started = time.perf_counter()
        while under_way := [item for item in self._items if item.under_way]:
            left = min(item.cuts[0] - item.step for item in under_way)
            count = int(min(self._calls, iterations, left))
            if not count:
                break
            began = time.perf_counter()
            values = self._batch.advance(count)
            elapsed = time.perf_counter() - began
            for item in under_way:
                item.seconds += elapsed / len(under_way)
                item.append(values)
                item.end_run()
                if not item.under_way:
                    self._batch.leave(item.at)
            iterations -= count
            self._state_age += elapsed
            if count == self._calls:
                self._calls = self._next_calls(elapsed)
            if time.perf_counter() - started >= seconds:
                break
        states = tuple(self._states())
        if self.done and len(self._items) == 1:
            self._items[0].close()
        return SliceResult(tuple(map(Trajectory.end_slice, self._items, states)))

    def close(self) -> None:
        """Close the trainers."""
        self._batch.close()

    def failed(self, failure: Failure) -> SliceResult:
        """Return the parts trained before a failure, without states."""
        return SliceResult(tuple(item.end_slice(None) for item in self._items), failure)

    def _next_calls(self, elapsed: float) -> int:
        """Return the iterations of the next call: for CALL_SECONDS, at most tenfold."""
        wanted = self._calls * CALL_SECONDS / max(elapsed, 1e-9)
        most = min(2**17, MOST_ERRORS // len(self._items))
        return max(1, min(self._calls * 10, int(wanted), most))

    def _states(self) -> Iterator[Saved | None]:
        due = self._state_size <= SMALL_STATE or self._state_age >= STATE_SECONDS
        size = 0
        for item in self._items:
            wanted = item.cuts and item.marks.diverged_at is None and (due or item.ended)
            state = self._batch.state_of(item.at) if wanted else None
            size += sum(array.nbytes for array in (state or {}).values())
            yield None if state is None else Saved(item.marks, item.seconds, state)
        if due:
            self._state_size, self._state_age = size, 0.0


def advance(task: Task, kept: list[Training] | None = None) -> SliceResult | Failure:
    """Advance the trajectories of a task by a slice.

    A function of the task alone: `kept`, in which a worker keeps the training for the next task of
    its batch, only saves building the trainers again and need not hold any. Every exception of a
    trainer, SystemExit too, becomes a Failure; the parts of the slice before it are kept.
    """
    training = None
    try:
        if task.items is None:
            assert kept
            training = kept.pop()
        else:
            training = Training(
                build_batch([item.spec for item in task.items]),
                [item.cuts for item in task.items],
                [item.saved for item in task.items],
                [item.max_seconds for item in task.items],
            )
        result = training.advance(task.seconds)
    except BaseException as error:
        failure = Failure.of(error, take())
        return failure if training is None else training.failed(failure)
    if kept is not None and not training.done:
        kept.append(training)
    return result
