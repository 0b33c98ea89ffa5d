"""Train runs, write their result files, and have the recorder store them."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep import console
from sweep.config.settings import Settings
from sweep.engine.driver import TICK, Driver, Ended
from sweep.engine.executors import Executor
from sweep.engine.listener import Listener, Outcome
from sweep.engine.plan import Cell, Trajectory
from sweep.engine.signals import StopRequest
from sweep.errors import StoreError
from sweep.progress import ProgressDisplay
from sweep.tracking import results, training_environment
from sweep.tracking.entities import run_name, run_tags
from sweep.tracking.recorder import Recorder
from sweep.tracking.results import RunRecord
from sweep.tracking.session import Session

if TYPE_CHECKING:
    from sweep.tracking.runs import Finished
    from sweep.training.curve import CurveSlice

BATCH = 16
"""Maximum result files per call of the recorder, as a signal waits for the call to end."""

SOON = 1.0
"""Seconds of training after which a run is created in the store; shorter ones at their end."""

ACTIVE_SECONDS = 5.0
"""Seconds of waiting for a server after which a user's trainer begins without an active run."""

RETRY = 3.0
SERVER_RETURNS = 20.0
"""Seconds between attempts to reach a server, and until `settle` stops waiting for it."""

NOTICE = 10.0
"""Seconds between messages about the number of results still to be stored."""


@dataclass
class _Begun:
    record: RunRecord
    cell: Cell
    clock: float  # monotonic start
    created: Future[str | None] | None = None  # its MLflow id, once the recorder was asked for it


