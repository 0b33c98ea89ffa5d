"""Tasks in worker processes: for code that is not safe in threads, or that may crash.

Each slot is an executor of one process. A worker that dies (SIGKILL, out of memory, a crash in
native code) takes one task with it, and that is the one to suspect.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from sweep.engine.executors.base import SECONDS_TO_CLOSE, Executor, WorkerLost, available_cpus
from sweep.training.blas import ONE_THREAD

if TYPE_CHECKING:
    from sweep.engine.executors.base import Reply
    from sweep.engine.executors.worker import SlotWorker
    from sweep.training.task import Task

__all__ = ["Processes"]

SECONDS_TO_END = 0.8


class Processes(Executor):
    """One process for each slot, started with its first task and again after its death."""

    slice_seconds = 0.4

    def __init__(self, workers: int | None = None, *, thread_safe: bool = True) -> None:
        self._names = [f"process {number}" for number in range(workers or available_cpus())]
        self._pools: dict[str, tuple[ProcessPoolExecutor, BaseProcess]] = {}
        self._asked: set[str] = set()  # by trainings of a user's own, which may have to be closed

    def slots(self, wanted: int) -> Sequence[str]:
        return self._names

    def submit(self, slot: str, task: Task) -> Future[Any]:
        self._asked |= {slot for item in task.items or () if not item.spec.trainer.built_in}
        if slot in self._pools:
            with suppress(BrokenProcessPool):  # it died while it had nothing to do
                return self._pools[slot][0].submit(advance_here, task)
            self._end(slot)
        try:
            pool = self._start(slot)
        except OSError as error:
            failed: Future[Any] = Future()
            failed.set_exception(WorkerLost(f"no process can be started: {error.strerror}"))
            return failed
        return pool.submit(advance_here, task)

    def _start(self, slot: str) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        before = set(multiprocessing.active_children())
        with _interrupts_blocked():
            pool.submit(begin)
        (process,) = set(multiprocessing.active_children()) - before
        self._pools[slot] = pool, process
        return pool

    def result(self, slot: str, future: Future[Any]) -> Reply:
        try:
            return super().result(slot, future)
        except BrokenProcessPool:
            raise WorkerLost(self._end(slot)) from None

    def close(self) -> None:
        closing = []
        for slot in self._asked & self._pools.keys():
            with suppress(BrokenProcessPool):
                closing.append(self._pools[slot][0].submit(close_here))
        wait_for(closing, SECONDS_TO_CLOSE)
        for slot in list(self._pools):
            self._end(slot)

    def _end(self, slot: str) -> str:
        """Kill a worker with all that it started; return how it had ended."""
        pool, process = self._pools.pop(slot)
        deadline = time.monotonic() + SECONDS_TO_END
        process.kill()  # in its first moments it leads no group
        assert process.pid is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        while process.exitcode is None and time.monotonic() < deadline:
            time.sleep(0.005)
        pool.shutdown(wait=True, cancel_futures=True)
        code = process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let a process that is started within hold back Ctrl-C until it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin() -> None:
    """Prepare a worker process, before NumPy is loaded.

    It leads a process group of its own: Ctrl-C in the terminal reaches the command alone, which
    decides, and one kill reaches the worker with all that it started. It ends with the command.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ.update(ONE_THREAD)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


@cache
def _worker() -> SlotWorker:
    from sweep.engine.executors.worker import SlotWorker

    return SlotWorker()


def advance_here(task: Task) -> Reply:
    """Advance a task in this process."""
    return _worker().advance(task)


def close_here() -> None:
    """End the training under way in this process."""
    _worker().close()
