"""The recorder: one worker that calls methods of a `Session` in the order of submission.

It is a process, started first so that MLflow loads meanwhile, or a thread (`inline`). Queued calls
are lost if the command dies, so results are on disk before they are submitted (see `results`).
"""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sweep.errors import StoreError, SweepError

if TYPE_CHECKING:  # loads NumPy; the process is started before that
    from sweep.tracking.session import Session

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

STOP = signal.SIGUSR1
"""Sent to the process once the command shall end."""

TICK = 0.1
"""Seconds between checks for a stop request."""

STOP_SECONDS = 2.0
"""Seconds for all remaining calls after a stop request."""

CLOSE_SECONDS = 5.0

SILENT = "The store does not answer; what was finished is on disk."
DIED = (
    "The recorder process died; what was finished is on disk, and a sweep is finished with "
    "resume=last."
)


class Recorder:
    """Calls methods of a session in the worker, in the order of submission.

    `stopping` is polled while waiting; once it is true, all remaining calls together get
    STOP_SECONDS.
    """

    def __init__(self, executor: Executor, process: BaseProcess | None = None) -> None:
        self.stopping: Callable[[], bool] = lambda: False
        self._executor, self._process = executor, process
        self._until = math.inf

    def submit(
        self, method: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Queue a method call; raise StoreError if the recorder died."""
        try:
            return self._executor.submit(_call, method, args, kwargs)
        except BrokenProcessPool:
            raise StoreError(DIED) from None

    def result(self, future: Future[T]) -> T:
        """Return a call's result or raise its error.

        Raises StoreError if the recorder died, or does not answer in time after a stop request.
        """
        while not wait([future], TICK).done:
            self.poll()
            if time.monotonic() > self._until:
                raise StoreError(SILENT)
        self.poll()
        try:
            return future.result()
        except BrokenProcessPool:
            raise StoreError(DIED) from None
        except StoreError as error:
            for note in getattr(error, "__notes__", ()):
                log.error("The recorder process failed:\n%s", note)
            raise

    def call(
        self, method: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Submit a method and return its result."""
        return self.result(self.submit(method, *args, **kwargs))

    def poll(self) -> None:
        """Send the process the stop request once `stopping` is true."""
        if self._until == math.inf and self.stopping():
            self._until = time.monotonic() + STOP_SECONDS
            if self._process is not None and self._process.pid and self._process.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(self._process.pid, STOP)

    def end(self) -> None:
        """Kill the process, or wait for the thread; results not stored yet stay on disk."""
        if self._process is not None:
            self._process.kill()
        self._executor.shutdown(cancel_futures=self._process is not None)


_prepared: list[Recorder] = []


def prepare() -> None:
    """Start the recorder early, so that MLflow loads while the command composes."""
    with suppress(StoreError):  # raised again by `recorder`
        _prepared.append(_start())


def discard() -> None:
    """Stop a prepared recorder that was not used."""
    while _prepared:
        _prepared.pop().end()


@contextmanager
def recorder(stopping: Callable[[], bool], inline: bool = False) -> Iterator[Recorder]:
    """Yield the prepared or a new recorder; on exit close the store and stop the recorder.

    With `inline` it is a thread, for jobs that a launcher runs in separate processes. After an
    error, the process is killed without waiting for the store to close.
    """
    from sweep.tracking.session import Session

    if inline:
        _Worker.session = Session(stopping, os.getpid())
        made = Recorder(ThreadPoolExecutor(1, "sweep-recorder"))
    else:
        made = _prepared.pop() if _prepared else _start()
    made.stopping = stopping
    seconds = 0.0
    try:
        yield made
        seconds = CLOSE_SECONDS
    finally:
        with suppress(StoreError):  # the recorder died and holds no locks
            wait([made.submit(Session.close)], seconds)
        made.end()


def _start() -> Recorder:
    """Start the process; raise StoreError if that fails or the process ends at once."""
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    held = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    try:
        pool = ProcessPoolExecutor(1, context, _begin, (os.getpid(),))
        resource_tracker.ensure_running()
        # Signals are blocked until the process ignores those of the terminal.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, STOP))
        pool.submit(_load)
    except OSError as error:
        raise StoreError(
            f"The recorder process cannot be started ({error.strerror}); close other "
            "programs and run the command again."
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    started = set(multiprocessing.active_children()) - before
    if not started:
        raise StoreError(DIED)
    return Recorder(pool, *started)


class _Worker:
    """Global state of the worker."""

    session: Session


def _begin(pid: int) -> None:
    """Initialise the worker process: ignore signals, and exit when the command has exited."""
    from sweep.tracking.session import Session

    stopping = threading.Event()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(STOP, lambda signum, frame: stopping.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SIGNALS, STOP))
    os.setsid()  # signals to the command's process group do not reach it
    os.dup2(2, 1)  # libraries print to standard error
    threading.Thread(target=_end_with_parent, name="sweep-parent", daemon=True).start()
    _Worker.session = Session(stopping.is_set, pid)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(0)  # nothing else would end this process


def _load() -> None:
    """Load MLflow in the worker, and exempt the loaded objects from garbage collection."""
    gc.disable()
    with suppress(Exception):  # the first call raises it again
        import filelock  # noqa: F401
        import psutil  # noqa: F401

        from sweep.tracking import pages  # noqa: F401
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


def _call(method: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    """Call a session method; convert unexpected errors to a StoreError with traceback."""
    try:
        return method(_Worker.session, *args, **kwargs)
    except SweepError:
        raise
    except Exception:
        text = traceback.format_exc()
        last = text.strip().splitlines()[-1]
        mistake = StoreError(
            f"The recorder process failed ({last}); what was finished is on disk and "
            "resume=last stores it and finishes the sweep."
        )
        mistake.add_note(text)
        raise mistake from None
