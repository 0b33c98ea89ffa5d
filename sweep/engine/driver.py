"""Train trajectories on an executor, slice by slice, and report each run as it ends.

The driver keeps the curve and the last state of each trajectory; a task advances a batch by a
slice. After the loss of a worker the batch continues from its last state.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from sweep.config.spec import RunSpec
from sweep.engine.checkpoint import Checkpoint
from sweep.engine.events import Event, Failure
from sweep.engine.executors import Executor, WorkerLost
from sweep.engine.follow import Member
from sweep.engine.plan import Trajectory
from sweep.training.task import SliceResult, Task

__all__ = ["Driver"]

TICK = 0.1
"""Seconds between two events at most, so that the caller can act on signals."""

TRIES = 3
"""Worker deaths since the last state, after which a batch has failed.

Nothing else runs during the last try, as the worker may have run out of memory.
"""


@dataclass
class _Batch:
    """Trajectories that one task trains, at one step."""

    number: int
    members: list[Member]
    slices: int = 0
    deaths: int = 0
    started: bool = False
    begun: bool = False  # its worker has it


class Driver:
    """Trains batches of trajectories.

    Parameters
    ----------
    batches
        The trajectories of each batch.
    executor
        Where tasks run; the caller closes it.
    max_seconds
        Training time from now on at which a trajectory is ended.
    checkpoint
        Returns the file for the last state of a trajectory.
    environment
        Returns the environment variables of a trajectory's training.
    more
        Returns whether waiting batches may begin.
    """

    def __init__(
        self,
        batches: Sequence[Sequence[Trajectory]],
        executor: Executor,
        *,
        max_seconds: float | None = None,
        checkpoint: Callable[[RunSpec], Checkpoint | None] = lambda spec: None,
        environment: Callable[[Trajectory], Mapping[str, str]] = lambda trajectory: {},
        more: Callable[[], bool] = lambda: True,
    ) -> None:
        self._executor, self._more = executor, more
        self._waiting: deque[_Batch] = deque()
        self._resting: dict[str, _Batch] = {}
        self._running: dict[Future[Any], tuple[str, _Batch]] = {}
        for trajectories in batches:
            places: dict[int, list[Member]] = {}
            for one in trajectories:
                limit = max_seconds or math.inf
                member = Member(one, checkpoint(one.spec), limit, environment)
                places.setdefault(member.history.step, []).append(member)
            for members in places.values():
                self._waiting.append(_Batch(len(self._waiting), members))

    def events(self) -> Generator[Event | None]:
        """Yield events until all is trained; None after each TICK at the latest.

        When the caller leaves early, the last state of each trajectory is on disk.

        Raises
        ------
        SweepError
            The engine cannot be reached any more, or has no worker.
        """
        try:
            while True:
                yield from self._fill()
                if self._running:
                    done, _ = wait(self._running, TICK, FIRST_COMPLETED)
                    for future in done:
                        yield from self._take(future, *self._running.pop(future))
                elif self._resting or any(one.started or self._more() for one in self._waiting):
                    time.sleep(TICK)  # there is no worker
                else:
                    return
                yield None
        finally:
            under_way = [batch for _, batch in self._running.values()]
            for batch in [*under_way, *self._resting.values(), *self._waiting]:
                for member in batch.members:
                    if member.history.left and batch.started:
                        member.keep()

    def _fill(self) -> Iterator[Event]:
        """Submit the next slice of its batch, or a waiting batch, to each idle slot."""
        wanted = len(self._running) + len(self._resting) + len(self._waiting)
        slots = self._executor.slots(wanted)
        for slot in self._resting.keys() - set(slots):  # the worker has left
            self._restart(self._resting.pop(slot))
        running = [batch for _, batch in self._running.values()]
        started = [*running, *self._resting.values(), *self._waiting]
        suspect = next((batch for batch in started if batch.deaths == TRIES - 1), None)
        if suspect is not None:
            if slots and not self._running:
                yield from self._submit_alone(suspect, slots)
            return
        busy = {slot for slot, _ in self._running.values()}
        for slot in slots:
            if slot in self._resting:
                yield from self._submit(slot, self._resting.pop(slot))
            elif slot not in busy and self._waiting:
                if self._waiting[0].started or self._more():
                    yield from self._submit(slot, self._waiting.popleft())

    def _submit_alone(self, suspect: _Batch, slots: Sequence[str]) -> Iterator[Event]:
        resting = {batch.number: slot for slot, batch in self._resting.items()}
        if suspect.number in resting:
            slot = resting[suspect.number]
            del self._resting[slot]
        else:
            self._waiting.remove(suspect)
            slot = next((one for one in slots if one not in self._resting), slots[0])
            if slot in self._resting:
                self._restart(self._resting.pop(slot))
        yield from self._submit(slot, suspect)

    def _submit(self, slot: str, batch: _Batch) -> Iterator[Event]:
        items = None if batch.begun else tuple(member.item() for member in batch.members)
        batch.begun = True
        task = Task(batch.number, batch.slices, self._executor.slice_seconds, items)
        self._running[self._executor.submit(slot, task)] = slot, batch
        if not batch.started:
            batch.started = True
            for member in batch.members:
                yield from member.start()

    def _take(self, future: Future[Any], slot: str, batch: _Batch) -> Iterator[Event]:
        try:
            reply = self._executor.result(slot, future)
        except WorkerLost as lost:
            yield from self._lost(batch, str(lost))
            return
        if reply is None:
            yield from self._lost(batch, "it was restarted")
        elif isinstance(reply, Failure):
            for member in batch.members:
                yield from member.fail(reply)
        else:
            yield from self._advance(slot, batch, reply)

    def _advance(self, slot: str, batch: _Batch, result: SliceResult) -> Iterator[Event]:
        batch.slices += 1
        if any(state is not None for state in result.states):
            batch.deaths = 0
        self._resting[slot] = batch  # first, as the caller may leave at any yield
        slices = zip(batch.members, result.parts, result.states, strict=True)
        for news in [member.take(parts, state) for member, parts, state in slices]:
            yield from news
        if result.failure is not None:
            for member in batch.members:
                yield from member.fail(result.failure)
        if not any(member.history.left for member in batch.members):
            del self._resting[slot]

    def _lost(self, batch: _Batch, how: str) -> Iterator[Event]:
        batch.deaths += 1
        if batch.deaths < TRIES:
            self._restart(batch)
            return
        failure = Failure(
            f"WorkerDied: the worker died {TRIES} times in a row with this run, the last time with "
            f"nothing beside it ({how}); look for memory that runs out or native code that crashes."
        )
        for member in batch.members:
            yield from member.fail(failure)

    def _restart(self, batch: _Batch) -> None:
        """Queue a batch to continue from its last state in any slot."""
        batch.begun = False
        batch.members = [member for member in batch.members if member.history.left]
        for member in batch.members:
            member.history.rewind()
        self._waiting.appendleft(batch)
