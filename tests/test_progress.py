"""Progress: plain lines without a terminal, and not too many of them."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest

from sweep import progress
from sweep.cli.app import open_streams
from sweep.progress import ProgressDisplay
from tests.report.stored import result_of

RESULT = result_of(0.1, 3, np.array([1.0, 0.5, 0.25, 0.125]))


def test_small_sweep_gets_a_line_for_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(6, 2) as shown:
        shown.advance(3)
        shown.run_ended("lr=0.1", RESULT)
        shown.run_failed("lr=0.2", "ValueError: no")
    out = capsys.readouterr().out
    assert out == "  [1/2] lr=0.1  final error 0.125\n  [2/2] lr=0.2  FAILED: ValueError: no\n"


def test_large_sweep_tells_what_is_unusual_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(3000, 1000) as shown:
        for number in range(999):
            shown.run_ended(f"run {number}", RESULT)
        shown.run_failed("last", "broken")
    assert capsys.readouterr().out == "  [1000/1000] last  FAILED: broken\n"


@pytest.mark.parametrize("total", [10**12, 10**314])
def test_long_silence_is_broken(
    total: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(progress, "BAR_AFTER", 0.0)
    with ProgressDisplay(total, 1) as shown:
        shown.advance(5)
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"  5 of 1[,0]+ iterations, 0/1 runs, [\d,]+ iterations/s, .* left", line)


def test_closed_output_and_one_of_few_characters_are_written_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    monkeypatch.setattr(sys, "stderr", None)
    open_streams()
    print("√E", flush=True)
    assert written.getvalue() == b"\\u221aE\n"
    with sys.stderr:
        print("√E", file=sys.stderr)
