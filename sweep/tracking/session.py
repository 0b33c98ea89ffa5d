"""What a command has its recorder do: one sweep, or one single run, from its opening to its end.

Every method takes and returns plain values, for it usually runs in a process of its own (see
`recorder`), and they are called in order. MLflow is loaded when the store is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.tracking.settings import Tracking
from sweep.tracking.stored import StoredRun, StoredSweep

if TYPE_CHECKING:
    from sweep.tracking.results import RunRecord
    from sweep.tracking.rows import Finished, Rows
    from sweep.tracking.store import Store

__all__ = ["Session"]


class Session:
    """A sweep or a single run in its store, as one process writes it.

    Parameters
    ----------
    say
        Called with what the user should know while the store makes us wait.
    stopping
        True once the command was asked to end, so that no lock holds it up.
    pid
        The command's process id.
    """

    store: Store
    parent_run_id: str
    _rows: Rows

    def __init__(self, say: Callable[[str], None], stopping: Callable[[], bool], pid: int) -> None:
        self.say, self.stopping, self.pid = say, stopping, pid
        self._held = ExitStack()
        self._gathered: tuple[StoredSweep, list[StoredRun]] | None = None
        self._links: dict[str, str] = {}

    # --- opening ---------------------------------------------------------------------------

    def open_store(self, tracking: Tracking, need_bytes: int = 0) -> tuple[str, list[str]]:
        """Open the store and close what is RUNNING and no longer alive.

        Returns
        -------
        The experiment's id, and a sentence for each thing that was brought in order.

        Raises
        ------
        StoreError
            The store cannot be used, or has less space than `need_bytes`.
        """
        from sweep.tracking.recover import recover

        self._open(tracking, need_bytes)
        return self.store.experiment_id, recover(self.store)

    def _open(self, tracking: Tracking, need_bytes: int = 0) -> None:
        from sweep.tracking.store import open_store

        self.store = open_store(tracking, mode="write", need_bytes=need_bytes, say=self.say)
        self.store.stopping = self.stopping
        self._write_runs()

    def _write_runs(self, *, alone: str | None = None, resumed: bool = False) -> None:
        """Decide how runs are written; see `Rows`."""
        from sweep.tracking.rows import Rows

        given = self.store, self._held, self.stopping, self.pid
        self._rows = Rows(*given, alone=alone, resumed=resumed)

    def _lock(self, path: str) -> str:
        """Hold the lock of a sweep or a single run; return its heartbeat."""
        from sweep.tracking.hold import hold

        return hold(self.store, self._held, path, self.pid)

    def _keep_beating(self, run_id: str, lock: str) -> None:
        from sweep.tracking.hold import keep_beating

        keep_beating(self.store, self._held, run_id, lock, self.pid)

    # --- a sweep ---------------------------------------------------------------------------

    def start_sweep(self, sweep_id: str, plan: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Create a new sweep's parent run with its plan; return its id."""
        from sweep.tracking import write
        from sweep.tracking.locks import HEARTBEAT

        lock = f"sweeps/{sweep_id}/lock"
        tags = {**tags, HEARTBEAT: self._lock(lock)}
        self.parent_run_id = write.start_sweep(self.store, sweep_id, plan, tags)
        self._keep_beating(self.parent_run_id, lock)
        return self.parent_run_id

    def claim_sweep(self, sweep_id: str) -> list[StoredRun]:
        """Be the only process that works on a stored sweep; return its runs.

        Raises
        ------
        StoreBusyError
            Another process works on it; the message says which.
        """
        from sweep.tracking import read, results
        from sweep.tracking.hold import busy
        from sweep.tracking.locks import Beat

        lock = f"sweeps/{sweep_id}/lock"
        self._lock(lock)
        found = read.find_sweep(self.store, sweep_id)
        every = read.sweep_runs(self.store, sweep_id, every=True)
        everything: list[StoredSweep | StoredRun] = [found, *every]
        for each in everything:
            beat = Beat.read(each.tags) if each.status == "RUNNING" else None
            if beat is not None and beat.is_alive(self.store.tracking, mine=lock):
                raise busy(sweep_id, beat.name)
        self.parent_run_id = found.run_id
        self._write_runs(resumed=True)
        results.tidy(results.folder_of(self.store.tracking.outputs, f"sweeps/{sweep_id}"))
        return read.counting(every)

    def resume_sweep(self, sweep_id: str, plan: Mapping[str, Any], need_bytes: int) -> None:
        """Set the sweep's parent run RUNNING again, with its plan; `need_bytes` are to come.

        Raises
        ------
        StoreBusyError
            Between the reading of the plan and the claim another command added cells.
        StoreError
            There is less space.
        """
        from sweep.tracking import write
        from sweep.tracking.locks import HEARTBEAT, Beat
        from sweep.tracking.settings import probe_space

        store, run_id = self.store, self.parent_run_id
        probe_space(store.tracking.outputs, need_bytes)
        write.check_same_cells(store, sweep_id, plan)
        write.write_plan(store, run_id, plan)
        beat = Beat.of(lock := f"sweeps/{sweep_id}/lock", self.pid).to_json()
        store.call(lambda: store.client.set_tag(run_id, HEARTBEAT, beat))
        store.call(lambda: store.client.update_run(run_id, status="RUNNING"))
        self._keep_beating(run_id, lock)

    def join_sweep(self, tracking: Tracking, sweep_id: str) -> tuple[str, dict[str, Any]]:
        """Open the store beside the process that drives a sweep; return parent run and plan.

        Raises
        ------
        NotFoundError
            The store holds no sweep of this id.
        """
        from sweep.tracking import read

        self._open(tracking)
        found = read.find_sweep(self.store, sweep_id)
        self.parent_run_id = found.run_id
        self._write_runs(alone=f"sweeps/{sweep_id}/job-{{cell}}.lock", resumed=True)
        return found.run_id, found.plan()

    def reusable(self, signatures: Collection[str]) -> dict[str, StoredRun]:
        """Return for each signature a finished run that has it, of whatever sweep."""
        from sweep.tracking import read

        return read.finished_by_signature(self.store, signatures)

    # --- runs ------------------------------------------------------------------------------

    def open_run(self, tracking: Tracking, folder: str) -> tuple[str, list[str]]:
        """Open the store for a single run, whose folder is ``runs/<id>``; see `open_store`."""
        opened = self.open_store(tracking)
        self._write_runs(alone=f"{folder}/lock", resumed=True)
        return opened

    def start_runs(self, records: Sequence[RunRecord]) -> None:
        """Create runs that have begun; see `Rows.start`."""
        self._rows.start(records)

    def active_run(self, record: RunRecord) -> tuple[str, str | None]:
        """Return the experiment's id and that of a run that begins, which is created if need be.

        None in its place where a server does not answer.
        """
        self._rows.start([record])
        return self.store.experiment_id, self._rows.id_of(record.cell)

    def log_curve(
        self,
        cell: int,
        start_time: int,
        steps: npt.NDArray[np.int64],
        errors: npt.NDArray[np.float64],
        validation: npt.NDArray[np.float64] | None,
    ) -> None:
        """Show a part of the curve of a run that still trains; see `Rows.log_curve`."""
        self._rows.log_curve(cell, start_time, steps, errors, validation)

    def finish_runs(self, paths: Sequence[Path]) -> list[Finished]:
        """Store result files; see `Rows.finish`."""
        return self._rows.finish(paths)

    # --- the end ---------------------------------------------------------------------------

    def gather(self, sweep_id: str, elsewhere: bool) -> tuple[StoredSweep, list[StoredRun]]:
        """Return the sweep and its runs, one a grid point.

        Parameters
        ----------
        elsewhere
            Jobs in other processes had some of them, which have ended by now: what they left
            open is closed.
        """
        from sweep.tracking import read, recover, write

        if elsewhere:
            for sentence in recover.recover(self.store):
                self.say(sentence)
        sweep = read.find_sweep(self.store, sweep_id)
        self._gathered = sweep, write.gather(self.store, sweep)
        return self._gathered

    def arrange(self) -> None:
        """Save the views of the gathered sweep in MLflow's page."""
        from sweep.tracking import pages

        assert self._gathered is not None
        with self._decorating():
            self._links = pages.arrange(self.store, *self._gathered)

    @contextmanager
    def _decorating(self) -> Iterator[None]:
        """Say in one line what fails: the runs are stored all the same."""
        try:
            yield
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self.say(f"MLflow's page was not arranged ({text}); python -m sweep.ui does it.")

    def finish_sweep(
        self,
        status: str,
        totals: Mapping[str, float],
        text: str | None = None,
        report: Path | None = None,
    ) -> dict[str, str]:
        """Write the sweep's metrics, note and report, its status last; return its links.

        The note is made of `text`, what the report says in short. `totals` are the metrics
        where the runs were not gathered.
        """
        from sweep.tracking import pages, write
        from sweep.tracking.question import question_of, totals_of

        note = None
        if self._gathered is not None:
            sweep, runs = self._gathered
            totals = totals_of(runs, question_of(sweep.plan()))
            if text is not None and self._links:
                with self._decorating():
                    note = pages.describe(self.store, sweep, self._links, text, report)
        write.finish_sweep(self.store, self.parent_run_id, status, totals, note, report)
        return self._links

    def close(self) -> None:
        """Release the locks and close the store."""
        from sweep.tracking import database

        self._held.close()
        database.close_all()
