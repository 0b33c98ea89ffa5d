"""A sweep while it lives: what became of its cells so far, and the one place that records them."""

from __future__ import annotations

import logging
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sweep import console
from sweep.engine.checkpoint import checkpoint_name
from sweep.engine.plan import Cell, Plan
from sweep.engine.signals import StopRequest
from sweep.errors import RunFailed, RunGoneError, StoreError, StoreLost
from sweep.progress import ProgressDisplay
from sweep.report.colours import colour_scale
from sweep.settings import Settings
from sweep.spec import RunSpec

if TYPE_CHECKING:
    from sweep.engine.estimate import Estimate
    from sweep.tracking.read import StoredRun
    from sweep.tracking.store import Store
    from sweep.training import CurvePart, RunResult

__all__ = ["Failed", "Sweep", "platform_tags", "run_tags"]

log = logging.getLogger(__name__)
"""What it says goes to the sweep's log file, or to the job's where each has one."""


class Failed(NamedTuple):
    """A run that failed: its name, why in one line, and where the whole traceback is."""

    name: str
    sentence: str
    traceback: str


class Sweep:
    """A sweep while it lives: its plan, its place in the store, and what became of its cells."""

    def __init__(
        self,
        sweep_id: str,
        parent_run_id: str,
        plan: Plan,
        options: Settings,
        store: Store,
        stop: StopRequest,
    ) -> None:
        self.id = sweep_id
        self.parent_run_id = parent_run_id
        self.plan = plan
        self.options = options
        self.store = store
        self.stop = stop
        self.pending: tuple[Cell, ...] = plan.cells
        self.failures: list[Failed] = []
        self.estimate: Estimate | None = None
        self.finished = 0
        self.interrupted = 0
        self.lost = 0
        self.progress = ProgressDisplay(plan.iterations(), len(plan.cells))
        self._run_ids: dict[int, str] = {}
        self._colours = colour_scale(cell.spec.lr for cell in plan.cells)

    def leave_out(self, cells: Iterable[Cell]) -> None:
        """Count cells as finished and train the others alone."""
        done = {cell.index for cell in cells}
        self.finished += len(done)
        self.pending = tuple(cell for cell in self.pending if cell.index not in done)
        self.progress = ProgressDisplay(self.plan.iterations(self.pending), len(self.pending))

    def start(self, cell: Cell, reused_from: str | None = None) -> None:
        """Create the cell's run, status RUNNING, once."""
        from sweep.tracking import write

        if cell.index in self._run_ids:
            return
        try:
            self._run_ids[cell.index] = write.start_run(
                self.store,
                name=cell.name,
                params=cell.params(),
                tags=run_tags(cell.spec)
                | {"mlflow.runColor": self._colours[cell.spec.lr]}
                | ({"sweep.reused_from": reused_from} if reused_from else {}),
                sweep_id=self.id,
                parent_run_id=self.parent_run_id,
            )
        except StoreError as error:
            raise StoreLost(error) from error

    def checkpoint(self, spec: RunSpec) -> Path:
        """Return the file that a long training of this sweep is kept in while it goes on."""
        folder = self.options.outputs / "sweeps" / self.id / "checkpoints"
        return folder / checkpoint_name(spec)

    def show(self, cell: Cell, part: CurvePart) -> None:
        """Write what is known of the curve of a cell that still trains."""
        from sweep.tracking import write

        own = part.up_to(cell.spec.iters)
        with suppress(StoreError):  # nothing depends on it, and the end meets the same obstacle
            run_id = self._run_ids[cell.index]
            write.show(self.store, run_id, own.steps, own.errors, own.validation)

    def record(self, cell: Cell, result: RunResult) -> float | None:
        """Store a cell's result, the run's status last; return its final error."""
        from sweep.tracking import write

        self.start(cell)
        run_id = self._run_ids[cell.index]
        if not self._write(lambda: write.record(self.store, run_id, result, cell.spec.config)):
            self.lost += 1
            return result.final_error
        if result.outcome == "interrupted":
            self.interrupted += 1
        else:
            self.finished += 1
        log.info("%s %s, final error %r", cell.name, result.outcome, result.final_error)
        self.progress.run_ended(cell.name, result)
        return result.final_error

    def record_quietly(self, cell: Cell, result: RunResult) -> None:
        """Store the result of a run that nobody trained, without a word of progress."""
        from sweep.tracking import write

        run_id = self._run_ids[cell.index]
        self._write(lambda: write.record(self.store, run_id, result, cell.spec.config))

    def fail(self, cell: Cell, error: BaseException, text: str | None = None) -> None:
        """Store that a cell failed, with its traceback; the other cells go on."""
        from sweep.tracking import write

        self.start(cell)
        text = text or "".join(traceback.format_exception(error))
        run_id = self._run_ids[cell.index]
        self._write(lambda: write.fail(self.store, run_id, text, cell.spec.config))
        log.info("%s failed\n%s", cell.name, text)  # the terminal gets one line of it
        sentence = f"{type(error).__name__}: {error}".splitlines()[0]
        self.failures.append(Failed(cell.name, sentence, self._traceback_of(run_id)))
        self.progress.run_failed(cell.name, sentence)

    def _write(self, action: Callable[[], object]) -> bool:
        """Write to the store; return False, and say it, where the run was deleted meanwhile.

        Raises
        ------
        StoreLost
            The store can do nothing more: the sweep ends.
        """
        try:
            action()
        except RunGoneError as error:
            console.error(str(error))
            return False
        except StoreError as error:
            raise StoreLost(error) from error
        return True

    def learn(self, runs: Sequence[StoredRun]) -> None:
        """Take from the store what jobs in other processes recorded: it alone knows all."""
        told = Counter(failed.name for failed in self.failures)
        for run in runs:
            if run.status != "FAILED":
                continue
            if told[run.name]:
                told[run.name] -= 1
                continue
            lines = (run.traceback() or "no traceback").strip().splitlines()
            self.failures.append(Failed(run.name, lines[-1], self._traceback_of(run.run_id)))
        self.interrupted = max(self.interrupted, sum(run.status == "KILLED" for run in runs))
        ended = sum(run.status in ("FINISHED", "FAILED", "KILLED") for run in runs)
        self.lost = max(self.lost, len(self.plan.cells) - ended)

    def run(self, spec: RunSpec) -> float | None:
        """Train one cell alone and record it; what it raises is recorded and raised again."""
        from sweep.engine.work import Progress, TrajectoryWork
        from sweep.training import CurvePart

        if self.failed_fast:
            self.refuse()
        cell = self.plan.find(spec)
        assert cell is not None, "a job's configuration is not in the plan of its sweep"
        self.start(cell)
        results: list[RunResult] = []

        def emit(value: RunResult | Progress | CurvePart) -> None:
            if isinstance(value, Progress):
                self.progress.advance(value.iterations)
            elif isinstance(value, CurvePart):
                with self.stop.held():
                    self.show(cell, value)
            else:
                results.append(value)

        try:
            with self.stop.interruptible():
                work = TrajectoryWork(
                    spec, (spec.iters,), self.options.max_seconds, self.checkpoint(spec)
                )
                work(emit, self.stop)
        except Exception as error:
            self.fail(cell, error)
            raise
        self.stop.check()
        return self.record(cell, results[0])

    @property
    def failed_fast(self) -> bool:
        """Whether a run failed and none shall follow it."""
        return self.options.fail_fast and bool(self.failures)

    def refuse(self, *_: object) -> None:
        """Leave a run out after the first failure; it has no row in the store.

        Raises
        ------
        RunFailed
            Always.
        """
        raise RunFailed("Left out: an earlier run failed and fail_fast=true.")

    def _traceback_of(self, run_id: str) -> str:
        if self.options.tracking_kind == "local":
            folder = self.options.outputs / "artifacts" / run_id / "artifacts"
            return os.path.relpath(folder / "traceback.txt")
        return f"artifact traceback.txt of run {run_id}"

    @property
    def status(self) -> str:
        """The status of the parent run once every cell has ended."""
        if self.failures or self.lost:
            return "FAILED"
        return "KILLED" if self.interrupted else "FINISHED"

    def totals(self) -> dict[str, float] | None:
        """Return the sweep's metrics as this process knows them; None if other processes ran it."""
        if not self._run_ids:
            return None
        return {
            "runs_finished": float(self.finished),
            "runs_failed": float(len(self.failures)),
        }

    def kill_started(self) -> None:
        """Close every run that was started and has not ended as KILLED."""
        from sweep.tracking import write

        write.kill_running(self.store, self.id)


@cache
def platform_tags() -> Mapping[str, str]:
    """Return the tags that say on what kind of machine and with which versions a run trained."""
    import platform
    from importlib.metadata import version

    versions = {
        name: version(name) for name in ("numpy", "numba", "pandas", "mlflow", "hydra-core")
    }
    kind = [platform.machine(), platform.system(), f"Python {platform.python_version()}"]
    kind += [f"NumPy {versions['numpy']}", f"numba {versions['numba']}"]
    return {
        "sweep.platform": ", ".join(kind),
        "sweep.versions": ", ".join(f"{name} {text}" for name, text in versions.items()),
    }


def run_tags(spec: RunSpec) -> dict[str, str]:
    """Return the tags of a run that its specification determines."""
    return {"sweep.signature": spec.signature, **platform_tags()}
