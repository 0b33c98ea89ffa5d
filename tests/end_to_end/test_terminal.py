"""A sweep on a real terminal: its bar, its colours, and its end when the terminal is closed."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.support import trainer
from tests.processes import clean_environment, sweep_command

COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:[34][0-8]|9[0-7])(?:;\d+)*m")
"""What changes a colour; bold letters and moving the cursor are none."""


SHIM = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes its standard input the terminal of its session, then becomes the command."""


class Terminal:
    """A sweep with a terminal of its own, which leads its session as a shell's does."""

    def __init__(self, args: list[str], folder: Path, env: dict[str, str | None]) -> None:
        self.end, other = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHIM, *sweep_command(args)],
            cwd=folder,
            env=clean_environment({"TERM": "xterm-256color", **env}),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self.shown = b""

    def read(self, until: bytes = b"\0") -> bytes:
        """Return what is shown until `until` is, or to the end."""
        last = time.monotonic() + 120
        while until not in self.shown and time.monotonic() < last:
            try:
                piece = os.read(self.end, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            self.shown += piece
        return self.shown

    def close(self) -> None:
        """Close the window."""
        os.close(self.end)

    def code(self) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(timeout=120)
        finally:
            self.process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("no_colour", ["", "1"], ids=["colour", "NO_COLOR"])
def test_bar_shows_iterations_rate_and_time_left(no_colour: str, tmp_path: Path) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.05)
    args = ["-m", *own, "lr=0.1,0.2", "iters=60", "hydra.launcher.backend=serial"]
    terminal = Terminal(args, tmp_path, {"NO_COLOR": no_colour or None})
    shown = terminal.read()
    terminal.close()
    assert terminal.code() == 0, shown
    assert b"\x1b[" in shown  # a bar is drawn over itself
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    assert re.search(r"\d+%\s+[01]/2 runs, [\d,]+ iterations/s, [\d:]+ left", text), text
    assert "[1/2] lr=0.1,iters=60  final error" in text
    assert bool(COLOUR.search(shown)) is not bool(no_colour)


@pytest.mark.slow
def test_terminal_that_is_closed_ends_the_sweep_as_a_signal(tmp_path: Path) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.05)
    terminal = Terminal(["-m", *own, "lr=0.1", "iters=10,1000000"], tmp_path, {})
    assert b"[1/2]" in terminal.read(until=b"[1/2]")
    terminal.shown = b""
    assert b"left" in terminal.read(until=b"left")  # the bar is there
    terminal.close()
    assert terminal.code() == 129
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as connection:
        found = Counter(status for (status,) in connection.execute("SELECT status FROM runs"))
    assert found == {"FINISHED": 1, "KILLED": 2}
