"""The state of one trajectory in the driver, and the callbacks that report its progress."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sweep import console
from sweep.config.spec import RunSpec
from sweep.engine.checkpoint import Checkpoint
from sweep.engine.plan import Cell, Trajectory
from sweep.training.curve import CurveSlice
from sweep.training.history import History, RunResult
from sweep.training.surroundings import Failure
from sweep.training.task import Item, Part

CHART_SECONDS = 3.0
KEEP_SECONDS = 20.0
"""Seconds between two updates of a curve in the store, and between two checkpoints."""

Outcome = RunResult | Failure


def failure_of(outcome: Outcome) -> Failure | None:
    """Return why a run failed; None if it did not."""
    return outcome if isinstance(outcome, Failure) else outcome.failure


class Listener:
    """Callbacks and settings of a driver; by default without checkpoints and output."""

    def checkpoint(self, spec: RunSpec) -> Checkpoint | None:
        """Return the checkpoint file of a trajectory; None for no checkpoints."""
        return None

    def environment(self, trajectory: Trajectory) -> Mapping[str, str] | None:
        """Return the environment variables of a trajectory's training.

        None if they are not known yet; asked again about every `driver.TICK`.
        """
        return {}

    def may_begin(self) -> bool:
        """Return whether waiting trajectories may begin."""
        return True

    def started(self, trajectory: Trajectory) -> None:
        """Called when the first slice of a trajectory was submitted."""

    def progressed(self, iterations: int) -> None:
        """Called with a number of trained iterations, each counted once."""

    def charted(self, cell: Cell, part: CurveSlice) -> None:
        """Called with new curve points of the trajectory's next run to end."""

    def printed(self, cell: Cell, lines: Sequence[str]) -> None:
        """Called with lines that the trajectory of `cell`, its longest run, has printed."""


class BatchItem:
    """A trajectory of a batch, and its unfinished grid points; `max_seconds` may be infinite."""

    def __init__(self, trajectory: Trajectory, listener: Listener, max_seconds: float) -> None:
        self.trajectory = trajectory
        self._listener = listener
        self._open = list(trajectory.cells)
        self._checkpoint = listener.checkpoint(trajectory.spec)
        found = self._checkpoint.load(trajectory.stops[0]) if self._checkpoint else None
        self._foreign = found if isinstance(found, str) else None
        saved, points = found if isinstance(found, tuple) else (None, None)
        self.history = History(trajectory.stops, saved, points)
        self._max_seconds = self.history.seconds + max_seconds
        self._line = ""  # printed so far without a line end
        self._counted = 0
        self._environment: Mapping[str, str] | None = None
        self._charted_at = self._kept_at = 0.0

    def start(self) -> None:
        """Report the submission of the first slice."""
        self._charted_at = self._kept_at = time.monotonic()
        if self._foreign is not None:
            console.echo(
                f"{self._open[-1].name} starts from step 0: its checkpoint was made on another "
                f"platform ({self._foreign})."
            )
        self._listener.started(self.trajectory)
        self._count()

    def ready(self) -> bool:
        """Return whether the training may be submitted."""
        self._environment = self._listener.environment(self.trajectory)
        return self._environment is not None

    def task_item(self) -> Item:
        spec, history = self.trajectory.spec, self.history
        cuts, variables = tuple(history.left), self._environment or {}
        return Item(spec, cuts, history.saved, self._max_seconds, variables)

    def take(self, part: Part) -> Iterator[tuple[Cell, Outcome]]:
        """Append a part at once; return an iterator over the runs that ended in it."""
        if not self._open:
            return iter(())  # it ended before others of its batch
        printed = "".join(one.printed for one in part.snapshots) + part.printed
        return self._report(self.history.add(part), printed, fresh=part.state is not None)

    def _report(
        self, results: Iterator[RunResult], printed: str, *, fresh: bool
    ) -> Iterator[tuple[Cell, Outcome]]:
        outcome = ""
        self._print(printed, last=not self.history.left)
        self._count()
        for result in results:
            outcome = result.outcome
            for cell in [cell for cell in self._open if cell.spec.iters == result.iters]:
                self._open.remove(cell)
                yield cell, result
        now = time.monotonic()
        if not self.history.left and outcome != "interrupted":
            if self._checkpoint:
                self._checkpoint.remove()
        elif fresh and (not self._open or now - self._kept_at >= KEEP_SECONDS):
            self._kept_at = now
            self.keep()
        if self._open and now - self._charted_at >= CHART_SECONDS:
            self._charted_at = now
            if new := self.history.charted():
                cell = self._open[0]
                self._listener.charted(cell, new.at(new.steps <= cell.spec.iters))

    def keep(self) -> None:
        """Write the last state to disk, if any, and rewind the curve to it."""
        saved = self.history.saved
        if self._checkpoint and saved is not None:
            self.history.rewind()
            self._checkpoint.save(saved, self.history.curve)

    def fail(self, failure: Failure) -> Iterator[tuple[Cell, Outcome]]:
        """End all open runs with `failure`, to which the trajectory's earlier output is added."""
        self._print(failure.printed, last=True)
        failure = replace(failure, printed=self.history.printed + failure.printed)
        cells, self._open = self._open, []
        self.history.left.clear()
        for cell in cells:
            yield cell, replace(failure, trained=self.history.unfinished(cell.spec.iters))

    def _count(self) -> None:
        new = self.history.step - self._counted
        if new > 0:
            self._counted += new
            self._listener.progressed(new)

    def _print(self, text: str, *, last: bool) -> None:
        """Report complete lines; if `last`, also an incomplete one."""
        *lines, self._line = (self._line + text).split("\n")
        if self._line and last:
            lines, self._line = [*lines, self._line], ""
        if lines:
            self._listener.printed(self.trajectory.cells[-1], lines)
