"""Record runs: each is a result file first, which the recorder then brings into the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.engine.plan import Cell, Trajectory
from sweep.engine.signals import StopRequest
from sweep.errors import StoreError
from sweep.tracking import active, results
from sweep.tracking.recorder import Recorder
from sweep.tracking.results import Content, RunRecord
from sweep.tracking.session import Session
from sweep.tracking.settings import Tracking

if TYPE_CHECKING:
    from sweep.tracking.runs import Finished
    from sweep.training.curve import CurveSlice

__all__ = ["Runs"]

TICK = 0.1

BATCH = 16
"""Result files that the recorder stores at a time; a signal waits for no more of them."""

SOON = 1.0
"""Seconds after which a run that trains is created, so that it is seen; a shorter one is
created when it ends, which saves a request."""

RETRY = 3.0
"""Seconds after which a server that did not answer is tried again."""

NOTICE = 10.0
"""Seconds after which the user is notified how many results are still to be stored."""

SERVER_RETURNS = 20.0
"""Seconds that a silent server is given at the end."""


@dataclass
class _Begun:
    """A run that trains."""

    cell: Cell
    record: RunRecord
    clock: float
    created: bool = False


class Runs:
    """The runs of a sweep, or one single run, on their way into the store.

    Parameters
    ----------
    owner
        ``sweeps/<id>`` or ``runs/<id>``: where result files lie, below the folder of outputs.
    on_finished
        Called with what became of each result file.
    """

    def __init__(
        self,
        recorder: Recorder,
        tracking: Tracking,
        owner: str,
        stop: StopRequest,
        on_finished: Callable[[Finished], None],
    ) -> None:
        self.folder = results.folder_of(tracking.outputs, owner)
        self._recorder, self._tracking, self._stop = recorder, tracking, stop
        self._on_finished = on_finished
        self._begun: dict[int, _Begun] = {}
        self._waiting: dict[int, Path] = {}
        self._stored: Future[list[Finished]] | None = None
        self._created: Future[None] | None = None
        self._shown: Future[None] | None = None
        self._retry_at = 0.0
        self._silent = False
        self._refused: list[str] = []

    def start(self, cell: Cell, tags: Mapping[str, str]) -> None:
        """Note that a run begins now."""
        record = RunRecord(
            self._tracking.name,
            cell.index,
            cell.name,
            cell.params(),
            tags,
            time.time_ns() // 1_000_000,
        )
        self._begun[cell.index] = _Begun(cell, record, time.monotonic())

    def started(self, cell: Cell) -> bool:
        """Return whether a run trains."""
        return cell.index in self._begun

    def environment(self, trajectory: Trajectory) -> Mapping[str, str]:
        """Return the variables with which training code of a user's own finds MLflow.

        Its active run is that of the trajectory's longest run, which is created now. Code that
        runs beside others in the threads of one process has none.

        Raises
        ------
        StoreError
            The store cannot be used.
        """
        begun = self._begun[trajectory.cells[-1].index]
        begun.created = True
        asked = self._recorder.submit(Session.active_run, begun.record)
        experiment_id, run_id = self._recorder.result(asked)
        own = None if trajectory.spec.trainer.thread_safe else run_id
        return active.environment(self._tracking, experiment_id, own)

    def show(self, cell: Cell, part: CurveSlice) -> None:
        """Show a part of the curve of a run that trains, unless the recorder is behind."""
        begun = self._begun[cell.index]
        self._create([begun])
        if self._shown is None or self._shown.done():
            self._shown = self._recorder.submit(
                Session.log_curve,
                cell.index,
                begun.record.start_time,
                part,
            )

    def finish(self, cell: Cell, content: Content) -> Path:
        """Write the result file of a run; it is stored soon. Return it.

        Raises
        ------
        StoreError
            The disk is full or cannot be written.
        """
        begun = self._begun[cell.index]
        record = replace(
            begun.record,
            outcome=content.outcome,
            metrics=content.metrics,
            tags={**begun.record.tags, **content.tags},
            end_time=begun.record.start_time + round((time.monotonic() - begun.clock) * 1000),
        )
        path = results.write(self.folder, record, content.files)
        del self._begun[cell.index]
        self._waiting[cell.index] = path
        return path

    def adopt(self, paths: Mapping[int, Path]) -> None:
        """Store result files of an earlier command."""
        self._waiting |= paths

    def poll(self) -> None:
        """Take what the recorder has done, and submit what is to be done next.

        Raises
        ------
        StoreError
            The recorder died, or the store can take nothing more.
        """
        self._recorder.poll()
        if self._created is not None and self._created.done():
            created, self._created = self._created, None
            self._recorder.result(created)
        if self._stored is not None and self._stored.done():
            self._take(self._stored)
        now = time.monotonic()
        if self._stored is None and self._waiting and now >= self._retry_at:
            paths = list(self._waiting.values())[:BATCH]
            self._stored = self._recorder.submit(Session.finish_runs, paths)
        if self._created is None:
            self._create(one for one in self._begun.values() if now - one.clock >= SOON)

    def _create(self, begun: Iterable[_Begun]) -> None:
        new = [one for one in begun if not one.created]
        if new:
            for one in new:
                one.created = True
            records = [one.record for one in new]
            self._created = self._recorder.submit(Session.start_runs, records)

    def _take(self, stored: Future[list[Finished]]) -> None:
        self._stored = None
        finished = self._recorder.result(stored)
        self._silent = any(one.state == "waiting" for one in finished)
        if self._silent:
            self._retry_at = time.monotonic() + RETRY
        for one in finished:
            if one.state == "waiting":
                continue
            del self._waiting[one.cell]
            if one.state == "refused":
                self._refused.append(one.problem)
            else:
                self._on_finished(one)

    def settle(self) -> None:
        """Wait until the store has every run that has ended.

        Raises
        ------
        Interrupted
            A signal asked the command to end.
        StoreError
            The server does not answer, or refused something; that stays on disk.
        """
        silent_since = None
        said_at = time.monotonic()
        while self._waiting:
            self._stop.check()
            self.poll()
            if not self._silent and time.monotonic() - said_at > NOTICE:
                said_at = time.monotonic()
                self._recorder.say(f"{len(self._waiting)} results are still to be stored.")
            if self._stored is not None:
                wait([self._stored], TICK)
            else:
                time.sleep(TICK)
            now = time.monotonic()
            silent_since = (silent_since or now) if self._silent else None
            if silent_since is not None and now - silent_since > SERVER_RETURNS:
                of_sweep = self.folder.parents[1].name == "sweeps"
                again = "last" if of_sweep else self.folder.parent.name
                count = len(self._waiting)
                raise StoreError(
                    f"{self._tracking.place} does not answer: {count} "
                    f"{'result waits' if count == 1 else 'results wait'} in "
                    f"{self.folder}; start the server and run the command again with "
                    f"resume={again}."
                )
        if self._created is not None:
            self._recorder.result(self._created)
            self._created = None
        results.tidy(self.folder)
        if self._refused:
            raise StoreError(self._refused[0])

    def interrupt(self) -> None:
        """Close what trains as KILLED; what does not succeed now, the next command closes.

        Raises
        ------
        StoreError
            The store does not answer.
        """
        if self._stored is not None:
            self._take(self._stored)
        begun = [one.cell for one in self._begun.values()]
        killed = [self.finish(cell, results.interrupted(cell.spec.config)) for cell in begun]
        others = [path for path in self._waiting.values() if path not in killed][:BATCH]
        try:
            self._take(self._recorder.submit(Session.finish_runs, [*killed, *others]))
        finally:
            for path in killed:
                results.remove(path)  # where the store does not have it, its row is closed later
            results.tidy(self.folder)