class Recording(Listener):
    """Training and recording of a sweep's runs or of a single run.

    `owner` is ``sweeps/<id>`` or ``runs/<id>``, the folder below outputs with the result files.
    """

    def __init__(
        self, options: Settings, owner: str, recorder: Recorder, stop: StopRequest
    ) -> None:
        self.options, self.recorder, self.stop = options, recorder, stop
        self.id, self._owner = owner.rpartition("/")[2], owner
        self._single = owner.startswith("runs/")
        self.folder = results.folder_of(options.outputs, owner)
        self.progress = ProgressDisplay(0, 1)
        self.experiment_id = ""  # known once the store is open
        self._opened: Future[tuple[str, list[str]]] | None = None
        self.waiting: dict[int, Path] = {}  # result files to be stored, by grid point index
        self._begun: dict[int, _Begun] = {}
        self._stored: Future[list[Finished]] | None = None
        self._shown: list[Future[Any]] = []  # runs to create, and parts of curves
        self.finished: dict[int, Finished] = {}  # by grid point index; those that wait no more
        self.need_bytes = 0  # of free space when the store is opened
        self._retry_at, self._silent = 0.0, False
        self._refused: list[str] = []

    def open_store(self) -> None:
        """Have the recorder open the store, if it is not open or opening it failed."""
        if not self.is_open:
            run_lock = f"{self._owner}/lock" if self._single else None
            arguments = self.options.tracking, self.need_bytes, run_lock
            self._opened = self.recorder.submit(Session.open_store, *arguments)

    @property
    def is_open(self) -> bool:
        """Whether the store is open, or about to be."""
        opened = self._opened
        failed = opened is None or (opened.done() and opened.exception())
        return bool(self.experiment_id) or not failed

    def await_store(self) -> None:
        """Wait until the store is open and show what was repaired; StoreError if it is unusable."""
        self.open_store()
        if self.experiment_id or self._opened is None:
            return
        self.experiment_id, sentences = self.recorder.result(self._opened)
        for sentence in sentences:
            if f"resume={self.id} " not in sentence:
                console.echo(sentence)

    def tags(self, cell: Cell) -> dict[str, str]:
        """Return the tags of a new run."""
        return run_tags(cell.spec)

    def goes_on(self) -> bool:
        """Return whether to continue training; called about every `driver.TICK` seconds."""
        self.stop.check()
        return True

    def on_finished(self, one: Finished) -> None:
        """Called when a result file was stored, or was dropped as damaged or deleted."""
        self.finished[one.cell] = one

    def train(
        self, batches: Sequence[Sequence[Trajectory]], executor: Executor
    ) -> Generator[Ended]:
        """Train and yield each grid point with its result or failure as it ends.

        Raises Interrupted if a signal requested a stop, and SweepError if the cluster is
        unreachable or has no worker.
        """
        driver = Driver(batches, executor, self, self.options.max_seconds)
        with closing(driver.outcomes()) as outcomes:
            for ended in outcomes:
                if not self.goes_on():
                    return
                if ended is not None:
                    yield ended

    def started(self, trajectory: Trajectory) -> None:
        for cell in trajectory.cells:
            self.start(cell)

    def progressed(self, iterations: int) -> None:
        self.progress.advance(iterations)

    def printed(self, cell: Cell, lines: Sequence[str]) -> None:
        self.progress.printed(lines, cell.name if cell.values else "")

    def start(self, cell: Cell) -> _Begun:
        """Begin a run, unless it has begun already."""
        if cell.index not in self._begun:
            self._begun[cell.index] = _Begun(self.new_record(cell), cell, time.monotonic())
        return self._begun[cell.index]

    def new_record(self, cell: Cell) -> RunRecord:
        """Return the record of a run that begins now."""
        now, store = time.time_ns() // 1_000_000, self.options.tracking.name
        return RunRecord(store, cell.index, cell.name, cell.params(), self.tags(cell), now)

    def environment(self, trajectory: Trajectory) -> Mapping[str, str] | None:
        """Return the variables that configure MLflow for a user's training code.

        The trajectory's longest run is the active run; None until it is created or was waited for
        long enough. A thread-safe trainer has no active run, as it may share its process.
        """
        trainer, cell, run_id = trajectory.spec.trainer, trajectory.cells[-1], None
        if trainer.built_in:
            return {}
        try:
            self.await_store()
        except StoreError:
            self.stop.check()  # a stop request ended the wait
            raise
        if not trainer.thread_safe:
            begun = self.start(cell)
            created = self._create(begun)
            if wait([created], TICK).done:
                run_id = self.recorder.result(created)
            elif time.monotonic() - begun.clock <= ACTIVE_SECONDS:
                return None
            if run_id is None and not self.stop():
                console.notice(
                    f"{self.options.tracking.location} does not answer: {cell.name} begins, and "
                    "what its training code itself logs to MLflow is no part of its run."
                )
        tracking, name = self.options.tracking, run_name(cell.name)
        return training_environment(tracking, self.experiment_id, run_id, name)

    def charted(self, cell: Cell, part: CurveSlice) -> None:
        """Log a part of the curve of a running run, unless earlier calls are still pending."""
        if self._opened is None:
            self.open_store()
        if not self.is_open:
            return  # the error is raised at the end
        begun = self._begun[cell.index]
        behind = not all(future.done() for future in self._shown)
        self._create(begun)
        if not behind:
            start = begun.record.start_time
            shown = self.recorder.submit(Session.log_curve, cell.index, start, part)
            self._shown.append(shown)

    def finish(self, cell: Cell, outcome: Outcome | None) -> Path:
        """Write a run's result file, queue it for the recorder, and return its path.

        An outcome of None is a run that was stopped before it had one.
        """
        begun = self._begun[cell.index]
        record = results.ended(begun.record, outcome, time.monotonic() - begun.clock)
        files = results.run_files(outcome, cell.spec.config, cell.spec.preparation)
        path = results.write(self.folder, record, files)
        del self._begun[cell.index]
        self.waiting[cell.index] = path
        return path

    def poll(self) -> None:
        """Take results from the recorder and submit its next calls.

        Raises StoreError if the recorder died or the store cannot be written any more.
        """
        self.recorder.poll()
        while self._shown and self._shown[0].done():
            self.recorder.result(self._shown.pop(0))
        if self._stored is not None and self._stored.done():
            self._take(self._stored)
        now = time.monotonic()
        if self._stored is None and self.waiting and now >= self._retry_at:
            paths = list(self.waiting.values())[:BATCH]
            self._stored = self.recorder.submit(Session.finish_runs, paths)
        for one in self._begun.values():
            if now - one.clock >= SOON:
                self._create(one)

    def _create(self, begun: _Begun) -> Future[str | None]:
        if begun.created is None:
            begun.created = self.recorder.submit(Session.start_run, begun.record)
            self._shown.append(begun.created)
        return begun.created

    def _take(self, stored: Future[list[Finished]]) -> None:
        self._stored = None
        finished = self.recorder.result(stored)
        self._silent = any(one.state == "waiting" for one in finished)
        if self._silent:
            self._retry_at = time.monotonic() + RETRY
        for one in finished:
            if one.state == "waiting":
                continue
            del self.waiting[one.cell]
            if one.state == "refused":
                self._refused.append(one.problem)
            else:
                self.on_finished(one)

    def settle(self) -> None:
        """Wait until every ended run is stored.

        Raises Interrupted if a signal requested a stop, and StoreError if the server does not
        answer or rejected a run; the result files stay on disk.
        """
        answered_at = noticed_at = time.monotonic()
        while self.waiting:
            self.stop.check()
            self.poll()
            now = time.monotonic()
            if not self._silent:
                answered_at = now
            elif now - answered_at > SERVER_RETURNS:
                one, again = len(self.waiting) == 1, self.id if self._single else "last"
                raise StoreError(
                    f"{self.options.tracking.location} does not answer: {len(self.waiting)} "
                    f"{'result waits' if one else 'results wait'} in {self.folder}; start the "
                    f"server and run the command again with resume={again}."
                )
            if answered_at - noticed_at > NOTICE:
                noticed_at = now
                console.notice(f"{len(self.waiting)} results are still to be stored.")
            if self._stored is not None:
                wait([self._stored], TICK)
            else:
                time.sleep(TICK)
        while self._shown:
            self.recorder.result(self._shown.pop(0))
        results.remove_empty(self.folder)
        if self._refused:
            raise StoreError(self._refused[0])

    def interrupt(self) -> None:
        """Close the running runs as KILLED.

        Raises StoreError if the store does not answer; the next command then closes them.
        """
        if self._stored is not None:
            self._take(self._stored)
        killed = [self.finish(one.cell, None) for one in list(self._begun.values())]
        others = [path for path in self.waiting.values() if path not in killed][:BATCH]
        try:
            self._take(self.recorder.submit(Session.finish_runs, [*killed, *others]))
        finally:
            for path in killed:
                results.remove(path)  # the next command closes a row that is still open
            results.remove_empty(self.folder)
