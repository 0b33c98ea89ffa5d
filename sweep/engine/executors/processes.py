"""The process executor, for code that is not thread-safe or may crash.

Each slot is a pool of one process, so that a death (SIGKILL, out of memory, a crash in native
code) is attributed to one task.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from sweep.engine.executors import SECONDS_TO_CLOSE, Executor, WorkerLost
from sweep.training.surroundings import ONE_THREAD

if TYPE_CHECKING:
    from sweep.training.task import Reply, Task


class Processes(Executor):
    """One process for each slot, started with its first task and restarted after its death."""

    slice_seconds = 0.4

    def __init__(self, workers: int | None = None) -> None:
        super().__init__(workers)
        self._pools: dict[str, tuple[ProcessPoolExecutor, BaseProcess]] = {}

    def submit(self, slot: str, task: Task) -> Future[Any]:
        if slot in self._pools:
            with suppress(BrokenProcessPool):  # it died while it was idle
                return self._pools[slot][0].submit(call_here, "", "advance", task)
            self._end(slot)
        try:
            return self._start(slot).submit(call_here, "", "advance", task)
        except OSError as error:
            failed: Future[Any] = Future()
            failed.set_exception(WorkerLost(f"no process can be started: {error.strerror}"))
            return failed

    def _start(self, slot: str) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        others = set(multiprocessing.active_children())
        # The process inherits the mask, which blocks SIGINT until `begin` ignores it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            pool.submit(begin)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        (process,) = set(multiprocessing.active_children()) - others
        self._pools[slot] = pool, process
        return pool

    def result(self, slot: str, future: Future[Any]) -> Reply:
        try:
            return super().result(slot, future)
        except BrokenProcessPool:
            raise WorkerLost(self._end(slot)) from None

    def close(self) -> None:
        closing = []
        for pool, _ in self._pools.values():
            with suppress(BrokenProcessPool):
                closing.append(pool.submit(call_here, "", "close"))
        wait_for(closing, SECONDS_TO_CLOSE)
        for slot in list(self._pools):
            self._end(slot)

    def _end(self, slot: str) -> str:
        """Kill a worker and its children; return its signal or exit code."""
        pool, process = self._pools.pop(slot)
        process.kill()  # until `begin` it has no process group
        assert process.pid is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        pool.shutdown(wait=True, cancel_futures=True)
        code = process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def begin() -> None:
    """Prepare a worker process, before NumPy is loaded.

    In its own process group it is not reached by Ctrl-C in the terminal and can be killed with its
    children. It ends with the command.
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


def call_here(name: str, method: str, *arguments: Any) -> Any:
    """As `worker.call_here`, which is imported after `begin`, as it loads NumPy."""
    from sweep.engine.executors import worker

    return worker.call_here(name, method, *arguments)
