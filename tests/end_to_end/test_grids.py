"""Points, ranges and what is left out: every form of docs/grids.md, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from pathlib import Path

import pytest
from hydra.errors import HydraException

from sweep.cli.axes import grid_of, parse
from sweep.cli.messages import one_sentence
from sweep.cli.points import points_of
from sweep.errors import ConfigError
from tests.commands import assert_refused, plan_of, run_here, slow_after
from tests.processes import ROOT, finish, start_sweep

PAGE = (ROOT / "docs" / "grids.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of the page."""
    for name, text in re.findall(r"^<!-- (\S+) -->\n```\w+\n(.*?)^```$", PAGE, re.M | re.S):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.slow
def test_every_form_of_the_page_trains_the_runs_that_it_says(folder: Path) -> None:
    commands = re.findall(r"^python -m sweep (.*?) +# (\d+ runs)$", PAGE, re.M)
    commands.append(("-m", "12 runs"))
    assert len(commands) > 20
    for text, runs in commands:
        ended = run_here(shlex.split(text), folder)
        assert ended.code == 0 and f": {runs}, " in ended.out, (text, ended)
        assert "\nBest of " in ended.out, (text, ended)
    assert PAGE.count("python -m sweep -m") == len(commands) - 2


FOLDED = "network=auto data.inputs=[[1],[2],[3]] data.targets=[[0],[1],[0]]"
NETWORK = "network.layers=[4,3,2],[4,2] network.init.scheme=he"

ASKED = {
    "hydra.sweeper.points=points.csv": [
        *("lr=0.1,iters=1000", "lr=0.5,iters=200", "lr=2.0,iters=1")
    ],
    'hydra.sweeper.points="[{lr: 0.5, seed: 7}]" lr=0.1,0.2 iters=10,20': [
        f"lr={lr},seed={seed},iters={n}"
        for lr, seed in ((0.1, 0), (0.2, 0), (0.5, 7))
        for n in (10, 20)
    ],
    f"network=notebook {NETWORK} hydra.sweeper.misfits=skip rule=notebook,gradient": [
        "network.layers=[4,3,2],rule=notebook",
        "network.layers=[4,3,2],rule=gradient",
        "network.layers=[4,2],rule=gradient",
    ],
    "network.init.scheme=he,xavier lr=0.1,1 iters=1 "
    """hydra.sweeper.skip="\\"network.init.scheme == 'he' and not lr < 1\\"" """: [
        "lr=0.1,iters=1,network.init.scheme=he",
        "lr=0.1,iters=1,network.init.scheme=xavier",
        "lr=1.0,iters=1,network.init.scheme=xavier",
    ],
    "hydra.sweeper.points='[{lr: 0.1, rule: null}, {lr: 0.1, rule: notebook}, "
    "{lr: 2, rule: [null, gradient]}]'": [
        "lr=0.1,rule=notebook  (asked for 2 times, runs once)",
        "lr=2.0,rule=notebook",
        "lr=2.0,rule=gradient",
    ],
    f"{NETWORK} rule=gradient stop.error=null,0.01 "
    """hydra.sweeper.skip="[\\"network.layers == '[4, 2]'\\", \\"stop.error > 1e-3\\"]" """: [
        "network.layers=[4,3,2],stop.error=null"
    ],
    "network=notebook,exclusive_or data.inputs=[[1,2,3,4]] data.targets=[[0,1]] "
    "network.layers=[4,3,2] network.init.scheme=normal rule=null,fixed_bias "
    """hydra.sweeper.skip="[\\"rule == 'notebook'\\", \\"rule != 'gradient'\\"]" """: [
        "network=exclusive_or,rule=gradient"
    ],
    "rule=null,gradient network=notebook,exclusive_or +rate=3 lr='0.1,${rate}' iters=1 "
    """hydra.sweeper.skip="[\\"network == 'exclusive_or'\\"]" """: [
        f"lr={lr},iters=1,rule={rule},network=notebook"
        for lr in ("0.1", "3.0")
        for rule in ("notebook", "gradient")
    ],
    f"{FOLDED} data.folds=2,3 iters=1": [
        f"iters=1,data.folds={folds},data.fold={fold}" for folds in (2, 3) for fold in range(folds)
    ],
    f"{FOLDED} data.folds='${{seed}}' seed=2,3 iters=1": [
        f"iters=1,seed={n},data.fold={fold}" for n in (2, 3) for fold in range(n)
    ],
    f"{FOLDED} data.folds=3 hydra.sweeper.points='[{{data.fold: 1, lr: 1}}]'": [
        "data.fold=1,lr=1.0"
    ],
}
"""Axes as they are typed in a shell, and the points that they make."""


