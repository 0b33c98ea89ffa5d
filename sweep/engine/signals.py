"""SIGINT, SIGTERM and SIGHUP request a stop; a second signal ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal requested a stop; the command exits with 128 + `signum`.

    It is no Exception, so that `except Exception` does not catch it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)  # by which jobs of other launchers pickle it
        self.signum = signum


class StopRequest:
    """The signal that requested a stop, if any."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._raise_at_once = False

    def __call__(self) -> bool:
        """Return whether a stop was requested."""
        return self.signum is not None

    def check(self) -> None:
        """Raise Interrupted if a stop was requested."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Make a signal raise Interrupted at once in this block, for long calls."""
        self.check()
        self._raise_at_once = True
        try:
            yield
        finally:
            self._raise_at_once = False

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Keep the first signal; exit at once on the second, which cannot damage the store."""
        if self.signum is not None:
            os._exit(128 + signum)
        self.signum = signum
        if self._raise_at_once:
            self._raise_at_once = False
            raise Interrupted(signum)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Handle WATCHED signals in the block, except ignored ones (nohup); restore handlers after."""
    request = StopRequest()
    before = {}
    if threading.current_thread() is threading.main_thread():  # others cannot set handlers
        for number in WATCHED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
