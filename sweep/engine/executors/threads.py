"""The thread executor: tasks run in this process, without start-up time and pickling.

It uses daemon threads, as Python joins the threads of a ThreadPoolExecutor at exit: a trainer that
spends minutes in one call would delay the end of the command.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from typing import Any

from sweep.engine.executors import SECONDS_TO_CLOSE, Executor
from sweep.engine.executors.worker import Worker
from sweep.training.task import Task

Inbox = queue.SimpleQueue[tuple[Task, Future[Any]] | None]


class Threads(Executor):
    """One thread for each slot, started with its first task."""

    slice_seconds = 0.2

    def __init__(self, workers: int | None = None) -> None:
        super().__init__(workers)
        self._threads: dict[str, tuple[threading.Thread, Inbox]] = {}

    def submit(self, slot: str, task: Task) -> Future[Any]:
        if slot not in self._threads:
            inbox: Inbox = queue.SimpleQueue()
            thread = threading.Thread(target=_serve, args=(inbox,), name=slot, daemon=True)
            self._threads[slot] = thread, inbox
            thread.start()
        future: Future[Any] = Future()
        self._threads[slot][1].put((task, future))
        return future

    def close(self) -> None:
        for _, inbox in self._threads.values():
            inbox.put(None)
        until = time.monotonic() + SECONDS_TO_CLOSE
        for thread, _ in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))
        self._threads.clear()


def _serve(inbox: Inbox) -> None:
    worker = Worker()
    while (item := inbox.get()) is not None:
        task, future = item
        future.set_result(worker.advance(task))
        del item, task, future  # free large weights while waiting
    worker.close()
