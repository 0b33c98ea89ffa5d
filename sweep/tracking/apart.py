"""A process of its own that keeps a sweep's ledger for a command.

MLflow needs two seconds to load and some twenty milliseconds a run, nearly all of it Python.
Beside the command that happens while it composes, trains and draws. The process ends with the
command, whatever ends that, and never before. What it holds it holds in the name of the
command's process, whose death is what others look for.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from sweep.errors import StoreError
from sweep.tracking.messages import HURRY, TICK, Answer, receive, send

if TYPE_CHECKING:  # it loads NumPy: the process is started first
    from sweep.tracking.ledger import Ledger

__all__ = ["Apart", "apart", "prepare"]

P = ParamSpec("P")
T = TypeVar("T")

SECONDS_TO_END = 2.0
UNANSWERED = 32
"""So many requests may be under way; what is behind them would be lost with this process."""

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sweep.tracking.servant import serve; serve(int(sys.argv[2]))"
)


class Apart:
    """Has the ledger kept by another process.

    Attributes
    ----------
    say
        Told the sentences of the other process.
    hurried
        Asked while waiting; once true, no lock holds the other process up.
    """

    watches = True

    def __init__(self) -> None:
        self.say: Callable[[str], None] = lambda sentence: None
        self.hurried: Callable[[], bool] = lambda: False
        # A session of its own: what the terminal sends to the command is not meant for it.
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT, json.dumps(sys.path), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._news: deque[Any] = deque()
        self._sent = self._unanswered = 0
        self._told_to_hurry = False
        threading.Thread(target=self._listen, name="sweep-recorder", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while body := receive(self._process.stdout):
            self._answers.put(pickle.loads(body))
        self._answers.put(None)

    def ask(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Send the request and wait for its answer.

        Raises
        ------
        StoreError
            What the method raised, or an earlier one that was told; or the process is gone.
        """
        return self.begin(method, *args, **kwargs)()

    def begin(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        """Send the request and return how to wait for its answer."""
        number = self._send(method, args, kwargs)

        def wait() -> T:
            while True:
                answer = self._take(TICK)
                if answer is not None and answer.number == number:
                    value: T = answer.value
                    return value
                self._keep(answer)

        return wait

    def tell(
        self, method: Callable[Concatenate[Ledger, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Send the request; wait only where many are unanswered."""
        self._send(method, args, kwargs)
        while self._unanswered > UNANSWERED:
            self._keep(self._take(TICK))

    def news(self, seconds: float = 0.0) -> Iterator[Any]:
        """Yield the answers that have come, waiting at most so long for the first."""
        while (answer := self._take(0.0 if self._news else seconds)) is not None:
            self._keep(answer)
            seconds = 0.0
        while self._news:
            yield self._news.popleft()

    def _keep(self, answer: Answer | None) -> None:
        if answer is not None and answer.value is not None:
            self._news.append(answer.value)

    def _send(self, method: Any, args: Any, kwargs: Any) -> int:
        self._sent += 1
        self._write(pickle.dumps((self._sent, method, args, kwargs), protocol=5))
        self._unanswered += 1
        return self._sent

    def _write(self, body: bytes) -> None:
        assert self._process.stdin is not None
        try:
            send(self._process.stdin, body)
        except OSError:
            self._take(1.0)  # its last words, or that it is gone
            raise self._gone() from None

    def _take(self, seconds: float) -> Answer | None:
        """Return the next answer; None when there is none yet. Sentences are passed on."""
        if self.hurried() and not self._told_to_hurry:
            self._told_to_hurry = True
            self._write(HURRY)
        while True:
            try:
                answer = self._answers.get(timeout=seconds) if seconds else self._answers.get(False)
            except queue.Empty:
                return None
            if answer is None:
                raise self._gone()
            if answer.sentence is not None:
                self.say(answer.sentence)
                continue
            self._unanswered -= answer.number is not None
            if answer.error is not None:
                raise answer.error
            if answer.trouble is not None:
                raise RuntimeError(f"The process that records failed:\n{answer.trouble}")
            return answer

    def _gone(self) -> StoreError:
        self._answers.put(None)
        return StoreError(
            "The process that records in the store died; what it had on disk is stored by the next "
            "command, and resume=last finishes the sweep."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give everything back and end the process; soon, where an error ends the block."""
        from sweep.tracking.ledger import Ledger

        until = time.monotonic() + (SECONDS_TO_END if error else math.inf)
        try:
            with suppress(StoreError):  # gone: then nothing is held any more
                closed = self._send(Ledger.close, (), {})
                while time.monotonic() < until:
                    answer = self._take(TICK)
                    if answer is not None and answer.number == closed:
                        break
        finally:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                with suppress(OSError):
                    stream.close()


_prepared: list[Apart] = []


def prepare() -> None:
    """Start the process now: it loads MLflow while this one finds out what to do."""
    _prepared.append(Apart())


def apart(say: Callable[[str], None], hurried: Callable[[], bool]) -> Apart:
    """Return the process that was prepared, or a new one."""
    recorder = _prepared.pop() if _prepared else Apart()
    recorder.say, recorder.hurried = say, hurried
    return recorder
