"""SIGINT, SIGTERM and SIGHUP request a stop; a second signal ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "StopRequest", "stop_on_signals"]

WATCHED = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(KeyboardInterrupt):
    """A signal requested a stop; no subclass of Exception, so that no handler swallows it.

    Parameters
    ----------
    signum
        The signal's number; the command ends with 128 + signum.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class StopRequest:
    """The signal that requested a stop, if any."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.raise_at_once = False

    def __call__(self) -> bool:
        """Return whether a stop was requested."""
        return self.signum is not None

    def check(self) -> None:
        """Raise Interrupted if a stop was requested."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal raise at once within this block, for training in the main thread.

        A user's trainer may spend minutes in one call. Recording stays outside the block.
        """
        self.check()
        self.raise_at_once = True
        try:
            yield
        finally:
            self.raise_at_once = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within `interruptible`, delay signals until this block has ended."""
        before, self.raise_at_once = self.raise_at_once, False
        try:
            yield
        finally:
            self.raise_at_once = before
        if before:
            self.check()

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Store the first signal; end the process at the second, which the store survives."""
        if self.signum is not None:
            os._exit(128 + signum)
        self.signum = signum
        if self.raise_at_once:
            self.raise_at_once = False
            raise Interrupted(signum)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Handle the signals within the block; ignored ones (nohup) stay ignored."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # Python delivers signals to the main thread only
        return
    before = {}
    for name in WATCHED:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
