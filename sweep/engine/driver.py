"""Train trajectories on an executor, slice by slice, and yield each run as it ends.

The driver keeps the curve and the last state of each trajectory; a task advances a batch by a
slice. After the loss of a worker the batch continues from its last state.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from sweep.engine.executors import Executor, WorkerLost
from sweep.engine.member import Listener, Member, Outcome
from sweep.engine.plan import Cell, Trajectory
from sweep.training.surroundings import Failure
from sweep.training.task import Task

Ended = tuple[Cell, Outcome]

TICK = 0.1
"""Seconds after which the caller can act on signals."""

TRIES = 3
"""Worker deaths since the last state, after which a batch has failed.

Nothing else runs during the last try, as the worker may have run out of memory.
"""


@dataclass(eq=False)
class _Batch:
    """Trajectories that one task trains, at one step."""

    number: int
    members: list[Member]
    slices: int = 0
    deaths: int = 0
    started: bool = False
    sent: bool = False  # its worker has it

    def fail(self, failure: Failure) -> Iterator[Ended]:
        for member in self.members:
            yield from member.fail(failure)


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
    """

    def __init__(
        self,
        batches: Sequence[Sequence[Trajectory]],
        executor: Executor,
        listener: Listener | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self._executor, self._listener = executor, listener or Listener()
        self._waiting: deque[_Batch] = deque()
        self._resting: dict[str, _Batch] = {}  # by the slot whose worker has it
        self._running: dict[Future[Any], tuple[str, _Batch]] = {}
        for trajectories in batches:
            at_step: dict[int, list[Member]] = {}
            for one in trajectories:
                member = Member(one, self._listener, max_seconds or math.inf)
                at_step.setdefault(member.history.step, []).append(member)
            for members in at_step.values():
                self._waiting.append(_Batch(len(self._waiting), members))

    def outcomes(self) -> Generator[Ended | None]:
        """Yield each cell with its outcome as it ends; None after each TICK at the latest.

        When the caller leaves early, the last state of each trajectory is on disk.

        Raises
        ------
        SweepError
            The engine cannot be reached any more, or has no worker.
        """
        try:
            while True:
                self._fill()
                if self._running:
                    for future in wait(self._running, TICK, FIRST_COMPLETED).done:
                        yield from self._take(future)
                elif self._resting or any(map(self._may_begin, self._waiting)):
                    time.sleep(TICK)  # there is no worker
                else:
                    return
                yield None
        finally:
            for batch in self._left():
                for member in batch.members:
                    if member.history.left and batch.started:
                        member.keep()

    def _may_begin(self, batch: _Batch) -> bool:
        return batch.started or self._listener.may_begin()

    def _left(self) -> list[_Batch]:
        """Return the batches that are not done, those that wait last."""
        running = (batch for _, batch in self._running.values())
        return [*running, *self._resting.values(), *self._waiting]

    def _fill(self) -> None:
        """Submit the next slice of its batch, or a waiting batch, to each idle slot."""
        left = self._left()
        slots = self._executor.slots(len(left))
        for slot in self._resting.keys() - set(slots):  # the worker has left
            self._restart(self._resting.pop(slot))
        suspect = next((batch for batch in left if batch.deaths == TRIES - 1), None)
        if suspect is not None:
            if slots and not self._running:
                self._submit(self._slot_alone(suspect, slots), suspect)
            return
        busy = {slot for slot, _ in self._running.values()}
        for slot in slots:
            if slot in self._resting:
                self._submit(slot, self._resting.pop(slot))
            elif slot not in busy and self._waiting and self._may_begin(self._waiting[0]):
                self._submit(slot, self._waiting.popleft())

    def _slot_alone(self, suspect: _Batch, slots: Sequence[str]) -> str:
        """Return the slot of a batch that nothing shall run beside."""
        for slot, batch in self._resting.items():
            if batch is suspect:
                del self._resting[slot]
                return slot
        self._waiting.remove(suspect)
        slot = next((one for one in slots if one not in self._resting), slots[0])
        if slot in self._resting:
            self._restart(self._resting.pop(slot))
        return slot

    def _submit(self, slot: str, batch: _Batch) -> None:
        items = None if batch.sent else tuple(member.item() for member in batch.members)
        batch.sent = True
        task = Task(batch.number, batch.slices, self._executor.slice_seconds, items)
        self._running[self._executor.submit(slot, task)] = slot, batch
        if not batch.started:
            batch.started = True
            for member in batch.members:
                member.start()

    def _take(self, future: Future[Any]) -> Iterator[Ended]:
        slot, batch = self._running[future]
        how = "it was restarted"
        try:
            reply = self._executor.result(slot, future)
        except WorkerLost as lost:
            reply, how = None, str(lost)
        del self._running[future]  # not before, as the state is kept where the engine is lost
        if reply is None:
            yield from self._lost(batch, how)
            return
        if isinstance(reply, Failure):
            yield from batch.fail(reply)
            return
        batch.slices += 1
        if any(state is not None for state in reply.states):
            batch.deaths = 0
        self._resting[slot] = batch  # first, as the caller may leave at any yield
        slices = zip(batch.members, reply.parts, reply.states, strict=True)
        for ended in [member.take(parts, state) for member, parts, state in slices]:
            yield from ended
        if reply.failure is not None:
            yield from batch.fail(reply.failure)
        if not any(member.history.left for member in batch.members):
            del self._resting[slot]

    def _lost(self, batch: _Batch, how: str) -> Iterator[Ended]:
        batch.deaths += 1
        if batch.deaths < TRIES:
            self._restart(batch)
            return
        yield from batch.fail(
            Failure(
                f"WorkerDied: the worker died {TRIES} times in a row with this run, the last time "
                f"with nothing beside it ({how}); look for memory that runs out or native code "
                "that crashes."
            )
        )

    def _restart(self, batch: _Batch) -> None:
        """Queue a batch to continue from its last state in any slot."""
        batch.sent = False
        batch.members = [member for member in batch.members if member.history.left]
        for member in batch.members:
            member.history.rewind()
        self._waiting.appendleft(batch)