@pytest.mark.parametrize("axes", ASKED)
@pytest.mark.slow
def test_grid_has_the_points_that_were_asked_for(axes: str, folder: Path) -> None:
    assert plan_of(["-m", *shlex.split(axes)], folder) == ASKED[axes]


@pytest.mark.slow
def test_grid_is_that_of_the_files_it_is_made_of(folder: Path) -> None:
    """A file may choose another problem, have nested axes and names that are not ASCII."""
    for name, text in {
        "mine": "defaults: [config, override network: exclusive_or, override data: exclusive_or]",
        "network/réseau": "layers: [4, 2, 2]\ninit: {scheme: he}",
        "experiment/nested": "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: "
        "{network.init: {scheme: he}, lr: '1,2'}}}",
    }.items():
        path = folder / "own" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    own = ["--config-dir", "own", "-m"]
    assert plan_of([*own, "--config-name=mine", "seed=1,2"], folder) == ["seed=1", "seed=2"]
    assert plan_of([*own, "network=glob(r*)"], folder) == ["network=réseau"]
    assert plan_of([*own, "experiment=nested"], folder) == [
        f'network.init={{"scheme":"he"}},lr={lr}.0' for lr in (1, 2)
    ]


def test_drawn_values_come_from_the_seed_and_go_on(tmp_path: Path) -> None:
    axes = ["lr=loguniform(1e-4,1)", "iters=int(uniform(1,9))"]
    given = plan_of(["-m", *axes, "seed=1", "hydra.sweeper.samples=3"], tmp_path)
    three, five, other = (
        [",".join(point) for point in grid_of(parse(None, axes), Path(), samples, seed)]
        for samples, seed in ((3, 1), (5, 1), (3, 0))
    )
    assert given == three == five[:3] and len(five) == 5
    assert not set(three) & set(other)
    for point in five:
        lr, iters = re.fullmatch(r"lr=([\d.e-]+),iters=(\d)", point).groups()  # type: ignore[union-attr]
        assert 1e-4 <= float(lr) < 1 and len(lr) <= 9
        assert 1 <= int(iters) <= 9


def test_plan_says_what_was_left_out_and_why(tmp_path: Path) -> None:
    ended = run_here(
        ["-m", "dry_run=true", "rule=notebook,gradient", "network.bias=shared,per_neuron",
         "network.init.scheme=he", "lr=1,2,3", "iters=1", 'hydra.sweeper.skip=["lr > 2"]',
         "hydra.sweeper.misfits=skip"], tmp_path,
    )  # fmt: skip
    lines = ended.out.splitlines()
    assert lines[0].startswith("Plan: 6 runs")
    assert lines[1] == "Left out: 4 grid points, where lr > 2"
    assert lines[2].startswith("Left out: 2 grid points, rule=notebook: it moves b2")


CONDITIONS = {
    "lr > 1 and itrs > 1": "itrs is no axis; did you mean 'iters'?",
    "__import__(1)": "compare axes with values, as in lr > 1 and iters > 1000",
    "lr + 1 > 2": "compare axes with values",
    "lr": "compare axes with values",
    "@lr > 1": "compare axes with values",
    "lr is 1": "compare axes with values",
    "lr.real > 1": "lr.real is no axis; the axes are lr, iters.",
    "1 < 2": "compare axes with values",
    "lr in [iters]": "compare axes with values",
    "lr < [1, 2]": "a list stands after in",
    "lr == [1, 2]": "a list stands after in",
    "lr in 3": "a list stands after in",
}
"""What `skip` does not take, and what is told of it."""

SKIP = "hydra.sweeper.skip="

