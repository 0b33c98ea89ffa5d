"""The progress of a sweep: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sweep import console
from sweep.checks import plain_text

if TYPE_CHECKING:
    from sweep.training.history import RunResult

__all__ = ["ProgressDisplay"]

FEW_RUNS = 100
"""Without a terminal, so many runs get a line each; a larger sweep tells how far it is."""

QUIET_SECONDS = 10.0
"""Without a terminal, silence lasts no longer than this."""

GONE = (OSError, SystemExit)
"""What a bar raises when its terminal was closed, the latter by rich's own decision."""

BAR_AFTER = 0.5
"""On a terminal, work that is done sooner gets no bar."""


class ProgressDisplay:
    """Show iterations, rate and time left, and each run as it ends.

    Parameters
    ----------
    iterations
        All iterations to train, a shared trajectory counted once.
    runs
        All runs to come.
    """

    def __init__(self, iterations: int, runs: int) -> None:
        self.iterations = iterations
        self.runs = runs
        self.done = 0
        self.ended = 0
        self._began = self._told = time.monotonic()
        self._terminal = False
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> ProgressDisplay:
        """Start to show progress."""
        self._began = self._told = time.monotonic()
        self._terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop to show progress; a bar disappears."""
        if self._bar is not None:
            with suppress(*GONE):
                self._bar.stop()
            self._bar = None

    def advance(self, iterations: int) -> None:
        """Count iterations that were trained."""
        self.done += iterations
        if self._terminal and self._bar is None and time.monotonic() - self._began > BAR_AFTER:
            self._start_bar()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, left=self._left())
        elif time.monotonic() - self._told > QUIET_SECONDS:
            self._say(f"  {self._how_far()}")

    def run_ended(self, name: str, result: RunResult) -> None:
        """Show that a run ended; of a large sweep only what is unusual."""
        name = plain_text(name)
        if result.outcome == "completed":
            stopped = result.stopped_at is not None
            after = f", stopped after step {result.stopped_at}" if stopped else ""
            self._end(f"{name}  final error {result.final_error:.6g}{after}", usual=True)
        elif result.outcome == "diverged":
            where = f"a value is not finite at step {result.diverged_at}"
            self._end(f"{name}  diverged: {where}")
        else:
            last = int(result.steps[-1]) if len(result.steps) else 0
            self._end(f"{name}  interrupted after step {last}")

    def printed(self, lines: Sequence[str], name: str = "") -> None:
        """Show what the training of a run has printed, each line marked with its name."""
        mark = f"[{plain_text(name)}] " if name else ""
        for line in lines:
            self._say(f"{mark}{line}")

    def run_failed(self, name: str, sentence: str) -> None:
        """Show that a run failed, and why in one line."""
        self._end(f"{plain_text(name)}  FAILED: {plain_text(sentence)}")

    def _end(self, text: str, *, usual: bool = False) -> None:
        self.ended += 1
        if self._bar is not None:
            self._bar.update(self._task, left=self._left())
        if not usual or self.runs <= FEW_RUNS:
            count = f"[{self.ended}/{self.runs}] " if self.runs > 1 else ""  # or a job elsewhere
            self._say(f"  {count}{text}")
        elif self._bar is None and time.monotonic() - self._told > QUIET_SECONDS:
            self._say(f"  [{self.ended}/{self.runs}] {self._how_far()}")

    def _say(self, text: str) -> None:
        self._told = time.monotonic()
        if self._bar is not None:
            with suppress(*GONE):
                self._bar.console.print(text, markup=False, highlight=False)
        else:
            console.say(text)

    def _how_far(self) -> str:
        return f"{self.done:.3g} of {self.iterations:.3g} iterations, {self._left()}"

    def _left(self) -> str:
        seconds = time.monotonic() - self._began
        if not self.done or seconds < 1:
            return f"{self.ended}/{self.runs} runs"
        rate = self.done / seconds
        left = max(0, self.iterations - self.done) / rate
        return f"{self.ended}/{self.runs} runs, {rate:.2g} iterations/s, {_duration(left)} left"

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(file=sys.stdout),
            transient=True,
            refresh_per_second=5,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=self.iterations, left=self._left())
        self._bar.start()


def _duration(seconds: float) -> str:
    """Return seconds as a person would say them."""
    for size, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
