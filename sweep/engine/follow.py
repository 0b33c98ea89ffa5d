"""One trajectory as the driver follows it: its results so far, and what is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from sweep.engine.checkpoint import Checkpoint
from sweep.engine.events import Charted, Ended, Event, Failure, Noted, Printed, Progressed, Started
from sweep.engine.plan import Trajectory
from sweep.training.history import History, RunResult
from sweep.training.task import Item, Part, Saved

__all__ = ["Member"]

CHART_SECONDS = 3.0
KEEP_SECONDS = 20.0
"""Seconds between two updates of a curve in the store, and between two checkpoints."""


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
        self.checkpoint = checkpoint
        self.environment = environment
        self.open = list(trajectory.cells)
        found = checkpoint.load(trajectory.stops[0]) if checkpoint else None
        self.foreign = found if isinstance(found, str) else None
        saved, points = found if isinstance(found, tuple) else (None, None)
        self.history = History(trajectory.stops, saved, points)
        self.max_seconds = self.history.seconds + max_seconds
        self._line = ""  # printed without its end so far
        self._counted = 0
        self._charted_at = self._kept_at = 0.0

    def start(self) -> Iterator[Event]:
        """Yield the events of the first slice's submission."""
        self._charted_at = self._kept_at = time.monotonic()
        if self.foreign is not None:
            yield Noted(
                f"{self.open[-1].name} starts from step 0: its checkpoint was made on another "
                f"platform ({self.foreign})."
            )
        yield Started(self.trajectory)
        yield from self._count(self.history.step)

    def item(self) -> Item:
        history = self.history
        spec, cuts = self.trajectory.spec, tuple(history.left)
        return Item(spec, cuts, history.saved, self.max_seconds, self.environment(self.trajectory))

    def take(self, parts: Sequence[Part], state: Saved | None) -> Iterator[Event]:
        """Append the parts of a slice at once; return the events."""
        if not self.open:
            return iter(())  # it has ended before others of its batch
        printed = "".join(part.printed for part in parts)
        return self._news(self.history.add(parts, state), printed, fresh=state is not None)

    def _news(self, results: Iterator[RunResult], printed: str, *, fresh: bool) -> Iterator[Event]:
        outcome = ""
        yield from self._printed(printed)
        yield from self._count(self.history.step)
        for result in results:
            outcome = result.outcome
            for cell in [cell for cell in self.open if cell.spec.iters == result.iters]:
                self.open.remove(cell)
                yield Ended(cell, result)
        now = time.monotonic()
        if not self.history.left and outcome != "interrupted":
            if self.checkpoint:
                self.checkpoint.remove()
        elif fresh and (not self.open or now - self._kept_at >= KEEP_SECONDS):
            self._kept_at = now
            self.keep()
        if self.open and now - self._charted_at >= CHART_SECONDS:
            self._charted_at = now
            if new := self.history.charted():
                yield Charted(tuple(self.open), new)

    def _count(self, step: int) -> Iterator[Event]:
        if step > self._counted:
            yield Progressed(step - self._counted)
            self._counted = step

    def keep(self) -> None:
        """Write the last state to disk, if any, and rewind the curve to it."""
        saved = self.history.saved
        if self.checkpoint and saved is not None:
            self.history.rewind()
            self.checkpoint.save(saved, self.history.curve)

    def fail(self, failure: Failure) -> Iterator[Event]:
        """End all open cells, each with what was printed until then."""
        yield from self._printed(failure.printed, last=True)
        failure = replace(failure, printed=self.history.printed + failure.printed)
        cells, self.open = self.open, []
        self.history.left.clear()
        yield from (Ended(cell, failure) for cell in cells)

    def _printed(self, text: str, *, last: bool = False) -> Iterator[Event]:
        """Yield the whole lines that were printed."""
        *lines, self._line = (self._line + text).split("\n")
        if self._line and (last or not self.history.left):
            lines, self._line = [*lines, self._line], ""
        if lines:
            yield Printed(self.trajectory.cells[-1], tuple(lines))
