"""A running sweep: its grid points, their outcomes, and their training."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sweep import console
from sweep.config.settings import Settings
from sweep.config.spec import RunSpec
from sweep.engine.batches import batches
from sweep.engine.checkpoint import Checkpoint, checkpoint_name
from sweep.engine.driver import Ended
from sweep.engine.executors import create
from sweep.engine.listener import Outcome, failure_of
from sweep.engine.plan import Cell, Plan
from sweep.engine.recording import Recording
from sweep.engine.signals import StopRequest
from sweep.errors import ConfigError, StoreError, StoreLost, SweepError
from sweep.progress import ProgressDisplay
from sweep.question import POINT
from sweep.report.colours import colour_scale
from sweep.tracking import results
from sweep.tracking.entities import platform_tags
from sweep.training.surroundings import Failure

if TYPE_CHECKING:
    from sweep.engine.estimate import Estimate
    from sweep.tracking.read import StoredRun
    from sweep.tracking.recorder import Recorder
    from sweep.tracking.runs import Finished

log = logging.getLogger(__name__)  # writes to the log file of the sweep or of the job


class Failed(NamedTuple):
    """A failed run."""

    name: str
    sentence: str  # the reason, in one line
    traceback: str  # its location


class Sweep(Recording):
    """A running sweep."""

    parent_run_id: str

    def __init__(
        self, sweep_id: str, plan: Plan, options: Settings, recorder: Recorder, stop: StopRequest
    ) -> None:
        super().__init__(options, f"sweeps/{sweep_id}", recorder, stop)
        self.plan = plan
        self.estimate: Estimate | None = None
        self.ended: dict[int, str] = {}  # grid point -> MLflow's status of its run
        self.earlier: set[tuple[str, str]] = set()  # id and status of runs of earlier commands
        self.lost = 0  # runs that were deleted, or never begun
        self.left_over = self.cut_off = 0  # at the end of the budget: without a result, and begun
        self.launched = 0  # as jobs, which may record their runs elsewhere
        self.began, self._began_in = time.monotonic(), os.getcwd()
        self.failed: dict[int, Failed] = {}  # by grid point, in the order of failure
        self._colours = colour_scale(cell.spec.lr for cell in plan.cells)
        self._train_only(plan.cells)

    def _train_only(self, cells: Iterable[Cell]) -> None:
        self.pending = tuple(cells)
        self.progress = ProgressDisplay(self.plan.iterations(self.pending), len(self.pending))

    def leave_out(self, cells: Iterable[Cell]) -> None:
        """Count grid points as finished and remove them from `pending`."""
        done = {cell.index for cell in cells}
        self.ended |= dict.fromkeys(done, "FINISHED")
        self._train_only(cell for cell in self.pending if cell.index not in done)

    def keep_to_budget(self) -> None:
        """Reduce `pending` to the number of runs in the budget."""
        most = self.options.budget.runs
        if most is not None and len(self.pending) > most:
            self.left_over = len(self.pending) - most
            self._train_only(self.pending[:most])

    @property
    def out_of_time(self) -> bool:
        """Whether the seconds of the budget are over."""
        seconds = self.options.budget.seconds
        return seconds is not None and time.monotonic() - self.began >= seconds

    def within_budget(self, batches: Iterable[Sequence[Cell]]) -> Iterator[Sequence[Cell]]:
        """Yield batches of jobs to launch, until the seconds of the budget are over."""
        for batch in batches:
            if self.out_of_time:
                return
            self.launched += len(batch)
            yield batch

    def end_budget(self) -> None:
        """Count the grid points without a result, and close the running ones as KILLED."""
        self.cut_off = len(self._begun)
        begun = max(self.launched, self.progress.ended + self.cut_off)
        self.left_over += len(self.pending) - begun + self.cut_off
        self.interrupt()

    def tags(self, cell: Cell) -> dict[str, str]:
        return super().tags(cell) | {
            "sweep.id": self.id,
            "sweep.cell": str(cell.index),
            "mlflow.parentRunId": self.parent_run_id,
            "mlflow.runColor": self._colours[cell.spec.lr],
            POINT: self.plan.point(cell),
        }

    def checkpoint(self, spec: RunSpec) -> Checkpoint:
        folder = self.folder.parent / "checkpoints"
        return Checkpoint(folder / checkpoint_name(spec), platform_tags()["sweep.platform"])

    def may_begin(self) -> bool:
        return not self.failed_fast

    def goes_on(self) -> bool:
        self.stop.check()
        self.poll()
        return not self.out_of_time

    def record(self, cell: Cell, outcome: Outcome) -> float | None:
        """Write a run's result file for the recorder; return its final error, if any.

        Raises StoreError if the disk is full or the store cannot be written any more.
        """
        self.start(cell)
        path = self.finish(cell, outcome)
        final_error, how = None, "failed"
        if isinstance(outcome, Failure):
            log.info("%s failed\n%s", cell.name, outcome.traceback or outcome.sentence)
        else:
            final_error, how = outcome.final_error, outcome.outcome
            log.info("%s %s, final error %r", cell.name, outcome.outcome, final_error)
            if outcome.failure is None:
                self.progress.run_ended(cell.name, outcome)
        if (failure := failure_of(outcome)) is not None:
            self.failed[cell.index] = Failed(cell.name, failure.sentence, str(path))
            self.progress.run_failed(cell.name, failure.sentence)
        self.ended[cell.index] = results.STATUS[how]
        self.poll()
        return final_error

    def on_finished(self, one: Finished) -> None:
        super().on_finished(one)
        if one.state == "gone":
            console.error(one.problem)
            self.lost += 1
            self.ended.pop(one.cell, None)

    def learn(self, runs: Sequence[StoredRun]) -> None:
        """Take the outcomes from the stored `runs`; jobs in other processes may have made them."""
        for run in runs:
            if run.status == "FAILED":
                where = self._traceback_of(run.run_id)
                if (known := self.failed.get(run.cell)) is None:
                    lines = (run.traceback() or "no traceback").strip().splitlines()
                    known = Failed(run.name, lines[-1], where)
                self.failed[run.cell] = known._replace(traceback=where)
        self.ended = {
            run.cell: run.status
            for run in runs
            if run.status != "RUNNING" and (run.run_id, run.status) not in self.earlier
        }
        unasked = self.left_over - self.cut_off
        self.lost = max(0, len(self.plan.cells) - len(self.ended) - unasked)

    def _traceback_of(self, run_id: str) -> str:
        if self.options.tracking.kind == "local":
            folder = self.options.outputs / "artifacts" / run_id / "artifacts"
            return os.path.relpath(folder / "traceback.txt", self._began_in)  # jobs may chdir
        return f"artifact traceback.txt of run {run_id}"

    def count(self, status: str) -> int:
        """Return the number of grid points whose run ended with this status."""
        return list(self.ended.values()).count(status)

    @property
    def failed_fast(self) -> bool:
        """Whether a run failed and `fail_fast` is set."""
        return self.options.fail_fast and bool(self.failed)

    @property
    def status(self) -> str:
        """The final status of the parent run."""
        if self.failed or self.lost:
            return "FAILED"
        return "KILLED" if self.count("KILLED") or self.left_over else "FINISHED"

    @property
    def well(self) -> bool:
        """Whether no run failed, was lost, or was interrupted except by the budget."""
        return self.status != "FAILED" and self.count("KILLED") <= self.cut_off

    def totals(self) -> dict[str, float]:
        """Return the metrics of the parent run that are counted in this process."""
        return {
            "runs_finished": float(self.count("FINISHED")),
            "runs_failed": float(self.count("FAILED")),
        }


def execute(sweep: Sweep, launcher: Mapping[str, Any]) -> Iterator[Ended]:
    """Train the pending grid points; yield each with its result or failure as it ends.

    The settings in `launcher` are ``backend``, ``workers`` and ``options``. Raises Interrupted or
    SweepError as `Recording.train` does; the executor is closed by then.
    """
    safe = all(cell.spec.trainer.thread_safe for cell in sweep.pending)
    name, workers, options = launcher["backend"], launcher["workers"], launcher["options"]
    try:
        executor = create(str(name), workers, options, thread_safe=safe)
    except ConfigError as error:  # it was valid when the sweep began: no exit code 2
        message = str(error).removesuffix(".")
        raise SweepError(f"{message}; then finish the sweep with resume=last.") from error
    with executor:
        trajectories = sweep.plan.trajectories(sweep.pending)
        yield from sweep.train(batches(trajectories, executor.room()), executor)


@contextmanager
def store_needed() -> Iterator[None]:
    """Convert StoreError to StoreLost, which launchers do not handle as a failed job."""
    try:
        yield
    except StoreError as error:
        raise StoreLost(error) from error
