"""What a sweep asks of its store, from its opening to its end.

Every method takes and returns plain values, for the ledger is usually kept by a process of
its own (see `recorder`). MLflow is loaded when the store is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.errors import RunGoneError
from sweep.tracking.ending import Ending
from sweep.tracking.messages import Recorded
from sweep.tracking.settings import Tracking
from sweep.tracking.stored import StoredRun, StoredSweep

if TYPE_CHECKING:
    from sweep.tracking.store import Store

__all__ = ["Ledger"]


class Ledger:
    """A sweep in its store, as one process keeps it.

    Parameters
    ----------
    say
        Told what the user should know while the store makes us wait.
    hurried
        True once the command was asked to end, so that no lock holds it up.
    """

    store: Store
    sweep_id: str
    parent_run_id: str

    def __init__(self, say: Callable[[str], None], hurried: Callable[[], bool]) -> None:
        self.say, self.hurried = say, hurried
        self._held = ExitStack()
        self._runs: dict[int, str] = {}
        self._cells: Mapping[int, Mapping[str, Any]] = {}
        self._gathered: tuple[StoredSweep, list[StoredRun]] | None = None
        self._links: dict[str, str] = {}

    def open(
        self, tracking: Tracking, need_bytes: int, sweep_id: str, parent_run_id: str | None
    ) -> tuple[str, list[str]]:
        """Open the store, bring it in order, claim the sweep.

        Returns
        -------
        The experiment's id, and a sentence for each thing that was brought in order.

        Parameters
        ----------
        need_bytes
            What is about to be written; checked against the free space.
        parent_run_id
            That of a sweep that is resumed; None for a new one.

        Raises
        ------
        StoreError
            The store cannot be used, or another process works on the sweep.
        """
        from sweep.tracking import leases, tending

        self._open(tracking, need_bytes)
        self._held.enter_context(leases.claim(self.store, sweep_id, parent_run_id))
        said = tending.tend(self.store, resumed=parent_run_id is not None)
        self.sweep_id = sweep_id
        return self.store.experiment_id, said

    def _open(self, tracking: Tracking, need_bytes: int = 0) -> None:
        from sweep.tracking.store import open_store

        self.store = open_store(tracking, mode="write", need_bytes=need_bytes, say=self.say)
        self.store.hurried = self.hurried

    def begin(self, plan: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Create the sweep's parent run with its plan; return its id."""
        from sweep.tracking import leases, parent

        self._cells = dict(enumerate(plan["cells"]))
        self.parent_run_id = parent.start_sweep(self.store, self.sweep_id, plan, tags)
        self._held.enter_context(leases.hold(self.store, self.parent_run_id))
        return self.parent_run_id

    def runs(self) -> list[StoredRun]:
        """Return the runs that the sweep has."""
        from sweep.tracking import read

        return read.sweep_runs(self.store, self.sweep_id)

    def resume(self, parent_run_id: str, plan: Mapping[str, Any], need_bytes: int) -> None:
        """Set the sweep's parent run RUNNING again, with its plan; `need_bytes` are to come.

        Raises
        ------
        StoreBusyError
            Between the reading of the plan and the claim another command added cells.
        StoreError
            There is less space.
        """
        from sweep.tracking import leases, parent, probe

        probe.probe_space(self.store.tracking.outputs, need_bytes)
        parent.check_same_cells(self.store, self.sweep_id, plan)
        self._cells = dict(enumerate(plan["cells"]))
        self.parent_run_id = parent_run_id
        parent.write_plan(self.store, parent_run_id, plan)
        parent.reopen_sweep(self.store, parent_run_id)
        self._held.enter_context(leases.hold(self.store, parent_run_id))

    def join(self, tracking: Tracking, sweep_id: str) -> dict[str, Any]:
        """Open the store beside the process that drives a sweep; return the sweep's plan.

        Raises
        ------
        NotFoundError
            The store holds no sweep of this id.
        """
        from sweep.tracking import leases, read

        self._open(tracking)
        found = read.find_sweep(self.store, sweep_id)
        self.sweep_id, self.parent_run_id = sweep_id, found.run_id
        self._held.enter_context(leases.hold(self.store, found.run_id, beside=True))
        plan = found.plan()
        self._cells = dict(enumerate(plan.get("cells", ())))
        return plan

    def reusable(self, signatures: Collection[str]) -> dict[str, StoredRun]:
        """Return for each signature a finished run that has it, of whatever sweep."""
        from sweep.tracking import reuse

        return reuse.finished_by_signature(self.store, signatures)

    def start(
        self, key: int, name: str, params: Mapping[str, str], tags: Mapping[str, str], later: bool
    ) -> None:
        """Begin a run of the sweep; see `write.start_run`."""
        from sweep.tracking.write import start_run

        sweep = {"sweep_id": self.sweep_id, "parent_run_id": self.parent_run_id}
        given: Any = {"name": name, "params": params, "tags": tags, "later": later, **sweep}
        self._runs[key] = start_run(self.store, **given)

    def run(self, key: int) -> tuple[str, str | None]:
        """Return the experiment's id and that of a begun run; see `write.created`."""
        from sweep.tracking.write import created

        return self.store.experiment_id, created(self.store, self._runs[key])

    def create_begun(self, after: float) -> None:
        """Create the runs that began `after` seconds ago or before; see `write.create_begun`."""
        from sweep.tracking import write

        if self._runs and not self.hurried():
            write.create_begun(self.store, after)

    def show(
        self,
        key: int,
        steps: npt.NDArray[np.int64],
        errors: npt.NDArray[np.float64],
        validation: npt.NDArray[np.float64] | None,
    ) -> None:
        """Show a part of the curve of a run that still trains; see `write.show`."""
        from sweep.errors import StoreError
        from sweep.tracking import write

        if self.hurried():
            return
        try:
            write.show(self.store, self._runs[key], steps, errors, validation)
        except StoreError:
            return  # nothing depends on it, and the end meets the same obstacle

    def record(self, key: int, ending: Ending) -> Recorded:
        """Store the end of a run, its status last; see `write.end`."""
        from sweep.tracking import write

        try:
            return Recorded(key, write.end(self.store, self._runs[key], ending))
        except RunGoneError as error:
            return Recorded(key, None, str(error))

    def kill_started(self) -> None:
        """Close every run that was started and has not ended as KILLED."""
        from sweep.tracking import write

        configs = {
            run: self._cells[key]["config"]
            for key, run in self._runs.items()
            if "config" in self._cells.get(key, {})
        }
        write.kill_running(self.store, self.sweep_id, configs)

    def deliver(self) -> None:
        """Wait until everything that this process was told is in the store.

        Raises
        ------
        StoreError
            A server does not answer; the results stay on disk, and `resume` delivers them.
        """
        from sweep.tracking import deliver

        deliver.await_delivery(self.store)

    def gather(self, told: int) -> tuple[StoredSweep, list[StoredRun], list[str]]:
        """Return the sweep and its runs.

        Parameters
        ----------
        told
            Of so many runs this process heard the end. Jobs in other processes have the
            others, and what they left open is closed, with a sentence for each thing: they
            have ended by now.
        """
        from sweep.tracking import parent, read, tending

        sweep, said = read.find_sweep(self.store, self.sweep_id), []
        if told < len(sweep.plan().get("cells", ())):
            said = tending.tend(self.store)
        self._gathered = sweep, parent.gather(self.store, sweep)
        return *self._gathered, said

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

    def finish(
        self,
        status: str,
        text: str | None = None,
        report: Path | None = None,
        totals: Mapping[str, float] | None = None,
    ) -> dict[str, str]:
        """Write the sweep's metrics, note and report, its status last; return its links.

        The note is made of `text`, what the report says in short. `totals` are the metrics
        where the runs were not gathered; None to count them now.
        """
        from sweep.tracking import pages, parent

        note = None
        if self._gathered is not None:
            sweep, runs = self._gathered
            totals = parent.totals_of(runs)
            if text is not None and self._links:
                with self._decorating():
                    note = pages.describe(self.store, sweep, self._links, text, report)
        parent.finish_sweep(
            self.store,
            self.parent_run_id,
            sweep_id=self.sweep_id,
            status=status,
            note=note,
            report_folder=report,
            totals=totals,
        )
        return self._links

    def leave(self, hurry: bool) -> None:
        """End the part of a job that joined: deliver what waits, close what is open."""
        from sweep.tracking import deliver

        self.kill_started()
        deliver.await_delivery(self.store, hurry=hurry)

    def close(self) -> None:
        """Give back the sweep, its lock and its lease, and close the store."""
        from sweep.tracking import database

        self._held.close()
        database.close_all()
