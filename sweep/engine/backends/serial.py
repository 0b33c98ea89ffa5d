"""Works one at a time, in the order of submission.

A work calls emit() from deep inside itself while the driver waits in a loop over events(),
so the two need two stacks: the work runs in a thread. It runs in lockstep with the driver,
which makes it as easy to follow as one thread: of the two, one at a time does something, a
work goes on when the driver comes back for the next event, and `breakpoint()` works in it.
While a work is busy the driver stays free to act on signals, in the main thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from sweep.engine.backends.pool import Closed
from sweep.engine.backends.seam import TICK, Event
from sweep.engine.backends.threads import Threads

__all__ = ["Serial"]


class Serial(Threads):
    """A single thread that goes on when the driver has dealt with its last event."""

    def __init__(self, workers: int = 1) -> None:
        """Take and ignore `workers`, so that the name is all one changes to debug."""
        super().__init__(workers=1)
        self.capacity = 1
        self._turn = threading.Semaphore(0)

    def events(self) -> Iterator[Event | None]:
        for event in super().events():
            try:
                yield event
            finally:  # also when the driver leaves its loop
                if event is not None:
                    self._turn.release()

    def _put(self, event: Event) -> None:
        super()._put(event)
        while not self._turn.acquire(timeout=TICK):
            if self._closed.is_set():
                raise Closed