REFUSED = [
    ([f"{SKIP}{json.dumps([*CONDITIONS])}"], [*CONDITIONS.values()]),
    ([f"{SKIP}[\"lr > 'a'\"]"], ["these values cannot be compared"]),
    ([f'{SKIP}["lr > 0"]'], ["Nothing is left of 12 grid points: where lr > 0."]),
    (["network=exclusive_or", "hydra.sweeper.misfits=skip"], ["takes what the data has."]),
    (
        [
            *("name=[a]", f"{SKIP}3", "hydra.sweeper.misfits=no", "hydra.sweeper.samples=0"),
            "metric=3",
        ],
        [
            "which is no id.",
            "metric=3: give the name of one of the runs' metrics.",
            "give a list of conditions",
            "hydra.sweeper.misfits=no: use refuse or skip.",
            "hydra.sweeper.samples=0: give a whole number above 0.",
        ],
    ),
    (["lr=-1,1", "hydra.sweeper.misfits=skip"], ["the learning rate must be a finite number"]),
    (
        ["rule=notebook", "network.bias=per_neuron", "network.init.scheme=he"],
        ["rule=notebook: it moves b2"],
    ),
    (
        ["lr=interval(2,1)", "iters=range(1,3),5", "seed=logspace(0,1,2),5", "rule=logspace(1,2)"],
        [
            "write logspace(a,b,n): n values from 10^a to 10^b, n from 2 to",
            "lr=interval(2,1): write interval(a,b) with a < b",
            "iters=range(1,3),5: a range stands alone; write each value instead, as iters=1,2,5.",
            "seed=logspace(0,1,2),5: a range stands alone",
        ],
    ),
    (["lr=loguniform(1e-4,1)"], ["lr=loguniform(1e-4,1): say how many points are drawn from it"]),
    (["hydra.sweeper.samples=3"], ["no axis is drawn"]),
    (["hydra.sweeper.points=[{itrs: 3}]"], ["itrs: there is no such key; did you mean 'iters'?"]),
    (["hydra.sweeper.points=[{lr: 1, iters: 7}]", "iters=10"], ["iters is given twice"]),
]


@pytest.mark.parametrize(("arguments", "told"), slow_after(4, REFUSED), ids=lambda one: one[0])
def test_what_is_no_grid_is_refused(arguments: list[str], told: list[str], tmp_path: Path) -> None:
    assert_refused(["-m", "dry_run=true", *arguments], told, tmp_path)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("lr=logspace(-3,0,7)", "0.001 0.003162 0.01 0.03162 0.1 0.3162 1.0"),
        ("lr=linspace(1,1.0004,3)", "1.0 1.0002 1.0004"),
        ("iters=sort(int(logspace(1,3,3)),reverse=true)", "1000 100 10"),
        ("lr=sort(range(1.3,0,-0.5))", "0.3 0.8 1.3"),
        ("lr=sort(range(0.3,1.4,0.5),reverse=true)", "1.3 0.8 0.3"),
        ("lr=range(0.1,0.5,0.1)", "0.1 0.2 0.3 0.4"),
        ("iters=range(1,4)", "1 2 3"),
        ("iters=int(range(0.5,4))", "0 1 2 3"),
        ("data.drop=choice('1','true',a,1)", "'1' 'true' a 1"),
        ("data.drop=str(range(1,3))", "'1' '2'"),
        ("data.file='é',b", "'é' b"),
    ],
)
def test_range_is_its_values(line: str, values: str) -> None:
    key = line.partition("=")[0]
    points = grid_of(parse(None, [line]), Path())
    assert points == [[f"{key}={value}"] for value in values.split()]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("lr=logspace(1,400,3)", "write logspace(a,b,n)"),
        ("lr=loguniform(0,1)", "write loguniform(a,b) with 0 < a < b."),
        ("lr=linspace(1,2,1)", "n values from a to b, n from 2 to 100000."),
        ("lr=range(0,1,1e-9)", "these are 1000000000 values; choose a larger step."),
    ],
)
def test_range_without_values_is_refused(line: str, told: str) -> None:
    with pytest.raises(HydraException) as caught:
        parse(None, [line])
    message = one_sentence(caught.value)
    assert message.startswith(f"{line}: ") and told in message


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("points.txt", "", "or the path of a .csv or .yaml file"),
        ("none.csv", "", "none.csv: it cannot be read (No such file or directory)."),
        ("semi.csv", "lr;iters\n1;2\n", "semi.csv: it looks separated by ';'"),
        ("empty.csv", "lr,iters\n", "empty.csv: it has no points"),
        ("wide.csv", "lr,iters\n1,2,3\n", "wide.csv, line 2: 3 cells where the header has 2."),
        ("broken.yaml", "- {lr: [0.1\n", "broken.yaml, line 2: this is no YAML ("),
        ("twice.yaml", "- {lr: 0.1, lr: 0.2}\n", "line 1: this is no YAML (found duplicate"),
        ("number.yaml", "[{lr: 0.1}, 3]", "entry 2 is 3; give a list of mappings"),
        ("none.yaml", "[]", "give a list of mappings"),
        ("scalar.yaml", "3", "scalar.yaml: give a list of mappings"),
        ("control.yaml", "- {lr: \1}", "this is no YAML ("),
        ("nameless.yaml", "- {'': 1}", "entry 1: : there is no such key"),
        ("valueless.yaml", "- {lr: []}", "entry 1: lr=choice(): this axis has no values"),
        ("digits.csv", f"lr\n{'1' * 5000}\n", "line 2: a number has at most 4300 digits."),
        ("digits.yaml", f"- lr: {'1' * 5000}\n", "a number has at most 4300 digits."),
        ("long.csv", f"lr\n{'1' * 140_000}\n", "this is no CSV (field larger than"),
        ("reuse.yaml", "[{lr: 1, reuse: true}]", "entry 1: reuse does not describe a run"),
        (
            "key.csv",
            "lr,itres\n1,2\n",
            "line 2: itres: there is no such key; did you mean 'iters'?",
        ),
    ],
)
def test_list_of_points_that_is_none_is_refused(
    name: str, text: str, told: str, tmp_path: Path
) -> None:
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        points_of(name, tmp_path, None, ["lr", "iters"])
    assert told in str(caught.value)


