"""Loud but slow: a grid of thousands of runs, and a run that would never end."""

from __future__ import annotations

import csv
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from sweep.tracking import read
from tests.commands import run_here
from tests.faults.conftest import Begin
from tests.faults.support import open_reader, statuses
from tests.processes import finish

RUNS = 1200  # more than one answer of MLflow holds; `benchmarks.overhead growth` has 5000


def memory(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Return the bytes that a sweep holds after 100 runs, and when it last told its progress.

    Those of the command and of the recorder process.
    """
    command = psutil.Process(process.pid)
    watched: list[psutil.Process] = []
    early = late = 0
    assert process.stdout is not None
    for line in process.stdout:
        told = re.search(rf"(\d+)/{RUNS} runs", line)
        if told and int(told[1]) >= 100:
            watched = watched or [command, *command.children()]
            late = sum(each.memory_info().rss for each in watched)
            early = early or late
        if line.startswith("Final error"):
            break
    return early, late


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_grid_of_more_runs_than_one_answer_holds(begin: Begin, tmp_path: Path) -> None:
    last = RUNS / 1000 + 0.0005
    process = begin(["-m", f"lr=range(0.001,{last},0.001)", "iters=1"], tmp_path)
    early, late = memory(process)
    ended = finish(process, 300)
    assert ended.code == 0, ended.err
    assert 0 < early and late - early < 40e6, (early, late)  # of two processes, with noise
    assert statuses(tmp_path) == {"FINISHED": RUNS + 1}
    store = open_reader(tmp_path)
    sweep = read.find_sweep(store, "last")
    assert len(read.sweep_runs(store, sweep.sweep_id)) == RUNS
    outputs = tmp_path / "outputs"
    with (outputs / "reports" / sweep.sweep_id / "runs.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == RUNS + 1
    files = [path for path in (outputs / "artifacts").rglob("*") if path.is_file()]
    inside = [path for path in files if sweep.run_id not in path.parts]
    assert len(inside) == 4 * RUNS
    rest = [path for path in outputs.rglob("*") if path.is_file()]
    assert len(rest) - len(inside) < 100  # database, logs, report, plan: not one for each run


@pytest.mark.slow
def test_run_that_would_never_end(tmp_path: Path) -> None:
    ended = run_here(["iters=1e12", "max_seconds=0.5"], tmp_path)
    assert ended.code == 1 and "max_seconds" in ended.err, ended
    assert re.search(r"After (\d+) iterations .*the run was inter.* step \1\n", ended.out, re.S)
    assert statuses(tmp_path) == {"KILLED": 1}
    store = open_reader(tmp_path)
    (run,) = read.search(store, "")
    steps, errors = read.find_run(store, run.info.run_id).curve()
    assert len(steps) == len(errors) > 1000
