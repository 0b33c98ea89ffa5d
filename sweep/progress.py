"""Progress of a sweep: a bar on a terminal, a few plain lines elsewhere."""

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

FEW_RUNS = 100
"""Up to this many runs have a line each; in a larger sweep only unusual ones do."""

QUIET_SECONDS = 10.0
"""Without a terminal, a line is printed at least this often."""

GONE = (OSError, SystemExit)
"""Raised by a bar whose terminal was closed; rich raises SystemExit."""

BAR_AFTER = 0.5
"""Work that takes fewer seconds shows no progress."""


class ProgressDisplay:
    """Shows iterations, rate and time left, and each run as it ends.

    `iterations` counts a shared trajectory once; `runs` is the number of runs to train.
    """

    def __init__(self, iterations: int, runs: int) -> None:
        self.iterations, self.runs = iterations, runs
        self.done = self.ended = 0
        self._began = self._printed = time.monotonic()
        self._terminal = False
        self._bar: Any = None

    def __enter__(self) -> ProgressDisplay:
        self._began = self._printed = time.monotonic()
        self._terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None and self._terminal:
            with suppress(*GONE):
                self._bar.stop()
        self._bar = None

    def advance(self, iterations: int) -> None:
        """Count trained iterations."""
        self.done += iterations
        if self._bar is None and time.monotonic() - self._began > BAR_AFTER:
            self._start_bar()
        self._update()

    def run_ended(self, name: str, result: RunResult) -> None:
        """Show that a run ended; in a large sweep only if it is unusual."""
        if result.outcome == "completed":
            at = result.stopped_at
            after = "" if at is None else f", stopped after step {at}"
            self._end(name, f"final error {result.final_error:.6g}{after}", usual=True)
        elif result.outcome == "diverged":
            self._end(name, f"diverged: a value is not finite at step {result.diverged_at}")
        else:
            last = int(result.steps[-1]) if len(result.steps) else 0
            self._end(name, f"interrupted after step {last}")

    def run_failed(self, name: str, sentence: str) -> None:
        """Show that a run failed, and why, in one line."""
        self._end(name, f"FAILED: {plain_text(sentence)}")

    def printed(self, lines: Sequence[str], name: str = "") -> None:
        """Show output printed by a run's training, each line marked with the run's name."""
        mark = f"[{plain_text(name)}] " if name else ""
        for line in lines:
            self._print(f"{mark}{line}")

    def _end(self, name: str, text: str, *, usual: bool = False) -> None:
        self.ended += 1
        if not usual or self.runs <= FEW_RUNS:
            count = f"[{self.ended}/{self.runs}] " if self.runs > 1 else ""  # a job has one run
            self._print(f"  {count}{plain_text(name)}  {text}")
        self._update()

    def _update(self) -> None:
        """Update the bar; without a terminal, print its texts after QUIET_SECONDS of silence."""
        if self._bar is None:
            return
        (task,) = self._bar.tasks
        rate = f"{task.speed or 0:,.0f} iterations/s,"
        self._bar.update(task.id, completed=self.done, ended=self.ended, rate=rate)
        if not self._terminal and time.monotonic() - self._printed > QUIET_SECONDS:
            texts = " ".join(str(column(task)) for column in self._bar.columns[2:])
            self._print(f"  {self.done:,} of {self.iterations:,} iterations, {texts}")

    def _print(self, text: str) -> None:
        self._printed = time.monotonic()
        if self._bar is None or not self._terminal:
            console.echo(text)
            return
        with suppress(*GONE):
            self._bar.console.print(text, markup=False, highlight=False)

    def _start_bar(self) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn(f"{{task.fields[ended]}}/{self.runs} runs, {{task.fields[rate]}}"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left"),
            console=Console(file=sys.stdout),
            transient=True,
            refresh_per_second=5,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._terminal,
        )
        total = min(self.iterations, 10**300)  # rich divides it by a float
        self._bar.add_task("", total=total, ended=self.ended, rate="")
        with suppress(*GONE):
            self._bar.start()
