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
    """A signal requested a stop; the command ends with 128 + `signum`.

    No subclass of Exception, so that no handler swallows it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
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
        """Let a signal raise at once within this block, where a call may take long."""
        self.check()
        self._raise_at_once = True
        try:
            yield
        finally:
            self._raise_at_once = False

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Store the first signal; end the process at the second, which the store survives."""
        if self.signum is not None:
            os._exit(128 + signum)
        self.signum = signum
        if self._raise_at_once:
            self._raise_at_once = False
            raise Interrupted(signum)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Handle the signals within the block; ignored ones (nohup) stay ignored."""
    request = StopRequest()
    before = {}
    if threading.current_thread() is threading.main_thread():  # signals are delivered to it alone
        for number in WATCHED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
