"""Turn SIGINT, SIGTERM and SIGHUP into a request to stop, and the second one into an end."""

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
    """The command was asked to end; no `except Exception` on the way swallows it.

    Parameters
    ----------
    signum
        The signal's number; the command ends with 128 + signum.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class StopRequest:
    """Whether the command was asked to end, and by which signal."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.raise_at_once = False

    def __call__(self) -> bool:
        """Return True once the command shall end."""
        return self.signum is not None

    def check(self) -> None:
        """Raise Interrupted once the command shall end."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within this block a signal raises at once: training in the main thread needs it.

        A user's trainer may spend minutes in one call; recording, outside the block, is
        never torn in the middle.
        """
        self.check()
        self.raise_at_once = True
        try:
            yield
        finally:
            self.raise_at_once = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within `interruptible`, let a signal wait until this block is done."""
        before, self.raise_at_once = self.raise_at_once, False
        try:
            yield
        finally:
            self.raise_at_once = before
        if before:
            self.check()

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Take the signal; the second one ends the process, which the store survives."""
        if self.signum is not None:
            os._exit(128 + signum)
        self.signum = signum
        if self.raise_at_once:
            self.raise_at_once = False
            raise Interrupted(signum)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Watch the signals while the block runs; one that is ignored (nohup) stays ignored."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # Python delivers signals to the main thread alone
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
