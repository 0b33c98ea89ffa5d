"""Who keeps a sweep's ledger: a process of its own beside the command, or the command itself.

MLflow needs two seconds to load and some twenty milliseconds a run, nearly all of it Python.
In a process of its own that happens while the command composes, trains and draws. It ends
with the command, whatever ends that, and never before. What it holds it holds in the name of
the command's process, whose death is what others look for.

    with apart() as recorder:
        recorder.ask(Ledger.open, ...)          # waits for the answer, raises what it raised
        recorder.tell(Ledger.record, ...)       # goes on; the answer is among the news
        for recorded in recorder.news(): ...
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import IO, Any, Concatenate, NamedTuple, ParamSpec, Protocol, Self, TypeVar

from sweep import errors
from sweep.errors import StoreError, SweepError
from sweep.tracking import holder
from sweep.tracking.ledger import Ledger

__all__ = ["Apart", "Here", "Recorder", "apart", "prepare", "serve"]

P = ParamSpec("P")
T = TypeVar("T")

TICK = 0.1
UNANSWERED = 32
"""So many requests may be under way; what is behind them would be lost with this process."""

HURRY = b""
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sweep.tracking.recorder import serve; serve(int(sys.argv[2]))"
)


class Recorder(Protocol):
    """Carries out a ledger's methods, in the order of the calls.

    Attributes
    ----------
    watches
        Whether runs that begin are created by themselves after a while.
    """

    watches: bool

    def ask(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what a method of the ledger returns, or raise what it raises."""
        ...

    def begin(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        """Have a method carried out, and return how to wait for what it returns or raises."""
        ...

    def tell(
        self, method: Callable[Concatenate[Ledger, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Have a method carried out; an error of an earlier one is raised here or later."""
        ...

    def news(self, seconds: float = 0.0) -> Iterator[Any]:
        """Yield what methods that were told returned, but None; wait for the first one."""
        ...


class Here:
    """Keeps the ledger in this process."""

    watches = False

    def __init__(self, say: Callable[[str], None], hurried: Callable[[], bool]) -> None:
        self.ledger = Ledger(say, hurried)
        self._news: deque[Any] = deque()

    def ask(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call the method."""
        return method(self.ledger, *args, **kwargs)

    def begin(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        """Return how to call the method."""
        return partial(method, self.ledger, *args, **kwargs)

    def tell(
        self, method: Callable[Concatenate[Ledger, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Call the method and keep what it returns."""
        value = method(self.ledger, *args, **kwargs)
        if value is not None:
            self._news.append(value)

    def news(self, seconds: float = 0.0) -> Iterator[Any]:
        """Yield what was kept."""
        while self._news:
            yield self._news.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ledger.close()


class _Answer(NamedTuple):
    """What the other process says: a sentence, or the end of a request.

    Attributes
    ----------
    number
        The request's; None for a sentence, and for what failed without having been asked for.
    """

    number: int | None
    value: Any = None
    error: SweepError | None = None
    trouble: str | None = None
    sentence: str | None = None


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
        self._answers: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
        self._news: deque[Any] = deque()
        self._sent = self._unanswered = 0
        self._told_to_hurry = False
        threading.Thread(target=self._listen, name="sweep-recorder", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while body := _receive(self._process.stdout):
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

    def _keep(self, answer: _Answer | None) -> None:
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
            _send(self._process.stdin, body)
        except OSError:
            self._take(1.0)  # its last words, or that it is gone
            raise self._gone() from None

    def _take(self, seconds: float) -> _Answer | None:
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
        """Give everything back and end the process, at once where an error ends the block."""
        try:
            if error is None or isinstance(error, SweepError):
                with suppress(StoreError):  # gone: then nothing is held any more
                    self.ask(Ledger.close)
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


# --- the other side ----------------------------------------------------------------------


def serve(driver: int) -> None:
    """Keep a ledger for the process `driver`, by requests on stdin and answers on stdout."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)  # the command decides
    requests, answers = (os.fdopen(os.dup(number), mode) for number, mode in ((0, "rb"), (1, "wb")))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # whatever a library prints is no answer
    holder.stand_for(driver)
    hurried, waiting, sending = threading.Event(), queue.SimpleQueue[bytes](), threading.Lock()

    def listen() -> None:
        while (body := _receive(requests)) is not None:
            if body == HURRY:
                hurried.set()
            else:
                waiting.put(body)
        os._exit(0)  # the command is gone

    def answer(value: _Answer) -> None:
        with sending:
            try:
                _send(answers, pickle.dumps(value, protocol=5))
            except OSError:
                os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    ledger = Ledger(lambda sentence: answer(_Answer(None, sentence=sentence)), hurried.is_set)
    _load()
    looked = time.monotonic()
    while os.getppid() == driver:
        with suppress(queue.Empty):
            number, method, args, kwargs = pickle.loads(waiting.get(timeout=TICK))
            answer(_outcome(number, lambda: method(ledger, *args, **kwargs)))  # noqa: B023
        if time.monotonic() - looked > TICK:
            looked = time.monotonic()
            created = _outcome(None, ledger.create_begun)
            if created.error or created.trouble:
                answer(created)
    os._exit(0)


def _outcome(number: int | None, call: Callable[[], Any]) -> _Answer:
    try:
        return _Answer(number, call())
    except SweepError as error:
        # Of a class that the command knows without loading MLflow.
        known = next(cls for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
        return _Answer(number, error=known(str(error)))
    except Exception:
        return _Answer(number, trouble=traceback.format_exc())


def _load() -> None:
    """Load MLflow, and keep the collector away from what stays for good."""
    gc.disable()
    from sweep.tracking import deliver, landing, leases, parent, write  # noqa: F401

    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


def _send(stream: IO[bytes], body: bytes) -> None:
    stream.write(len(body).to_bytes(8, "big") + body)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    """Return the next message; None at the end of the stream."""
    head = stream.read(8)
    size = int.from_bytes(head, "big")
    body = stream.read(size) if size else HURRY
    return body if len(head) == 8 and len(body) == size else None
