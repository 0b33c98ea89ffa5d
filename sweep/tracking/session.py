"""The recorder's session: one sweep or single run, from opening its store to closing it.

Methods are called in order, usually in another process (see `recorder`), so they take and return
plain values. MLflow is loaded when the store is opened.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import StoreBusyError
from sweep.question import question_of, totals_of
from sweep.tracking import read, results
from sweep.tracking.entities import NOTE, NOTE_LENGTH, entity_name, short, short_lines, source_tags
from sweep.tracking.locks import HEARTBEAT, Beat, recover
from sweep.tracking.read import SUPERSEDED, StoredRun, StoredSweep
from sweep.tracking.results import RunRecord
from sweep.tracking.runs import RunWriter, busy, create_run
from sweep.tracking.settings import probe_space

if TYPE_CHECKING:
    from sweep.config.settings import Tracking
    from sweep.tracking.store import Store


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
        self._open(tracking, need_bytes, run_lock)
        return self.store.experiment_id, recover(self.store)

    def _open(self, tracking: Tracking, need_bytes: int, run_lock: str | None) -> None:
        from sweep.tracking.store import open_store

        self.store = open_store(tracking, mode="write", need_bytes=need_bytes)
        self.store.stopping = self.stopping
        self._run_lock, self._resumed = run_lock, run_lock is not None

    def close(self) -> None:
        """Release the locks and close the store."""
        from sweep.tracking import database

        self._held.close()
        database.close_all()

    def start_sweep(self, sweep_id: str, plan: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Create a new sweep's parent run with its plan; return the run's id."""
        beat = self._lock(f"sweeps/{sweep_id}/lock")
        tags = {**tags, HEARTBEAT: beat.to_json()}
        self.parent_run_id = create_sweep(self.store, sweep_id, plan, tags)
        self._keep_beating(self.parent_run_id, beat)
        return self.parent_run_id

    def lock_sweep(self, sweep_id: str) -> list[StoredRun]:
        """Lock a stored sweep and return its runs.

        Raises StoreBusyError, naming the owner, if another process works on it.
        """
        mine = self._lock(f"sweeps/{sweep_id}/lock").lock
        found = read.find_sweep(self.store, sweep_id)
        every = read.sweep_runs(self.store, sweep_id, every=True)
        everything: list[StoredSweep | StoredRun] = [found, *every]
        for one in everything:
            beat = Beat.read(one.tags) if one.status == "RUNNING" else None
            if beat is not None and beat.is_alive(self.store.tracking, mine):
                raise busy(sweep_id, beat)
        self.parent_run_id, self._resumed = found.run_id, True
        folder = results.folder_of(self.store.tracking.outputs, f"sweeps/{sweep_id}")
        for part in folder.glob(".*.part"):  # of killed processes: no other one writes now
            shutil.rmtree(part, ignore_errors=True)
        return read.counting(every)

    def resume_sweep(self, sweep_id: str, plan: Mapping[str, Any], need_bytes: int) -> None:
        """Replace the plan of the sweep's parent run and set it to RUNNING.

        Raises StoreBusyError if another command added grid points since the plan was read, and
        StoreError if less than `need_bytes` is free.
        """
        store, run_id = self.store, self.parent_run_id
        probe_space(store.tracking.outputs, need_bytes)
        check_same_cells(store, sweep_id, plan)
        write_plan(store, run_id, plan)
        beat = Beat.of(f"sweeps/{sweep_id}/lock", self.pid)
        store.call(store.client.set_tag, run_id, HEARTBEAT, beat.to_json())
        store.call(store.client.update_run, run_id, status="RUNNING")
        self._keep_beating(run_id, beat)

    def join_sweep(self, tracking: Tracking, sweep_id: str) -> tuple[str, str, dict[str, Any]]:
        """Open the store in a job outside the driver's process.

        Return the experiment's id, the parent run's id and the plan.
        Raises NotFoundError if the store has no sweep of this id.
        """
        self._open(tracking, 0, f"sweeps/{sweep_id}/job-{{cell}}.lock")
        found = read.find_sweep(self.store, sweep_id)
        self.parent_run_id = found.run_id
        return self.store.experiment_id, found.run_id, found.plan()

    def reusable(self, signatures: Collection[str]) -> dict[str, StoredRun]:
        """Return a finished run, of any sweep, for each signature that has one."""
        return read.finished_by_signature(self.store, signatures)

    def collect_runs(self, sweep_id: str, elsewhere: bool) -> tuple[StoredSweep, list[StoredRun]]:
        """Return the sweep and its runs, one per grid point.

        With `elsewhere`, jobs in other processes trained some of them and have ended: runs that
        they left open are closed.
        """
        if elsewhere:
            for sentence in recover(self.store):
                self.store.echo(sentence)
        sweep = read.find_sweep(self.store, sweep_id)
        runs = deduplicate_runs(self.store, sweep)
        self._collected = read.with_deleted(self.store, sweep, runs), runs
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
            self.store.echo(f"MLflow's page was not arranged ({text}); python -m sweep.ui does it.")

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
        from sweep.tracking import pages

        note = None
        if self._collected is not None:
            sweep, runs = self._collected
            totals = totals_of(runs, question_of(sweep.plan(strict=False)))
            if text is not None and self._links:
                with self._optional():
                    note = pages.describe(self.store, sweep, self._links, text, report)
        end_sweep(self.store, self.parent_run_id, status, totals, note, report)
        return self._links


