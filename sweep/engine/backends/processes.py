"""Works in worker processes: for code that is not safe in threads, or that may crash.

Each thread of this backend minds one worker process and passes on what it sends. So a
worker that dies (SIGKILL, out of memory, a crash in native code) takes one work with it,
which an executor with one queue for all would not survive. That work is sent again, alone:
if memory was short it now has all of it, and if the new worker dies too, the work is the
one that kills and ends as WorkerDied. The others go on.

What a work emitted before its worker died is emitted again; the driver drops doubles.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import cloudpickle  # type: ignore[import-untyped]

from sweep.engine.backends.gate import Gate
from sweep.engine.backends.pool import Closed, Pool, Run
from sweep.engine.backends.seam import Done, Emitted, Work, WorkerDied, WorkError
from sweep.engine.backends.worker import Trackers, Worker

__all__ = ["Processes"]


class Processes(Pool):
    """One loky process a worker, started when a work needs it and again after its death."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._gate = Gate()
        self._minded: list[Worker] = []
        self._trackers = Trackers()

    def close(self) -> None:
        try:
            super().close()
        finally:  # also at a second Ctrl-C
            for worker in self._minded:
                worker.kill()
            self._trackers.stop()

    @contextmanager
    def _worker(self) -> Iterator[Run]:
        worker = Worker()
        self._minded.append(worker)
        try:
            yield lambda key, work: self._run_in(worker, key, work)
        finally:
            worker.end()

    def _run_in(self, worker: Worker, key: int, work: Work) -> None:
        try:
            payload = cloudpickle.dumps(work)
        except Exception as error:
            told = WorkError(f"The work cannot be sent to a worker process ({error}).")
            return self._put(Done(key, told, traceback.format_exc()))
        try:
            with self._gate.company():
                done = self._attempt(worker, key, payload)
        except WorkerDied:
            try:
                with self._gate.alone():
                    done = self._attempt(worker, key, payload)
            except WorkerDied as death:
                done = Done(key, death.with_traceback(None))
        self._put(done)

    def _attempt(self, worker: Worker, key: int, payload: bytes) -> Done:
        def emit(value: object) -> None:
            self._put(Emitted(key, value))

        def stopping() -> bool:
            if self._closed.is_set():
                raise Closed
            return self._stopping.is_set()

        return Done(key, *worker.carry_out(payload, emit, stopping))
