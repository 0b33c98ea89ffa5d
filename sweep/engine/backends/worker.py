"""One worker process as the driver sees it.

The two ends share one socket pair and nothing else: no queue, no lock, no semaphore, so
the death of one side cannot hold up anything but this pair.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import resource_tracker as standard_tracker
from multiprocessing.connection import Connection, Pipe
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
from loky.backend import get_context
from loky.backend import resource_tracker as loky_tracker

from sweep.engine.backends.inside import END, STOP, last_line, serve
from sweep.engine.backends.seam import ONE_THREAD, TICK, Emit, Stop, WorkerDied, WorkError

__all__ = ["Trackers", "Worker"]

SECONDS_TO_END = 0.5


class Worker:
    """A worker process, started when a work needs it; used by the one thread that minds it."""

    def __init__(self) -> None:
        self._process: Any = None
        self._connection: Connection[Any, Any] | None = None
        self._told_to_stop = False

    def carry_out(
        self, payload: bytes, emit: Emit, stopping: Stop
    ) -> tuple[BaseException | None, str | None]:
        """Carry out a pickled work in the process, pass on what it emits, return its end.

        Whatever emit() and stopping() raise leaves this call, with the work still going on.

        Raises
        ------
        WorkerDied
            The process is gone; the next call starts another.
        """
        unread: WorkError | None = None
        stopping()
        try:
            connection = self._connection or self._start()
            connection.send_bytes(payload)
            while True:
                body, ended, text = self._receive(connection, stopping)
                try:
                    value = cloudpickle.loads(body)
                except Exception as error:
                    what = last_line(text) if ended else f"A value cannot be unpickled ({error})."
                    value = unread = unread or WorkError(what)
                if ended:
                    return unread or value, text
                if not unread:
                    emit(value)
        except (EOFError, OSError):
            raise WorkerDied(self._obituary()) from None

    def end(self) -> None:
        """Ask the process to end, give it a second, then kill it and its children."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.send_bytes(END)
            wait_until(lambda: self._process.exitcode is not None, SECONDS_TO_END)
        self.kill()

    def kill(self) -> None:
        """Kill the process and its children at once, if there is one."""
        process, connection = self._process, self._connection
        if process is None or connection is None:
            return
        self._connection = None
        if process.exitcode is None:  # in its first moments it leads no group
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        connection.close()
        wait_until(lambda: process.exitcode is not None, SECONDS_TO_END)

    def _start(self) -> Connection[Any, Any]:
        self._process = None
        ours, theirs = Pipe()
        with theirs:
            self._process = get_context("loky").Process(
                target=serve, args=(theirs,), name="sweep-worker", env=ONE_THREAD
            )
            self._process.start()
        self._told_to_stop = False
        self._connection = ours
        return ours

    def _receive(self, connection: Connection[Any, Any], stopping: Stop) -> Any:
        while True:
            if stopping() and not self._told_to_stop:
                self._told_to_stop = True
                connection.send_bytes(STOP)
            if connection.poll(TICK):
                return connection.recv()
            if self._process.exitcode is not None and not connection.poll():
                raise EOFError  # its end of the socket lives on in a child of it

    def _obituary(self) -> str:
        self.kill()
        code = self._process.exitcode if self._process else None
        if code is None:
            return "No worker process can be started; look for a limit on processes or memory."
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return (
            f"The worker process died ({how}) and so did another that had this run alone; "
            "look for memory that runs out or native code that crashes."
        )


class Trackers:
    """The two helper processes that loky starts with the first worker, ended with the last.

    They look after semaphores and shared memory, of which there are none here, and would
    stay for as long as the command. Those that ran before belong to others and go on.
    """

    def __init__(self) -> None:
        both: tuple[Any, ...] = (loky_tracker._resource_tracker, standard_tracker._resource_tracker)
        self._ours = [tracker for tracker in both if tracker._fd is None]

    def stop(self) -> None:
        """Close their pipes and reap them; call when no worker is left."""
        for tracker in self._ours:
            descriptor, pid = tracker._fd, tracker._pid
            if descriptor is None or pid is None:
                continue
            tracker._fd = tracker._pid = None
            os.close(descriptor)
            wait_until(partial(reaped, pid), SECONDS_TO_END)


def reaped(pid: int) -> bool:
    """Reap the child `pid` if it has ended; return whether it is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Wait until `true()` holds, at most for `seconds`; return whether it does."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
