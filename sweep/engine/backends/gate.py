"""A gate: works run in company, or one by itself, to find the one that kills its worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Gate"]


class Gate:
    """Lets works run in company, or one by itself while the others wait to start."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._suspects = 0

    @contextmanager
    def company(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._suspects)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._suspects += 1
            self._changed.wait_for(lambda: not self._running)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._suspects -= 1
                self._running -= 1
                self._changed.notify_all()
