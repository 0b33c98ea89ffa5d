"""Tasks in threads of this process: no start-up, nothing pickled, results not copied.

The threads are daemons and not those of concurrent.futures, for which Python waits at its exit:
a trainer that spends minutes in one call would keep the command from ending.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from sweep.engine.executors.base import SECONDS_TO_CLOSE, Executor, available_cpus
from sweep.engine.executors.worker import SlotWorker
from sweep.training.task import Task

__all__ = ["Serial", "Threads"]

Inbox = queue.SimpleQueue[tuple[Task, Future[Any]] | None]


class Threads(Executor):
    """One thread for each slot, started with its first task."""

    slice_seconds = 0.2

    def __init__(self, workers: int | None = None, *, thread_safe: bool = True) -> None:
        self._names = [f"thread {number}" for number in range(workers or available_cpus())]
        self._inboxes: dict[str, Inbox] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._asked: set[str] = set()  # by trainings of a user's own, which may have to be closed

    def slots(self, wanted: int) -> Sequence[str]:
        return self._names

    def submit(self, slot: str, task: Task) -> Future[Any]:
        if slot not in self._inboxes:
            inbox = self._inboxes[slot] = queue.SimpleQueue()
            thread = threading.Thread(target=_serve, args=(inbox,), name=slot, daemon=True)
            self._threads[slot] = thread
            thread.start()
        self._asked |= {slot for item in task.items or () if not item.spec.trainer.built_in}
        future: Future[Any] = Future()
        self._inboxes[slot].put((task, future))
        return future

    def close(self) -> None:
        for inbox in self._inboxes.values():
            inbox.put(None)
        self._inboxes.clear()
        until = time.monotonic() + SECONDS_TO_CLOSE
        for slot in self._asked:
            self._threads[slot].join(max(0.0, until - time.monotonic()))
        self._asked.clear()


class Serial(Threads):
    """One thread, whatever `workers` says, so that the name is all one changes to debug."""

    def __init__(self, workers: int | None = None, *, thread_safe: bool = True) -> None:
        super().__init__(1)


def _serve(inbox: Inbox) -> None:
    worker = SlotWorker()
    while (item := inbox.get()) is not None:
        task, future = item
        future.set_result(worker.advance(task))
        del item, task, future  # large weights are not kept while waiting
    worker.close()
