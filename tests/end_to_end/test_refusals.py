"""What is refused ends with one sentence and exit code 2, and nothing is created."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import run_sweep

SINGLE = [
    ("lr=abc", "lr=abc"),
    ("lr=-1", "lr=-1"),
    ("lr=nan", "lr=nan"),
    ("lr=inf", "lr=inf"),
    ("iters=0", "iters=0"),
    ("iters=1.5", "iters=1.5"),
    ("lrr=1", "did you mean 'lr'?"),
    ("rule=magic", "rule=magic"),
    ("network=nope", "network=nope"),
    ("trainer=nope", "trainer=nope"),
    ("sweep=x", "sweep: there is no such key"),
    ("outputs=", "outputs="),
    ("lr=[", "lr=["),
    ("lr=${nope}", "nope"),
    ("tracking.experiment=", "tracking.experiment="),
]


def refused(arguments: list[str], told: str, folder: Path) -> None:
    ended = run_sweep(arguments, folder)
    assert ended.code == 2, ended
    assert told in ended.err
    assert len(ended.err.strip().splitlines()) == 1, ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("argument", "told"), SINGLE)
def test_single_run_is_refused_before_anything_exists(
    argument: str, told: str, tmp_path: Path
) -> None:
    refused([argument], told, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lr=0.1,abc"], "lr=abc"),
        (["lr=0.1,-1", "iters=1"], "lr=-1"),
        (["iters=1,1.5"], "iters=1.5"),
        (["lrr=1,2"], "did you mean 'lr'?"),
        (["rule=gradient,magic"], "rule=magic"),
        (["network=notebook,nope"], "network=nope"),
        (["outputs=a,b"], "outputs=a,b"),
        (["reuse=true,false"], "cannot be an axis"),
        (["tracking=local,server"], "cannot be an axis"),
        (["lr=interval(0,1)"], "interval"),
    ],
)
def test_axis_with_one_bad_value_is_refused(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    refused(["-m", *arguments], told, tmp_path)


def test_all_mistakes_of_a_grid_are_listed(tmp_path: Path) -> None:
    ended = run_sweep(["-m", "lr=-1,0.1,nan", "iters=0,1"], tmp_path)
    assert ended.code == 2
    told = ended.err.strip().splitlines()
    assert len(told) == 3, "each once, however many cells have it"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--cfg", "job"], ["--cfg", "job", "--resolve"], ["--info", "defaults"]],
)
def test_hydras_own_flags_work_and_create_nothing(arguments: list[str], tmp_path: Path) -> None:
    ended = run_sweep(arguments, tmp_path)
    assert ended.code == 0, ended
    assert "lr" in ended.out or "network" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_completion_knows_the_keys(tmp_path: Path) -> None:
    line = {"COMP_LINE": "sweep it"}
    ended = run_sweep(["-sc", "query=bash"], tmp_path, env=line)
    assert ended.code == 0, ended
    assert "iters=" in ended.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "plan"),
    [
        (["-m"], "12 runs, 3 trajectories, 300000 iterations"),
        (["-m", "lr=0.1,0.1", "iters=5"], "2 cells, 1 unique"),
        (["iters=7"], "1 run, 1 trajectory, 7 iterations"),
        (["experiment=smoke"], "4 runs, 2 trajectories, 200 iterations"),
        (["-m", "iters=1e5,1e12", "lr=1"], "2 runs, 1 trajectory, 1000000000000 iterations"),
    ],
)
def test_dry_run_prints_the_plan_and_writes_nothing(
    arguments: list[str], plan: str, tmp_path: Path
) -> None:
    ended = run_sweep([*arguments, "dry_run=true"], tmp_path)
    assert ended.code == 0, ended
    assert plan in ended.out
    assert list(tmp_path.iterdir()) == []
