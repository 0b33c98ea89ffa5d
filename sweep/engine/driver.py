"""Train trajectories on an executor, slice by slice, and yield each run as it ends.

After the loss of a worker its batch continues from its last state.
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
from sweep.engine.listener import BatchItem, Listener, Outcome
from sweep.engine.plan import Cell, Trajectory
from sweep.training.surroundings import Failure
from sweep.training.task import Task

Ended = tuple[Cell, Outcome]

TICK = 0.1
"""Maximum seconds between two items of `Driver.outcomes`, whose caller handles signals."""

TRIES = 3
"""A batch fails after this many worker deaths without a new state.

No other task runs during the last try, as the worker may have run out of memory.
"""


@dataclass(eq=False)
class _Batch:
    """Trajectories at an equal step, trained by one task."""

    number: int
    items: list[BatchItem]
    slices: int = 0
    deaths: int = 0
    asked: bool = False  # whether it is ready to begin; it then begins in any case
    started: bool = False
    sent: bool = False  # its items are in the worker of its slot

    def fail(self, failure: Failure) -> Iterator[Ended]:
        for item in self.items:
            yield from item.fail(failure)


class Driver:
    """Train batches of trajectories; the caller closes the executor.

    A trajectory is ended after `max_seconds` of training, without the time before its checkpoint.
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
        self._resting: dict[str, _Batch] = {}  # started, idle; by slot
        self._running: dict[Future[Any], tuple[str, _Batch]] = {}
        for trajectories in batches:
            at_step: dict[int, list[BatchItem]] = {}
            for one in trajectories:
                item = BatchItem(one, self._listener, max_seconds or math.inf)
                at_step.setdefault(item.history.step, []).append(item)
            for items in at_step.values():
                self._waiting.append(_Batch(len(self._waiting), items))

    def outcomes(self) -> Generator[Ended | None]:
        """Yield each grid point with its outcome as it ends, and None about once per TICK.

        Closing the generator early saves a checkpoint of each started trajectory.
        Raises SweepError if the cluster is unreachable or has no worker.
        """
        try:
            while True:
                self._fill()
                if self._running:
                    for future in wait(self._running, TICK, FIRST_COMPLETED).done:
                        yield from self._take(future)
                elif self._resting or any(map(self._may_begin, self._waiting)):
                    time.sleep(TICK)  # there is no worker, or none is ready to begin
                else:
                    return
                yield None
        finally:
            for batch in self._left():
                for item in batch.items:
                    if item.history.left and batch.started:
                        item.keep()

    def _may_begin(self, batch: _Batch) -> bool:
        return batch.asked or self._listener.may_begin()

    def _left(self) -> list[_Batch]:
        """Return the unfinished batches: running, idle, waiting."""
        running = (batch for _, batch in self._running.values())
        return [*running, *self._resting.values(), *self._waiting]

    def _fill(self) -> None:
        """Submit a slice to each idle slot: of the slot's own batch, else of a waiting one."""
        left = self._left()
        slots = self._executor.slots(len(left))
        for slot in self._resting.keys() - set(slots):  # the worker is gone
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
                self._waiting[0].asked = True
                if all(item.ready() for item in self._waiting[0].items):
                    self._submit(slot, self._waiting.popleft())

    def _slot_alone(self, suspect: _Batch, slots: Sequence[str]) -> str:
        """Free and return a slot for the last try of a batch."""
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
        items = None if batch.sent else tuple(item.task_item() for item in batch.items)
        batch.sent = True
        task = Task(batch.number, batch.slices, self._executor.slice_seconds, items)
        self._running[self._executor.submit(slot, task)] = slot, batch
        if not batch.started:
            batch.started = True
            for item in batch.items:
                item.start()

    def _take(self, future: Future[Any]) -> Iterator[Ended]:
        slot, batch = self._running[future]
        how = "it was restarted"
        try:
            reply = self._executor.result(slot, future)
        except WorkerLost as lost:
            reply, how = None, str(lost)
        del self._running[future]  # not before: if `result` raises, _left returns it
        if reply is None:
            yield from self._lost(batch, how)
            return
        if isinstance(reply, Failure):
            yield from batch.fail(reply)
            return
        batch.slices += 1
        if any(part.state is not None for part in reply.parts):
            batch.deaths = 0
        self._resting[slot] = batch  # before any yield, as the caller may close the generator there
        for ended in list(map(BatchItem.take, batch.items, reply.parts)):
            yield from ended
        if reply.failure is not None:
            yield from batch.fail(reply.failure)
        if not any(item.history.left for item in batch.items):
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
        """Queue a batch to continue from its last state, in any slot."""
        batch.sent = False
        batch.items = [item for item in batch.items if item.history.left]
        for item in batch.items:
            item.history.rewind()
        self._waiting.appendleft(batch)