@pytest.mark.slow
def test_resumed_sweep_leaves_out_what_it_did(tmp_path: Path) -> None:
    skip = 'hydra.sweeper.skip=["lr > 1 and iters > 2"]'
    first = run_here(["-m", "lr=1,3", "iters=2,4", skip], tmp_path)
    assert first.code == 0 and "Left out: 1 grid point, where lr > 1 and iters > 2" in first.out
    added = run_here(["resume=last", "lr=0.5,3", "dry_run=true"], tmp_path)
    assert "Left out: 1 grid point, where" in added.out, "not counted once more"
    added = run_here(["resume=last", "lr=0.5,5", "dry_run=true"], tmp_path)
    assert [line.strip() for line in added.out.splitlines() if line.startswith("  ")][3:] == [
        "lr=0.5,iters=2", "lr=0.5,iters=4", "lr=5.0,iters=2",
    ]  # fmt: skip
    more = run_here(["resume=last", "lr=5", "iters=3"], tmp_path)
    assert more.code == 2 and "Nothing is left of 1 grid point:" in more.err
    for named in (["max_seconds=77"], []):
        more = run_here(["resume=last", "lr=0.5,5", *named], tmp_path)
        (page,) = tmp_path.glob("outputs/reports/*/report.md")
        assert more.code == 0 and "1 grid point was left out" in page.read_text("utf-8"), more
    assert "As the sweep began: max_seconds=77.0" in more.out, "as it was last resumed"


@pytest.mark.slow
def test_resumed_sweep_goes_on_drawing_from_its_own_seed(tmp_path: Path) -> None:
    axis = "lr=loguniform(1e-4,1)"
    first = run_here(["-m", axis, "iters=2", "seed=5", "hydra.sweeper.samples=2"], tmp_path)
    assert first.code == 0, first
    more = run_here(["resume=last", axis, "hydra.sweeper.samples=3", "dry_run=true"], tmp_path)
    assert "New: 1, stored already: 2" in more.out, more


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
    ended = run_here(["resume=last"], tmp_path)
    assert ended.code == 0, ended
    assert "4 runs" in ended.out and "of them stored already" in ended.out
    verified = run_here([], tmp_path, module="sweep.verify")
    assert verified.code == 0 and "4 runs verified, 0 differ" in verified.out, verified
    (page,) = tmp_path.glob("outputs/reports/*/report.md")
    assert "not run" not in page.read_text(encoding="utf-8")
