"""The recorder's session: one sweep or single run, from opening its store to closing it.

Methods are called in order, usually in another process (see `recorder`), so they take and return
plain values. MLflow is loaded when the store is opened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweep.tracking import results
from sweep.tracking.runs import RunWriter, busy
from sweep.tracking.settings import Tracking, probe_space
from sweep.tracking.stored import StoredRun, StoredSweep


class Session(RunWriter):
    """A sweep or a single run, written by one process."""

    parent_run_id: str
    _collected: tuple[StoredSweep, list[StoredRun]] | None = None
    _links: Mapping[str, str] = {}

    def open_store(
        self, tracking: Tracking, need_bytes: int = 0, run_lock: str | None = None
    ) -> tuple[str, list[str]]:
        """Open the store and close runs that are RUNNING without a live process.

        `run_lock` is a single run's lock, relative to the folder of outputs. Return the
        experiment's id and a message for each repair. Raises StoreError if the store cannot be
        used or has less free space than `need_bytes`.
        """
        from sweep.tracking.locks import recover

        self._open(tracking, need_bytes, run_lock)
        return self.store.experiment_id, recover(self.store)

    def _open(self, tracking: Tracking, need_bytes: int, run_lock: str | None) -> None:
        from sweep.tracking.store import open_store

        self.store = open_store(tracking, mode="write", need_bytes=need_bytes, echo=self.echo)
        self.store.stopping = self.stopping
        self._run_lock, self._resumed = run_lock, run_lock is not None

    def close(self) -> None:
        """Release the locks and close the store."""
        from sweep.tracking import database

        self._held.close()
        database.close_all()

    def start_sweep(self, sweep_id: str, plan: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Create a new sweep's parent run with its plan; return the run's id."""
        from sweep.tracking import locks, write

        beat = self._lock(f"sweeps/{sweep_id}/lock")
        tags = {**tags, locks.HEARTBEAT: beat.to_json()}
        self.parent_run_id = write.start_sweep(self.store, sweep_id, plan, tags)
        self._keep_beating(self.parent_run_id, beat)
        return self.parent_run_id

    def claim_sweep(self, sweep_id: str) -> list[StoredRun]:
        """Lock a stored sweep and return its runs.

        Raises StoreBusyError, naming the owner, if another process works on it.
        """
        from sweep.tracking import locks, read

        mine = self._lock(f"sweeps/{sweep_id}/lock").lock
        found = read.find_sweep(self.store, sweep_id)
        every = read.sweep_runs(self.store, sweep_id, every=True)
        everything: list[StoredSweep | StoredRun] = [found, *every]
        for each in everything:
            beat = locks.Beat.read(each.tags) if each.status == "RUNNING" else None
            if beat is not None and beat.is_alive(self.store.tracking, mine):
                raise busy(sweep_id, beat)
        self.parent_run_id, self._resumed = found.run_id, True
        results.tidy(results.folder_of(self.store.tracking.outputs, f"sweeps/{sweep_id}"))
        return read.counting(every)

    def resume_sweep(self, sweep_id: str, plan: Mapping[str, Any], need_bytes: int) -> None:
        """Replace the plan of the sweep's parent run and set it to RUNNING.

        Raises StoreBusyError if another command added grid points since the plan was read, and
        StoreError if less than `need_bytes` is free.
        """
        from sweep.tracking import locks, write

        store, run_id = self.store, self.parent_run_id
        probe_space(store.tracking.outputs, need_bytes)
        write.check_same_cells(store, sweep_id, plan)
        write.write_plan(store, run_id, plan)
        beat = locks.Beat.of(f"sweeps/{sweep_id}/lock", self.pid)
        store.call(lambda: store.client.set_tag(run_id, locks.HEARTBEAT, beat.to_json()))
        store.call(lambda: store.client.update_run(run_id, status="RUNNING"))
        self._keep_beating(run_id, beat)

    def join_sweep(self, tracking: Tracking, sweep_id: str) -> tuple[str, dict[str, Any]]:
        """Open the store in a job outside the driver's process; return parent run id and plan.

        Raises NotFoundError if the store has no sweep of this id.
        """
        from sweep.tracking import read

        self._open(tracking, 0, f"sweeps/{sweep_id}/job-{{cell}}.lock")
        found = read.find_sweep(self.store, sweep_id)
        self.parent_run_id = found.run_id
        return found.run_id, found.plan()

    def reusable(self, signatures: Collection[str]) -> dict[str, StoredRun]:
        """Return a finished run, of any sweep, for each signature that has one."""
        from sweep.tracking import read

        return read.finished_by_signature(self.store, signatures)

    def collect_runs(self, sweep_id: str, elsewhere: bool) -> tuple[StoredSweep, list[StoredRun]]:
        """Return the sweep and its runs, one per grid point.

        With `elsewhere`, jobs in other processes trained some of them and have ended: runs that
        they left open are closed.
        """
        from sweep.tracking import locks, read, write

        if elsewhere:
            for sentence in locks.recover(self.store):
                self.echo(sentence)
        sweep = read.find_sweep(self.store, sweep_id)
        self._collected = sweep, write.deduplicate_runs(self.store, sweep)
        return self._collected

    def save_views(self) -> None:
        """Save the views of the collected sweep in MLflow's UI."""
        from sweep.tracking import pages

        assert self._collected is not None
        with self._optional():
            self._links = pages.save_views(self.store, *self._collected)

    @contextmanager
    def _optional(self) -> Iterator[None]:
        """Report an error in one line and continue: the runs are stored."""
        try:
            yield
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self.echo(f"MLflow's page was not arranged ({text}); python -m sweep.ui does it.")

    def finish_sweep(
        self,
        status: str,
        totals: Mapping[str, float],
        text: str | None = None,
        report: Path | None = None,
    ) -> Mapping[str, str]:
        """Write the sweep's metrics, note and report, its status last; return its links.

        The note is made from `text`, a summary of the report. `totals` are the metrics if the
        runs were not collected.
        """
        from sweep.tracking import pages, write
        from sweep.tracking.question import question_of, totals_of

        note = None
        if self._collected is not None:
            sweep, runs = self._collected
            totals = totals_of(runs, question_of(sweep.plan()))
            if text is not None and self._links:
                with self._optional():
                    note = pages.describe(self.store, sweep, self._links, text, report)
        write.finish_sweep(self.store, self.parent_run_id, status, totals, note, report)
        return self._links
