"""What a whole sweep may take: it ends with what it has, and `resume` goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import run_here
from tests.end_to_end.test_launchers import stored
from tests.faults.support import trainer


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["trajectory", "basic"])
def test_budget_of_runs_is_kept_and_begins_anew(launcher: str, tmp_path: Path) -> None:
    axes = ["lr=0.1,0.2,0.3", "iters=10", f"hydra/launcher={launcher}"]
    ended = run_here(["-m", *axes, "budget.runs=2"], tmp_path)
    assert ended.code == 0, ended
    assert "Budget used up: 1 of 3 runs not finished; continue with: python -m sweep" in ended.out
    assert [run["status"] for run in stored(tmp_path).values()] == ["FINISHED"] * 2
    ended = run_here(["resume=last", f"hydra/launcher={launcher}"], tmp_path)
    assert ended.code == 0 and "As the sweep began: budget.runs=2" in ended.out, ended
    assert "Budget" not in ended.out
    assert [run["status"] for run in stored(tmp_path).values()] == ["FINISHED"] * 3


@pytest.mark.slow
def test_budget_of_seconds_ends_between_batches_of_jobs(tmp_path: Path) -> None:
    how = ["hydra/launcher=basic", "hydra.sweeper.max_batch_size=1", "budget.seconds=1e-9"]
    ended = run_here(["-m", "lr=0.1,0.2", "iters=10", *how], tmp_path)
    assert ended.code == 0 and "2 of 2 runs not finished" in ended.out, ended
    ended = run_here(["resume=last", "hydra/launcher=basic", "budget.seconds=900"], tmp_path)
    assert ended.code == 0 and "hydra.sweeper.max_batch_size=1" in ended.out.splitlines()[0], ended
    assert [run["status"] for run in stored(tmp_path).values()] == ["FINISHED"] * 2


@pytest.mark.slow
def test_runs_that_failed_before_are_left_over_where_the_budget_is_spent(tmp_path: Path) -> None:
    own = trainer(tmp_path, "Failing")
    ended = run_here(["-m", *own, "lr=0.1,2,3,4", "iters=10"], tmp_path)
    assert ended.code == 1 and "budget" not in ended.out, ended
    ended = run_here([*own, "resume=last", "budget.runs=1"], tmp_path)
    assert ended.code == 1 and "Budget used up: 2 of 4 runs not finished" in ended.out, ended


@pytest.mark.slow
def test_job_that_goes_on_from_its_checkpoint_removes_it(tmp_path: Path) -> None:
    how = ["lr=0.1", "iters=1e6", "hydra/launcher=basic", "max_seconds=1e-9"]
    assert run_here(["-m", *how], tmp_path).code == 1
    kept = list(tmp_path.glob("outputs/sweeps/*/checkpoints/*"))
    ended = run_here(["resume=last", "hydra/launcher=basic", "max_seconds=null"], tmp_path)
    assert kept and ended.code == 0, ended
    assert not list(tmp_path.glob("outputs/sweeps/*/checkpoints/*"))


EARLY = [
    *("data.inputs=[[0.1],[0.4],[0.6],[0.9]]", "data.targets=[[0.2],[0.3],[0.9],[0.4]]"),
    *("data.validation=0.5", "network.layers=[auto,3,auto]", "network.init.scheme=normal"),
    *("network.activation=tanh", "rule=gradient", "stop.patience=6000000"),
]
"""A run whose best weights are at a step long before the budget ends it."""


@pytest.mark.slow
@pytest.mark.parametrize(("most", "changes"), [(30_000_000, []), (6_000_000, EARLY)])
def test_budget_of_seconds_cuts_off_and_what_was_trained_is_kept(
    most: int, changes: list[str], tmp_path: Path
) -> None:
    axes = ["lr=0.001,0.002", f"iters=1000,{most}", *changes]
    ended = run_here(["-m", *axes, "budget.seconds=0.5"], tmp_path)
    assert ended.code == 0 and "Budget used up: " in ended.out, ended
    assert len(list(tmp_path.glob("outputs/reports/*/report.md"))) == 1
    assert {run["status"] for run in stored(tmp_path).values()} <= {"FINISHED", "KILLED"}
    again = ["resume=last", "budget.runs=1", "budget.seconds=1e-9"]
    assert run_here(again, tmp_path).code == 0, "runs that the first command ended count there"
    ended = run_here(["resume=last", "budget.seconds=null", "budget.runs=null"], tmp_path)
    assert ended.code == 0, ended
    assert " FINISHED  4/4 " in run_here([], tmp_path, module="sweep.list").out
    verified = run_here([], tmp_path, module="sweep.verify")
    assert verified.code == 0 and "4 runs verified, 0 differ" in verified.out
