"""A sweep while it lives: what became of its cells so far, and the one place that records them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sweep import console
from sweep.config.settings import Settings
from sweep.config.spec import RunSpec
from sweep.engine.checkpoint import Checkpoint, checkpoint_name
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.engine.runs import Runs
from sweep.engine.signals import StopRequest
from sweep.errors import StoreError, StoreLost
from sweep.progress import ProgressDisplay
from sweep.report.colours import colour_scale
from sweep.tracking import results
from sweep.tracking.entities import platform_tags, run_tags
from sweep.tracking.question import POINT
from sweep.tracking.settings import from_options

if TYPE_CHECKING:
    from sweep.engine.estimate import Estimate
    from sweep.tracking.recorder import Recorder
    from sweep.tracking.runs import Finished
    from sweep.tracking.stored import StoredRun
    from sweep.training.curve import CurveSlice
    from sweep.training.history import RunResult
    from sweep.training.task import Failure

__all__ = ["Failed", "Sweep"]

log = logging.getLogger(__name__)
"""What it says goes to the sweep's log file, or to the job's where each has one."""


class Failed(NamedTuple):
    """A run that failed: its name, why in one line, and where the whole traceback is."""

    name: str
    sentence: str
    traceback: str


class Sweep:
    """A sweep while it lives: its plan, its place in the store, and what became of its cells."""

    parent_run_id: str

    def __init__(
        self,
        sweep_id: str,
        plan: Plan,
        options: Settings,
        recorder: Recorder,
        stop: StopRequest,
    ) -> None:
        self.id = sweep_id
        self.plan = plan
        self.options = options
        self.recorder = recorder
        self.stop = stop
        tracking = from_options(options)
        self._store = tracking.name
        self.runs = Runs(recorder, tracking, f"sweeps/{sweep_id}", stop, self._on_finished)
        self.pending: tuple[Cell, ...] = plan.cells
        self.estimate: Estimate | None = None
        self.finished = 0
        self.interrupted = 0
        self.lost = 0
        self.run_pages = ""
        self.left_over = 0
        self.cut_off = 0
        self._began = time.monotonic()
        self._began_in = os.getcwd()
        self.progress = ProgressDisplay(plan.iterations(), len(plan.cells))
        self._started: set[int] = set()
        self._ended: set[int] = set()
        self._failed: dict[int, Failed] = {}
        self._damaged: set[int] = set()
        self._colours = colour_scale(cell.spec.lr for cell in plan.cells)

    @property
    def failures(self) -> list[Failed]:
        """The runs that failed, in the order in which they did."""
        return list(self._failed.values())

    def leave_out(self, cells: Iterable[Cell]) -> None:
        """Count cells as finished and train the others alone."""
        done = {cell.index for cell in cells}
        self.finished += len(done)
        self.pending = tuple(cell for cell in self.pending if cell.index not in done)
        self.progress = ProgressDisplay(self.plan.iterations(self.pending), len(self.pending))

    def keep_to_budget(self) -> None:
        """Train the first of the cells that are left alone, as many as the budget has runs."""
        left = self.pending[self.options.budget_runs :] if self.options.budget_runs else ()
        self.left_over = len(left)
        if left:
            self.pending = self.pending[: self.options.budget_runs]
            self.progress = ProgressDisplay(self.plan.iterations(self.pending), len(self.pending))

    @property
    def spent(self) -> bool:
        """Whether the budget's seconds are over."""
        seconds = self.options.budget_seconds
        return seconds is not None and time.monotonic() - self._began >= seconds

    def count_left_over(self) -> None:
        """Count the cells that the end of the budget left out, and those that it cut off."""
        self.cut_off = len(self._started - self._ended)
        self.left_over += len({cell.index for cell in self.pending} - self._ended)

    def take_results(self) -> list[Cell]:
        """Store the result files that an earlier command left; return those pending until now.

        One that is not whole, or of an attempt that did not finish, is removed. One whose run is
        finished already goes the same way: the store finds that run and drops the file.
        """
        taken = {}
        left = results.waiting(self.runs.folder)
        for cell in self.plan.cells:
            path = left.get(cell.index)
            record = results.read(path) if path is not None else None
            if path is None or (record is not None and record.store != self._store):
                continue
            wanted = (self.id, cell.signature, "FINISHED")
            if record is not None and wanted == (
                record.sweep_id,
                record.tags.get("sweep.signature"),
                record.status,
            ):
                taken[cell.index] = path
            else:
                results.remove(path)
        self.runs.adopt(taken)
        with self._store_needed():
            self.runs.settle()
        done = taken.keys() - self._damaged
        return [cell for cell in self.pending if cell.index in done]

    def start(self, cell: Cell, reused_from: str | None = None) -> None:
        """Begin the cell's run, once."""
        if self.runs.started(cell):
            return
        self._started.add(cell.index)
        tags = run_tags(cell.spec) | {
            "sweep.id": self.id,
            "sweep.cell": str(cell.index),
            "mlflow.parentRunId": self.parent_run_id,
            "mlflow.runColor": self._colours[cell.spec.lr],
        }
        point = self.plan.point(cell)
        if point is not None:
            tags[POINT] = point
        if reused_from is not None:
            tags["sweep.reused_from"] = reused_from
        self.runs.start(cell, tags)

    def environment(self, trajectory: Trajectory) -> Mapping[str, str]:
        """Return the variables that a trajectory finds; see `Runs.environment`."""
        if trajectory.spec.trainer.built_in:
            return {}
        self.start(trajectory.cells[-1])
        with self._store_needed():
            return self.runs.environment(trajectory)

    def checkpoint(self, spec: RunSpec) -> Checkpoint:
        """Return the file of the last state of a training of this sweep."""
        folder = self.options.outputs / "sweeps" / self.id / "checkpoints"
        return Checkpoint(folder / checkpoint_name(spec), platform_tags()["sweep.platform"])

    def show(self, cell: Cell, part: CurveSlice) -> None:
        """Write what is known of the curve of a cell that still trains."""
        with self._store_needed():
            self.runs.show(cell, part.at(part.steps <= cell.spec.iters))

    def record(self, cell: Cell, result: RunResult, *, quietly: bool = False) -> float | None:
        """Have a cell's result stored, the run's status last; return its final error.

        Parameters
        ----------
        quietly
            Nobody trained the run: not a word of it to the user.
        """
        self.start(cell)
        self._ended.add(cell.index)
        log.info("%s %s, final error %r", cell.name, result.outcome, result.final_error)
        with self._store_needed():
            content = results.completed(result, cell.spec.config, cell.spec.preparation)
            path = self.runs.finish(cell, content)
        if result.failure is not None:
            self._failed[cell.index] = Failed(cell.name, result.failure.sentence, str(path))
            self.progress.run_failed(cell.name, result.failure.sentence)
        elif not quietly:
            interrupted = result.outcome == "interrupted"
            self.interrupted += interrupted
            self.finished += not interrupted
            self.progress.run_ended(cell.name, result)
        self.poll()
        return result.final_error

    def poll(self) -> None:
        """Take what the store has now, and have it take more.

        Raises
        ------
        StoreLost
            The store can do nothing more: the sweep ends.
        """
        with self._store_needed():
            self.runs.poll()

    def settle(self) -> None:
        """Wait until the store has every run that has ended."""
        with self._store_needed():
            self.runs.settle()

    def _on_finished(self, one: Finished) -> None:
        if one.state == "damaged":
            self._damaged.add(one.cell)
        elif one.state == "gone":
            console.error(one.problem)
            self.lost += 1
            self.finished -= 1
        elif one.cell in self._failed:
            failed = self._failed[one.cell]
            self._failed[one.cell] = failed._replace(traceback=self._traceback_of(one.run_id))

    def fail(self, cell: Cell, failed: Failure) -> None:
        """Store that a cell failed, with its traceback; the other cells go on."""
        self.start(cell)
        self._ended.add(cell.index)
        text = failed.traceback or failed.sentence
        with self._store_needed():
            content = results.failed(text, cell.spec.config, failed.printed)
            path = self.runs.finish(cell, content)
        log.info("%s failed\n%s", cell.name, text)  # the terminal gets one line of it
        self._failed[cell.index] = Failed(cell.name, failed.sentence, str(path))
        self.progress.run_failed(cell.name, failed.sentence)
        self.poll()

    @contextmanager
    def _store_needed(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            raise StoreLost(error) from error

    def learn(self, runs: Sequence[StoredRun]) -> None:
        """Take from the store what jobs in other processes recorded: it alone knows all."""
        for run in runs:
            if run.status == "FAILED" and run.cell not in self._failed:
                lines = (run.traceback() or "no traceback").strip().splitlines()
                where = self._traceback_of(run.run_id)
                self._failed[run.cell] = Failed(run.name, lines[-1], where)
        self.interrupted = max(self.interrupted, sum(run.status == "KILLED" for run in runs))
        ended = sum(run.status in ("FINISHED", "FAILED", "KILLED") for run in runs)
        unasked = self.left_over - self.cut_off
        self.lost = max(self.lost, len(self.plan.cells) - ended - unasked)

    @property
    def failed_fast(self) -> bool:
        """Whether a run failed and none shall follow it."""
        return self.options.fail_fast and bool(self.failures)

    def _traceback_of(self, run_id: str) -> str:
        if self.options.tracking_kind == "local":
            folder = self.options.outputs / "artifacts" / run_id / "artifacts"
            return os.path.relpath(folder / "traceback.txt", self._began_in)  # jobs may chdir
        return f"artifact traceback.txt of run {run_id}"

    @property
    def status(self) -> str:
        """The status of the parent run once every cell has ended."""
        if self.failures or self.lost:
            return "FAILED"
        return "KILLED" if self.interrupted or self.left_over else "FINISHED"

    @property
    def well(self) -> bool:
        """Whether all ended as it should; what a budget left out is no mistake."""
        return self.status != "FAILED" and self.interrupted <= self.cut_off

    @property
    def known(self) -> int:
        """Of how many cells this process knows what became of them."""
        return self.finished + self.interrupted + self.lost + len(self.failures)

    def totals(self) -> dict[str, float]:
        """Return the sweep's metrics as this process knows them."""
        return {
            "runs_finished": float(self.finished),
            "runs_failed": float(len(self._failed)),
        }
