"""The first start: eight at once, and killed at any moment."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.processes import ROOT, clean_environment, run

SCRIPT = ROOT / "tests" / "tracking" / "first_starts.py"


def first_starts(how: str, rounds: int, folder: Path) -> list[Path]:
    done = run(
        [sys.executable, SCRIPT, how, folder, str(rounds)],
        ROOT,
        env=clean_environment(),
        timeout=280,
    )
    assert done.code == 0, done.err
    waits = "Another process prepares "  # said where the machine is slow
    assert all(line.startswith(waits) for line in done.err.splitlines()), done.err
    stores = [Path(line) for line in done.out.splitlines()]
    assert len(stores) == rounds
    return stores


def runs_in(outputs: Path) -> int:
    """Return how many runs a store holds, after an integrity check."""
    with closing(sqlite3.connect(outputs / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = connection.execute("SELECT name FROM experiments ORDER BY 1").fetchall()
        assert names == [("Default",), ("sweep",)]
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])


@pytest.mark.faults
def test_eight_first_starts_at_once_five_times(weird_path: Path) -> None:
    for outputs in first_starts("at_once", 5, weird_path):
        assert runs_in(outputs) == 8


@pytest.mark.faults
def test_first_start_killed_at_twenty_moments(weird_path: Path) -> None:
    for outputs in first_starts("killed", 20, weird_path):
        assert runs_in(outputs) in (1, 2)