def create_sweep(
    store: Store, sweep_id: str, plan: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    """Create a sweep's parent run with its plan, before its runs; return the run's id."""
    newest = read.first(store, read.SWEEPS, *read.NEWEST)
    last = newest.data.tags.get("sweep.sequence", "") if newest else ""
    sequence = f"{int(last) + 1 if last.isdecimal() else 1:08d}"  # sorts as text
    ours = {"sweep.role": "sweep", "sweep.id": sweep_id, "sweep.sequence": sequence}
    ours = {**tags, **ours, **source_tags()}
    run_id = create_run(store, RunRecord(store.tracking.name, 0, sweep_id, {}, ours, _now()))
    write_plan(store, run_id, plan)
    return run_id


def check_same_cells(store: Store, sweep_id: str, plan: Mapping[str, Any]) -> None:
    """Raise StoreBusyError if another command added grid points after the plan was read."""
    stored = read.find_sweep(store, sweep_id).plan().get("cells", ())
    ours = [cell["config"] for cell in plan["cells"][: len(stored)]]
    if [cell["config"] for cell in stored] != ours:
        raise StoreBusyError(
            f"Sweep {sweep_id} got other cells from another command meanwhile; run the command "
            "again."
        )


def write_plan(store: Store, parent_run_id: str, plan: Mapping[str, Any]) -> None:
    """Write or replace a sweep's ``plan.json``, number of runs, name, tags and note."""
    text = json.dumps(plan, allow_nan=False, ensure_ascii=False)
    files = {"plan.json": text.encode("utf-8", "backslashreplace")}
    store.call(store.artifacts.copy, parent_run_id, files)
    about = plan.get("about", {})
    tags = {entity_name(key): short(value) for key, value in about.get("tags", {}).items()}
    if "name" in about:
        tags[read.NAME] = about["name"]
    if "note" in about:
        tags[NOTE] = short_lines(about["note"], NOTE_LENGTH)
    total = float(len(plan.get("cells", ())))
    store.log(parent_run_id, [("runs_total", total, _now(), 0)], tags=tags)


def end_sweep(
    store: Store,
    parent_run_id: str,
    status: str,
    totals: Mapping[str, float],
    note: str | None = None,
    report_folder: Path | None = None,
) -> None:
    """Write a sweep's metrics, note and report, then its status.

    `status` is FINISHED, FAILED or KILLED, `note` is Markdown for MLflow's UI. The files of
    `report_folder` become the artifacts ``report/…``.
    """
    if report_folder is not None:
        files = {
            f"report/{path.relative_to(report_folder).as_posix()}": path.read_bytes()
            for path in sorted(report_folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")  # being written by another command
        }
        store.call(store.artifacts.copy, parent_run_id, files)
    values = [(key, value, _now(), 0) for key, value in totals.items()]
    tags = {NOTE: short_lines(note, NOTE_LENGTH)} if note else {}
    store.log(parent_run_id, values, tags=tags)
    store.call(store.client.set_terminated, parent_run_id, status)


def deduplicate_runs(store: Store, sweep: StoredSweep) -> list[StoredRun]:
    """Return a sweep's runs, one per grid point, and tag the other attempts as superseded."""
    every = read.sweep_runs(store, sweep.sweep_id, every=True)
    runs = read.counting(every)
    kept = {run.cell: run.run_id for run in runs}
    for run in every:
        other = run.run_id != kept[run.cell]
        if other and SUPERSEDED not in run.tags and run.status != "RUNNING":
            store.call(store.client.set_tag, run.run_id, SUPERSEDED, kept[run.cell])
    return runs


def _now() -> int:
    return time.time_ns() // 1_000_000
