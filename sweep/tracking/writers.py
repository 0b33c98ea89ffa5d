"""Several writers for a server: each run is many small requests, and they can overlap.

What they write is safe on disk already, so the training goes on meanwhile.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from sweep.errors import RunGoneError, StoreError
from sweep.tracking.messages import TICK

__all__ = ["WRITERS", "Writers"]

WRITERS = 4
"""Requests at a time; a server with processors of its own answers several at once."""

HURRIED = 1.0
"""Seconds that are left for what is under way once the command was asked to end."""


class Writers:
    """A few threads that hand over what waits on disk.

    Attributes
    ----------
    in_flight
        Folders that are being handed over.
    gone
        A sentence for each run that was deleted before it was written; its result waits on disk.
    refused
        What writers met that failed for another reason; those results wait on disk, too.
    """

    def __init__(self) -> None:
        self.in_flight: set[Path] = set()
        self.gone: list[str] = []
        self.refused: list[StoreError] = []
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="sweep-writer")
        self._futures: list[Future[object]] = []
        self._lock = threading.Lock()

    def submit(self, folder: Path, hand_over: Callable[[], object]) -> None:
        """Hand over a folder soon; a writer that fails leaves it on disk."""

        def work() -> object:
            try:
                return hand_over()
            finally:
                self.in_flight.discard(folder)

        self.in_flight.add(folder)
        with self._lock:
            self._futures = [each for each in self._futures if not _succeeded(each)]
            self._futures.append(self._pool.submit(work))

    def settle(self, hurried: Callable[[], bool]) -> int:
        """Wait until all is handed over; return how much was left because no server answered.

        Parameters
        ----------
        hurried
            Once true, give up a second later: what has not been begun then stays on disk and
            is counted.
        """
        with self._lock:
            futures, self._futures = self._futures, []
        until, left = math.inf, 0
        for future in futures:
            while not future.done() and time.monotonic() < until:
                if until == math.inf and hurried():
                    until = time.monotonic() + HURRIED
                wait([future], TICK)
            if not future.done():
                left += 1
                future.cancel()
                continue
            error = future.exception()
            if isinstance(error, RunGoneError):
                self.gone.append(str(error))
            elif isinstance(error, StoreError):
                self.refused.append(error)
            elif error is not None:
                raise error
            else:
                left += not future.result()
        return left

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _succeeded(future: Future[object]) -> bool:
    return future.done() and future.exception() is None and bool(future.result())
