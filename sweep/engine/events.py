"""One trajectory as the driver follows it, and the events of its training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sweep.engine.checkpoint import Checkpoint
from sweep.engine.plan import Cell, Trajectory
from sweep.training.history import CurvePart, History, Part, RunResult, Saved
from sweep.training.surroundings import Failure
from sweep.training.task import Item

__all__ = ["Charted", "Ended", "Event", "Failure", "Noted", "Printed", "Progressed", "Started"]

CHART_SECONDS = 3.0
KEEP_SECONDS = 20.0
"""Seconds between two updates of a curve in the store, and between two checkpoints."""


@dataclass(frozen=True)
class Started:
    """The first slice of a trajectory was submitted."""

    trajectory: Trajectory


@dataclass(frozen=True)
class Progressed:
    """Iterations were trained, each counted once."""

    iterations: int


@dataclass(frozen=True)
class Charted:
    """New curve points of cells that are still in training."""

    cells: tuple[Cell, ...]
    part: CurvePart


@dataclass(frozen=True)
class Noted:
    """A message for the user, one sentence."""

    sentence: str


@dataclass(frozen=True)
class Printed:
    """Lines that the training of a cell has printed."""

    cell: Cell
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """A run ended, with a result or a failure."""

    cell: Cell
    outcome: RunResult | Failure


Event = Started | Progressed | Charted | Noted | Printed | Ended


class Member:
    """A trajectory of a batch, and its results so far."""

    def __init__(
        self,
        trajectory: Trajectory,
        checkpoint: Checkpoint | None,
        max_seconds: float,
        environment: Callable[[Trajectory], Mapping[str, str]],
    ) -> None:
        self.trajectory = trajectory
        self._checkpoint, self._environment = checkpoint, environment
        self._open = list(trajectory.cells)
        found = checkpoint.load(trajectory.stops[0]) if checkpoint else None
        self._foreign = found if isinstance(found, str) else None
        saved, points = found if isinstance(found, tuple) else (None, None)
        self.history = History(trajectory.stops, saved, points)
        self._max_seconds = self.history.seconds + max_seconds
        self._line = ""  # printed without its end so far
        self._counted = 0
        self._charted_at = self._kept_at = 0.0

    def start(self) -> Iterator[Event]:
        """Yield the events of the first slice's submission."""
        self._charted_at = self._kept_at = time.monotonic()
        if self._foreign is not None:
            yield Noted(
                f"{self._open[-1].name} starts from step 0: its checkpoint was made on another "
                f"platform ({self._foreign})."
            )
        yield Started(self.trajectory)
        yield from self._count()

    def item(self) -> Item:
        one, history = self.trajectory, self.history
        cuts, environment = tuple(history.left), self._environment(one)
        return Item(one.spec, cuts, history.saved, self._max_seconds, environment)

    def take(self, parts: Sequence[Part], state: Saved | None) -> Iterator[Event]:
        """Append the parts of a slice at once; return the events."""
        if not self._open:
            return iter(())  # it has ended before others of its batch
        printed = "".join(part.printed for part in parts)
        return self._news(self.history.add(parts, state), printed, fresh=state is not None)

    def _news(self, results: Iterator[RunResult], printed: str, *, fresh: bool) -> Iterator[Event]:
        outcome = ""
        yield from self._print(printed, last=not self.history.left)
        yield from self._count()
        for result in results:
            outcome = result.outcome
            for cell in [cell for cell in self._open if cell.spec.iters == result.iters]:
                self._open.remove(cell)
                yield Ended(cell, result)
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
                yield Charted(tuple(self._open), new)

    def keep(self) -> None:
        """Write the last state to disk, if any, and rewind the curve to it."""
        saved = self.history.saved
        if self._checkpoint and saved is not None:
            self.history.rewind()
            self._checkpoint.save(saved, self.history.curve.kept)

    def fail(self, failure: Failure) -> Iterator[Event]:
        """End all open cells, each with what was printed until then."""
        yield from self._print(failure.printed, last=True)
        failure = replace(failure, printed=self.history.printed + failure.printed)
        cells, self._open = self._open, []
        self.history.left.clear()
        yield from (Ended(cell, failure) for cell in cells)

    def _count(self) -> Iterator[Event]:
        new = self.history.step - self._counted
        if new > 0:
            self._counted += new
            yield Progressed(new)

    def _print(self, text: str, *, last: bool) -> Iterator[Event]:
        """Yield the complete lines that were printed; at the end also what has no line end."""
        *lines, self._line = (self._line + text).split("\n")
        if self._line and last:
            lines, self._line = [*lines, self._line], ""
        if lines:
            yield Printed(self.trajectory.cells[-1], tuple(lines))
