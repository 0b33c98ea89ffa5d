"""Points, ranges and what is left out: every form of docs/grids.md, and what is refused."""

from __future__ import annotations

import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from tests.commands import plan, plan_of
from tests.processes import ROOT, finish, run_sweep, start_sweep

PAGE = (ROOT / "docs" / "grids.md").read_text(encoding="utf-8")


LOGSPACE = (0.001, 0.003162, 0.01, 0.03162, 0.1, 0.3162, 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of the page."""
    for name, text in re.findall(r"^<!-- (\S+) -->\n```\w+\n(.*?)^```$", PAGE, re.M | re.S):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.slow
def test_every_form_of_the_page_gives_the_plan_that_it_says(folder: Path) -> None:
    commands = re.findall(r"^python -m sweep (.*?) +# (\d+ runs)$", PAGE, re.M)
    commands.append(("-m", "12 runs"))
    assert len(commands) > 20
    for text, runs in commands:
        ended = plan([*shlex.split(text), "dry_run=true"], folder)
        assert f"Plan: {runs}," in ended.out, (text, ended)
    assert PAGE.count("python -m sweep -m") == len(commands) - 2


@pytest.mark.parametrize(
    ("arguments", "points"),
    [
        (
            ["hydra.sweeper.points=points.csv"],
            ["lr=0.1,iters=1000", "lr=0.5,iters=200", "lr=2.0,iters=1"],
        ),
        (
            ["hydra.sweeper.points=[{lr: 0.5, seed: 7}]", "lr=0.1,0.2", "iters=10,20"],
            [
                f"lr={lr},seed={seed},iters={n}"
                for lr, seed in ((0.1, 0), (0.2, 0), (0.5, 7))
                for n in (10, 20)
            ],
        ),
        (["lr=logspace(-3,0,7)", "iters=1"], [f"lr={lr},iters=1" for lr in LOGSPACE]),
        (
            ["lr=linspace(1,1.0004,3)", "iters=1"],
            [f"lr={lr},iters=1" for lr in (1.0, 1.0002, 1.0004)],
        ),
        (
            ["iters=sort(int(logspace(1,3,3)),reverse=true)", "lr=1"],
            [f"lr=1.0,iters={n}" for n in (1000, 100, 10)],
        ),
        (
            [
                "network=notebook",
                "network.init.scheme=he",
                "network.layers=[4,3,2],[4,2]",
                "hydra.sweeper.misfits=skip",
                "rule=notebook,gradient",
            ],
            [
                "network.layers=[4,3,2],rule=notebook",
                "network.layers=[4,3,2],rule=gradient",
                "network.layers=[4,2],rule=gradient",
            ],
        ),
        (
            [
                "network.init.scheme=he,xavier",
                "lr=0.1,1",
                "iters=1",
                "hydra.sweeper.skip=network.init.scheme == 'he' and not lr < 1",
            ],
            [
                "lr=0.1,iters=1,network.init.scheme=he",
                "lr=0.1,iters=1,network.init.scheme=xavier",
                "lr=1.0,iters=1,network.init.scheme=xavier",
            ],
        ),
    ],
    ids=lambda value: value[0],
)
def test_grid_has_the_points_that_were_asked_for(
    arguments: list[str], points: list[str], folder: Path
) -> None:
    if arguments[-1].startswith("hydra.sweeper.skip"):
        key, _, value = arguments[-1].partition("=")
        arguments = [*arguments[:-1], f'{key}="{value}"']
    assert plan_of(["-m", *arguments], folder) == points


def test_drawn_values_come_from_the_seed_and_go_on(tmp_path: Path) -> None:
    axes = ["-m", "lr=loguniform(1e-4,1)", "iters=int(uniform(1,9))"]
    three, again, five, other = (
        plan_of([*axes, f"seed={seed}", f"hydra.sweeper.samples={count}"], tmp_path)
        for count, seed in ((3, 0), (3, 0), (5, 0), (3, 1))
    )
    assert three == again == five[:3] and len(five) == 5
    assert not set(three) & set(other)
    for point in five:
        lr, iters = re.fullmatch(r"lr=([\d.e-]+),iters=(\d)", point).groups()  # type: ignore[union-attr]
        assert 1e-4 <= float(lr) < 1 and len(lr) <= 9
        assert 1 <= int(iters) <= 9


def test_plan_says_what_was_left_out_and_why(tmp_path: Path) -> None:
    ended = plan(
        ["-m", "dry_run=true", "rule=notebook,gradient", "network.bias=shared,per_neuron",
         "network.init.scheme=he", "lr=1,2,3", "iters=1", 'hydra.sweeper.skip=["lr > 2"]',
         "hydra.sweeper.misfits=skip"], tmp_path,
    )  # fmt: skip
    lines = ended.out.splitlines()
    assert lines[0].startswith("Plan: 6 runs")
    assert lines[1] == "Left out: 4 grid points, where lr > 2"
    assert lines[2].startswith("Left out: 2 grid points, rule is 'notebook': it moves b2")


SKIP = "hydra.sweeper.skip="

REFUSED = [
    ([f'{SKIP}["lr > 1 and itrs > 1"]'], "itrs is no axis; did you mean 'iters'?"),
    ([f'{SKIP}["__import__(1)"]'], "compare axes with values, as in lr > 1 and iters > 1000"),
    ([f'{SKIP}["lr + 1 > 2"]'], "compare axes with values"),
    ([f'{SKIP}["lr"]'], "compare axes with values"),
    ([f'{SKIP}["@lr > 1"]'], "compare axes with values"),
    ([f'{SKIP}["lr is 1"]'], "compare axes with values"),
    ([f'{SKIP}["lr.real > 1"]'], "lr.real is no axis; the axes are lr, iters."),
    ([f'{SKIP}["1 < 2"]'], "compare axes with values"),
    ([f'{SKIP}["lr in [iters]"]'], "compare axes with values"),
    ([f'{SKIP}["lr < [1, 2]"]'], "a list stands after in"),
    ([f'{SKIP}["lr == [1, 2]"]'], "a list stands after in"),
    ([f'{SKIP}["lr in 3"]'], "a list stands after in"),
    ([f'{SKIP}["lr > \'a\'"]'], "these values cannot be compared"),
    ([f'{SKIP}["lr > 0"]'], "Nothing is left of 12 grid points: where lr > 0."),
    ([f"{SKIP}3"], "give a list of conditions"),
    (["hydra.sweeper.misfits=no"], "hydra.sweeper.misfits=no: use refuse or skip."),
    (["lr=-1,1", "hydra.sweeper.misfits=skip"], "the learning rate must be a finite number"),
    (["rule=notebook", "network.bias=per_neuron", "network.init.scheme=he"], "rule is 'notebook'"),
    (["lr=logspace(1,2)"], "lr=logspace(1,2): write logspace(a,b,n): n values from 10^a to 10^b"),
    (["lr=logspace(1,400,3)"], "lr=logspace(1,400,3): write logspace(a,b,n)"),
    (["lr=loguniform(0,1)"], "lr=loguniform(0,1): write loguniform(a,b) with 0 < a < b."),
    (["lr=loguniform(1e-4,1)"], "lr=loguniform(1e-4,1): say how many points are drawn from it"),
    (["lr=logspace(-1,0,2),5"], "a range stands alone; write each value instead, as lr=1,2,5."),
    (["lr=range(1,3),5"], "lr=range(1,3),5: a range stands alone"),
    (["lr=interval(2,1)"], "write interval(a,b) with a < b"),
    (["lr=linspace(1,2,1)"], "n values from a to b, n from 2 to 100000."),
    (["name=[a]"], "which is no id.\n"),
    (["hydra.sweeper.samples=3"], "no axis is drawn"),
    (["hydra.sweeper.samples=0"], "hydra.sweeper.samples=0: give a whole number above 0."),
    (["hydra.sweeper.points=points.txt"], "or the path of a .csv or .yaml file"),
    (["hydra.sweeper.points=none.csv"], "none.csv: it cannot be read (No such file or directory)."),
    (["hydra.sweeper.points=broken.csv"], "broken.csv, line 2: 3 cells where the header has 2."),
    (["hydra.sweeper.points=semi.csv"], "semi.csv: it looks separated by ';'"),
    (["hydra.sweeper.points=broken.yaml"], "broken.yaml, line 2: this is no YAML ("),
    (["hydra.sweeper.points=twice.yaml"], "twice.yaml, line 1: this is no YAML (found duplicate"),
    (["hydra.sweeper.points=empty.csv"], "empty.csv: it has no points"),
    (["hydra.sweeper.points=[]"], "give a list of mappings"),
    (["hydra.sweeper.points=[{lr: 0.1}, 3]"], "entry 2 is 3; give a list of mappings"),
    (["hydra.sweeper.points=[{lr: 1, reuse: true}]"], "entry 1: reuse does not describe a run"),
    (["hydra.sweeper.points=[{itrs: 3}]"], "itrs: there is no such key; did you mean 'iters'?"),
    (["hydra.sweeper.points=[{lr: 1, iters: 7}]", "iters=10"], "iters is given twice"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), REFUSED, ids=lambda value: value[-1])
def test_what_is_no_grid_is_refused(arguments: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("lr,iters\n1,2,3\n")
    (tmp_path / "semi.csv").write_text("lr;iters\n1;2\n")
    (tmp_path / "empty.csv").write_text("lr,iters\n")
    (tmp_path / "broken.yaml").write_text("- {lr: [0.1\n")
    (tmp_path / "twice.yaml").write_text("- {lr: 0.1, lr: 0.2}\n")
    before = sorted(tmp_path.rglob("*"))
    ended = plan(["-m", "dry_run=true", *arguments], tmp_path)
    assert ended.code == 2 and told in ended.err, ended
    assert ended.out == "" and sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_resumed_sweep_leaves_out_what_it_did(tmp_path: Path) -> None:
    skip = 'hydra.sweeper.skip=["lr > 1 and iters > 2"]'
    first = run_sweep(["-m", "lr=1,3", "iters=2,4", skip], tmp_path)
    assert first.code == 0 and "Left out: 1 grid point, where lr > 1 and iters > 2" in first.out
    assert plan_of(["resume=last", "lr=0.5,5"], tmp_path)[3:] == [
        "lr=0.5,iters=2", "lr=5.0,iters=2", "lr=0.5,iters=4",
    ]  # fmt: skip
    more = run_sweep(["resume=last", "lr=5", "iters=3"], tmp_path)
    assert more.code == 2 and "Nothing is left of 1 grid point:" in more.err


@pytest.mark.slow
def test_points_of_a_file_are_resumed_after_a_kill_and_verified(tmp_path: Path) -> None:
    """The file may be gone by then: plan.json has every point."""
    points = tmp_path / "points.csv"
    points.write_text("lr,iters\n0.1,1000\n0.001,30000000\n0.2,2000\n0.001,30000100\n")
    process = start_sweep(["-m", f"hydra.sweeper.points={points.name}"], tmp_path)
    assert process.stdout is not None
    while "[1/4]" not in process.stdout.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    finish(process, 20)
    points.unlink()
    ended = run_sweep(["resume=last"], tmp_path)
    assert ended.code == 0, ended
    assert "4 runs" in ended.out and "of them stored already" in ended.out
    verified = run_sweep([], tmp_path, module="sweep.verify")
    assert verified.code == 0 and "4 runs verified, 0 differ" in verified.out, verified
    (page,) = tmp_path.glob("outputs/reports/*/report.md")
    assert "not run" not in page.read_text(encoding="utf-8")
