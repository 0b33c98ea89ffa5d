"""Advance a batch of trajectories by a slice; runs in a worker.

A result holds new curve points, a snapshot for each cut point passed, and states to continue from.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from sweep.training.history import History, RunResult
from sweep.training.protocol import Batch, checked_state, resumable, snapshot
from sweep.training.surroundings import Failure, captured, environment, take
from sweep.training.task import Item, Saved, SliceResult, Snapshot, Task
from sweep.training.trainers import build_batch
from sweep.training.trajectory import Trajectory

CALL_SECONDS = 0.1
"""Target duration of one call into a trainer; a slice can end only between two calls."""

MOST_ERRORS = 2**20
"""Most errors of one call, over all trajectories: 8 MB."""

SMALL_STATE = 2**16
STATE_SECONDS = 20.0
"""States of up to SMALL_STATE bytes return with each slice, larger ones every STATE_SECONDS."""


class Worker:
    """Advance tasks one after another; the training in progress is kept between slices."""

    def __init__(self) -> None:
        self._training: Training | None = None
        self._next = (-1, -1)
        self.environment: Mapping[str, str] = {}  # of the last training

    @property
    def busy(self) -> bool:
        """Whether a training is in progress."""
        return self._training is not None

    def advance(self, task: Task) -> SliceResult | Failure | None:
        """Advance a task; return None if it continues a training that this worker does not have.

        Every exception of the trainer, SystemExit too, becomes a Failure; the parts of the slice
        before it are kept.
        """
        if task.items is not None:
            self.environment = task.items[0].environment
        elif self._training is None or self._next != (task.batch, task.number):
            self.close()
            return None
        with captured(), environment(self.environment):
            return self._advance(task)

    def _advance(self, task: Task) -> SliceResult | Failure:
        training, self._training = self._training, None
        try:
            if task.items is not None:
                if training is not None:
                    training.close()
                training = None  # frees its memory before the next one is built
                training = Training.of(task.items)
            assert training is not None
            result = training.advance(task.seconds)
        except BaseException as error:
            failure = Failure.of(error, take())
            return failure if training is None else training.failed(failure)
        self._next = task.batch, task.number + 1
        if not training.done:
            self._training = training
        return result

    def close(self) -> None:
        """Close the training in progress, if any."""
        training, self._training = self._training, None
        if training is not None:
            with environment(self.environment):
                training.close()


def advance(task: Task) -> SliceResult | Failure | None:
    """Advance a task that has its items, without keeping the training."""
    return Worker().advance(task)


class Training:
    """A batch of trajectories in training; TrainerError if a trainer violates the protocol.

    Parameters
    ----------
    batch
        Trainers at step 0.
    cuts
        The cut points of each trajectory, ascending.
    saved
        The states to continue from, all at one step; None starts at step 0.
    max_seconds
        The limit of each trajectory; see Item.
    variables
        Environment variables to set before each call into a trainer.
    """

    def __init__(
        self,
        batch: Batch,
        cuts: Sequence[Sequence[int]],
        saved: Sequence[Saved | None] | None = None,
        max_seconds: Sequence[float] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._batch = batch
        self._variables = variables or {}
        self._calls = 1
        self._state_size, self._state_age = 0, 0.0
        limits = max_seconds or [math.inf] * len(cuts)
        self._items = [
            Trajectory(batch, at, deque(ends), limit)
            for at, (ends, limit) in enumerate(zip(cuts, limits, strict=True))
        ]
        starts = saved or [None] * len(cuts)
        now = batch.now()
        initial = [Snapshot(snapshot(trainer)) for trainer in batch.items]
        if states := [start.trainer for start in starts if start]:
            batch.restore(states)
        for item, start, weights in zip(self._items, starts, initial, strict=True):
            if start:
                item.marks, item.seconds = start.marks, start.seconds
            else:
                item.append(now)
            item.end_part(weights, initial=True)
            item.end_run()
        self._resumable = [batch.savable and resumable(trainer) for trainer in batch.items]

    @classmethod
    def of(cls, items: Sequence[Item]) -> Training:
        """Build the trainers of a task and restore their states."""
        return cls(
            build_batch([item.spec for item in items]),
            [item.cuts for item in items],
            [item.saved for item in items],
            [item.max_seconds for item in items],
            items[0].environment,
        )

    @property
    def done(self) -> bool:
        """Whether no trajectory is left to train."""
        return not any(item.under_way for item in self._items)

    def advance(self, seconds: float = math.inf, iterations: float = math.inf) -> SliceResult:
        """Train until `seconds` or `iterations` have passed, or no trajectory is left."""
        started = time.perf_counter()
        while under_way := [item for item in self._items if item.under_way]:
            count = int(min(self._calls, iterations, *(i.cuts[0] - i.step for i in under_way)))
            if not count:
                break
            os.environ.update(self._variables)  # a library may remove a variable it reads
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
        return SliceResult(tuple(item.end_slice() for item in self._items), states)

    def close(self) -> None:
        """Close the trainers."""
        self._batch.close()

    def failed(self, failure: Failure) -> SliceResult:
        """Return the parts trained before a failure, without states."""
        parts = tuple(item.end_slice() for item in self._items)
        return SliceResult(parts, (None,) * len(parts), failure)

    def _next_calls(self, elapsed: float) -> int:
        """Return the iterations of the next call: for CALL_SECONDS, at most tenfold."""
        wanted = self._calls * CALL_SECONDS / max(elapsed, 1e-9)
        most = min(2**17, MOST_ERRORS // len(self._items))
        return max(1, min(self._calls * 10, int(wanted), most))

    def _states(self) -> Iterator[Saved | None]:
        due = self._state_size <= SMALL_STATE or self._state_age >= STATE_SECONDS
        size = 0
        for item, can in zip(self._items, self._resumable, strict=True):
            wanted = can and item.cuts and item.marks.diverged_at is None
            state = None
            if wanted and (due or item.ended):
                state = Saved(item.marks, item.seconds, checked_state(item.trainer))
                size += sum(array.nbytes for array in state.trainer.values())
            yield state
        if due:
            self._state_size, self._state_age = size, 0.0


def train(
    batch: Batch, cuts: Sequence[int], *, max_seconds: float = math.inf
) -> Iterator[RunResult]:
    """Train a batch of one trajectory in this process; yield a result at each cut point."""
    training = Training(batch, [cuts], None, [max_seconds])
    yield from History(cuts).add(training.advance().parts[0])
