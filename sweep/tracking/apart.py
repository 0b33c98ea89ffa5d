"""A process of its own that keeps a sweep's ledger for a command.

MLflow needs two seconds to load and some twenty milliseconds a run, nearly all of it Python.
Beside the command that happens while it composes, trains and draws. The process ends with the
command, whatever ends that, and never before. What it holds it holds in the name of the
command's process, whose death is what others look for.
"""

from __future__ import annotations

import json
import logging
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
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from sweep.errors import StoreError, SweepError
from sweep.tracking.messages import HURRY, TICK, Answer, receive, send

if TYPE_CHECKING:  # it loads NumPy: the process is started first
    from sweep.tracking.ledger import Ledger

__all__ = ["Apart", "apart", "prepare"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

SECONDS_TO_END = 1.0
"""How long the process may take to give everything back where an error ends the command."""

UNANSWERED = 32
UNANSWERED_BYTES = 2**26
"""So many requests may be under way, and so much: they wait in the other process's memory."""

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sweep.tracking.servant import serve; serve(int(sys.argv[2]))"
)


class Refused(Exception):
    """What the request `number` raised; None for what nobody asked for."""

    def __init__(self, number: int | None, error: SweepError) -> None:
        super().__init__(number, error)
        self.number, self.error = number, error


@contextmanager
def as_raised() -> Iterator[None]:
    """Raise what a request raised, whichever it was."""
    try:
        yield
    except Refused as refused:
        raise refused.error from None


def _mistake(trouble: str) -> StoreError:
    last = trouble.strip().splitlines()[-1]
    error = StoreError(
        f"The process that records failed ({last}); what it had on disk is stored by the next "
        "command, and resume=last finishes the sweep."
    )
    error.add_note(trouble)
    log.error("The process that records failed:\n%s", trouble)
    return error


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
        # A session of its own: what the terminal sends to the command is not meant for it. With
        # -P no file of the current folder is taken for one of Python's own modules.
        command = [sys.executable, "-P", "-c", BOOT, json.dumps(sys.path), str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise StoreError(
                f"The process that records cannot be started ({error.strerror}); close other "
                "programs and run the command again."
            ) from error
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._news: deque[Any] = deque()
        self._sent = 0
        self._under_way: dict[int, int] = {}  # number of each request -> its bytes
        self._asked: set[int] = set()  # those whose answer somebody waits for: it is no news
        self._told_to_hurry = False
        threading.Thread(target=self._listen, name="sweep-recorder", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while body := receive(self._process.stdout):
                self._answers.put(pickle.loads(body))
        finally:
            self._answers.put(None)

    def ask(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Send the request and wait for its answer.

        Raises
        ------
        SweepError
            What an earlier method raised that was told, else what this one raised.
        StoreError
            The process is gone, or has made a mistake.
        """
        return self.begin(method, *args, **kwargs)()

    def begin(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        """Send the request and return how to wait for its answer."""
        number = self._send(method, args, kwargs)
        self._asked.add(number)

        def wait() -> T:
            first: SweepError | None = None
            while True:
                try:
                    answer = self._take(TICK)
                except Refused as refused:  # go on to one's own: the next request follows it
                    first = first or refused.error
                    if refused.number == number:
                        raise first from None
                    continue
                if answer is not None and answer.number == number:
                    self._asked.discard(number)
                    if first is not None:
                        raise first
                    value: T = answer.value
                    return value
                self._keep(answer)

        return wait

    def tell(
        self, method: Callable[Concatenate[Ledger, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Send the request; wait only where many are unanswered."""
        self._send(method, args, kwargs)
        with as_raised():
            while (
                len(self._under_way) > UNANSWERED
                or sum(self._under_way.values()) > UNANSWERED_BYTES
            ):
                self._keep(self._take(TICK))

    def news(self, seconds: float = 0.0) -> Iterator[Any]:
        """Yield the answers that have come, waiting at most so long for the first."""
        with as_raised():
            while (answer := self._take(0.0 if self._news else seconds)) is not None:
                self._keep(answer)
                seconds = 0.0
        while self._news:
            yield self._news.popleft()

    def _keep(self, answer: Answer | None) -> None:
        if answer is None or answer.value is None:
            return
        if answer.number in self._asked:  # a signal came, and nobody waits for it any more
            self._asked.discard(answer.number)
        else:
            self._news.append(answer.value)

    def _send(self, method: Any, args: Any, kwargs: Any) -> int:
        number = self._sent + 1
        body = pickle.dumps((number, method, args, kwargs), protocol=5)
        self._write(body)
        self._sent = number
        self._under_way[number] = len(body)
        return number

    def _write(self, body: bytes) -> None:
        assert self._process.stdin is not None
        try:
            send(self._process.stdin, body)
        except OSError:
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
            if answer.number is not None:
                del self._under_way[answer.number]
            if answer.error is not None:
                raise Refused(answer.number, answer.error)
            if answer.trouble is not None:
                raise Refused(answer.number, _mistake(answer.trouble))
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
                while closed in self._under_way and time.monotonic() < until:
                    with suppress(Refused):  # of something earlier, that was given up
                        self._take(TICK)
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
    with suppress(StoreError):  # the sweep meets it again, if there is one
        _prepared.append(Apart())


def apart(say: Callable[[str], None], hurried: Callable[[], bool]) -> Apart:
    """Return the process that was prepared, or a new one."""
    recorder = _prepared.pop() if _prepared else Apart()
    recorder.say, recorder.hurried = say, hurried
    return recorder
