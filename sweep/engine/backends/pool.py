"""What the backends of this machine share: one queue of works, one of events, a thread a worker.

Threads are plain daemons and not an executor's, because Python waits for those at its
exit: a work that never asks stop() would keep the command from ending.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress

from sweep.engine.backends.seam import (
    TICK,
    Backend,
    Done,
    Event,
    Work,
    one_blas_thread,
)

__all__ = ["Closed", "Pool", "Run"]

Run = Callable[[int, Work], None]


class Closed(BaseException):
    """Ends a work that emits after its backend was closed; no Exception, so none swallows it."""


class Pool(Backend):
    """One thread a worker; all take works from one queue and put events into another.

    The queue of events is short: a work that emits faster than the driver records waits,
    so results never pile up in memory.
    """

    options: tuple[str, ...] = ()
    events_held = 16
    seconds_to_end = 1.2

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.capacity = 2 * workers  # the next works wait beside the threads, not behind the driver
        self._inbox: queue.SimpleQueue[tuple[int, Work] | None] = queue.SimpleQueue()
        self._outbox: queue.Queue[Event] = queue.Queue(self.events_held)
        self._stopping = threading.Event()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open = 0
        self._undo = ExitStack()

    def submit(self, key: int, work: Work) -> None:
        if self._closed.is_set():
            raise RuntimeError("The backend is closed; create another.")
        if not self._threads:
            self._undo.enter_context(one_blas_thread())
        self._open += 1
        self._inbox.put((key, work))
        if len(self._threads) < min(self.workers, self._open):
            thread = threading.Thread(target=self._serve, name="sweep-worker", daemon=True)
            self._threads.append(thread)
            thread.start()

    def events(self) -> Iterator[Event | None]:
        while self._open and not self._closed.is_set():
            try:
                event = self._outbox.get(timeout=TICK)
            except queue.Empty:
                yield None
                continue
            if isinstance(event, Done):
                self._open -= 1
            yield event

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        self._stopping.set()
        self._closed.set()
        deadline = time.monotonic() + self.seconds_to_end
        for _ in self._threads:
            self._inbox.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._undo.close()

    def _serve(self) -> None:
        with suppress(Closed), self._worker() as run:
            while (item := self._inbox.get()) is not None and not self._closed.is_set():
                try:
                    run(*item)
                except Exception as error:  # of the machinery: the driver must not wait for ever
                    self._put(Done(item[0], error, traceback.format_exc()))
                del item  # a work may hold large data; let go of it while waiting

    @abstractmethod
    def _worker(self) -> AbstractContextManager[Run]:
        """Return what runs works, one after another, for as long as one thread lives."""

    def _put(self, event: Event) -> None:
        """Hand over an event when there is room; raise Closed once nobody takes events."""
        while not self._closed.is_set():
            with suppress(queue.Full):
                return self._outbox.put(event, timeout=TICK)
        raise Closed
