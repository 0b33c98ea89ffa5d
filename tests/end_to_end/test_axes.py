"""What axes, keys and flags mean on the command line; none has a silent other meaning."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.commands import assert_refused, plan_of, run_here
from tests.end_to_end.test_launchers import stored

FILES = {
    "network/small.yaml": "layers: [4, 2, 2]\ninit: {scheme: xavier}",
    "network/big.yaml": "layers: [4, 5, 2]\ninit: {scheme: xavier}",
    "network/größe.yaml": "layers: [4, 2, 2]\ninit: {scheme: he}",
    "network/own_rate.yaml": "# @package _global_\nlr: 0.7\n"
    "network: {layers: [4, 2, 2], init: {scheme: he}}",
    "data/points.yaml": "file: points1.csv\ninputs: [a, b, c, d]\ntargets: [t, u]",
    "experiment/listed.yaml": "# @package _global_\n"
    "hydra: {mode: MULTIRUN, sweeper: {params: {lr: [0.1, 1.0]}}}",
    "experiment/asked.yaml": "# @package _global_\nmetric: best_error\nmode: max\nmax_seconds: 90\n"
    "hydra: {mode: MULTIRUN}",
    "experiment/numbered.yaml": "# @package _global_\n"
    "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '${hydra:job.num}'}}}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a user's folder with a configuration of its own and two data files."""
    for name, text in FILES.items():
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    for number in (1, 2):
        rows = f"a,b,c,d,t,u\n2,5,1,4,0.05,0.{number}\n"
        (tmp_path / f"points{number}.csv").write_text(rows)
    return tmp_path


def planned(arguments: list[str], folder: Path) -> list[str]:
    return plan_of(["--config-dir", "own", *arguments], folder)


ASKED = {
    "data=points data.file=glob(points*)": ["data.file=points1.csv", "data.file=points2.csv"],
    "network=glob(*,exclude=[n*,o*,g*,e*,a*])": ["network=big", "network=small"],
    "network=small,big network.init.scheme=he,xavier": [
        f"network={network},network.init.scheme={scheme}"
        for network in ("small", "big")
        for scheme in ("he", "xavier")
    ],
    "network.init={scheme:xavier},{scheme:normal,std:0.1}": [
        'network.init={"scheme":"xavier"}',
        'network.init={"scheme":"normal","std":0.1}',
    ],
    'network="größe" seed=1,2': ["seed=1", "seed=2"],
    "network=own_rate": ["lr=0.7,iters=1"],
    "network.init.scheme=xavier seed=range(0,2)": ["seed=0", "seed=1"],
    "++lr=1,2 network=exclusive_or data=exclusive_or network.init.std=1,1.0 ++stop.error=null": [
        f"lr={lr}.0,network.init.std=1  (asked for 2 times, runs once)" for lr in (1, 2)
    ],
    "lr=0.1,0.10,0.2 iters=5": [
        *("lr=0.1,iters=5  (asked for 2 times, runs once)", "lr=0.2,iters=5")
    ],
}


@pytest.mark.parametrize("axes", ASKED)
@pytest.mark.slow
def test_grid_is_what_was_asked_for(axes: str, folder: Path) -> None:
    assert planned(["-m", *axes.split()], folder) == ASKED[axes]


def test_plan_of_many_names_the_first_and_last(folder: Path) -> None:
    shown = planned(["-m", "lr=range(1,101)", "iters=1"], folder)
    assert len(shown) == 11
    assert (shown[0], shown[5], shown[-1]) == (
        "lr=1.0,iters=1", "... 90 more ...", "lr=100.0,iters=1",
    )  # fmt: skip


REFUSED = [
    {
        "-m lr=0.1,0.2 lr=0.5": "lr=0.1,0.2 and lr=0.5: lr is given twice",
        "parent=x": "parent=x: the sweep gives this key to its jobs; leave it out.",
        "iters=[1,2]": "-m iters=1,2.",
    },
    {
        "lr=0.1 ++lr=0.5": "lr=0.1 and ++lr=0.5: lr is given twice",
        "--iters=3": "write iters=3.",
        "seed=1,": "seed=1, ends with a comma",
        "network=größe": "put names with non-ASCII characters in quotes: 'network=\"größe\"'",
    },
    {"-m lr=1,2 hydra.sweeper.params.lr='3,4'": "params.lr='3,4': lr is given twice"},
    {
        "-m network.init={scheme:he},{scheme:xavier}": "",
        "network.init={scheme:normal}": "network.init is given twice",
    },
    {"lr=[0.1,1.0]": "-m lr=0.1,1.0."},
    {"experiment=listed": "-m lr=0.1,1.0."},
    {
        "-m lr=0.1, 1.0": "write values without blanks between them, lr=0.1,1.0.",
        "--iters 3": "--iters 3: keys are written without dashes; write iters=3.",
    },
    {"lr=${oc.env:RATE}": 'lr="${oc.decode:${oc.env:NAME}}"'},
    {"experiment=numbered": "`seed: ${hydra:job.num}` as a key of the preset"},
]


@pytest.mark.parametrize("mistakes", REFUSED, ids=lambda value: [*value][-1])
def test_what_means_nothing_is_refused(mistakes: dict[str, str], folder: Path) -> None:
    arguments = ["--config-dir", "own", *" ".join(mistakes).split(" ")]
    told = [text for text in mistakes.values() if text]
    assert_refused(arguments, told, folder, env={"RATE": "0.1"})


def test_axes_without_values_are_refused_together(folder: Path) -> None:
    told = {
        "lr=glob(*)": "nothing matches",
        "iters=range(1,0,1)": "this axis has no values",
        "network=glob(zzz*)": "nothing matches",
        "data.file=glob(none*)": "no file matches",
    }
    assert_refused(["-m", *told], [f"{axis}: {why}" for axis, why in told.items()], folder)


@pytest.mark.slow
def test_advice_of_a_refusal_is_taken(folder: Path) -> None:
    own = ["--config-dir", "own", "dry_run=true"]
    for line in ('lr="${oc.decode:${oc.env:RATE}}"', "network.init={scheme:normal,std:1}"):
        ended = run_here([*own, "network=small", line], folder, {"RATE": "0.1"})
        assert ended.code == 0, ended


@pytest.mark.slow
def test_init_draws_in_place_of_given_weights(tmp_path: Path) -> None:
    given, drawn = (run_here(line, tmp_path) for line in ([], ["network.init.scheme=xavier"]))
    assert given.code == drawn.code == 0, drawn
    assert given.out.splitlines()[1] != drawn.out.splitlines()[1], "the hidden neurons before"


def test_first_line_names_the_axes_and_an_unused_seed(tmp_path: Path) -> None:
    ended = run_here(["-m", "dry_run=true"], tmp_path)
    plan = "12 runs, 3 trajectories, 300000 iterations, over lr (default), iters (default)\n"
    assert plan in ended.out
    axis = "+hydra.sweeper.params.seed='0,1'"
    ended = run_here(["-m", axis, "lr=0.1", "iters=2", "dry_run=true"], tmp_path)
    first, second = ended.out.splitlines()[:2]
    assert first.startswith("seed: it changes nothing here")
    assert second.endswith("4 iterations, over lr, iters, seed")


@pytest.mark.slow
def test_rule_of_the_notebook_on_other_data_is_said(folder: Path) -> None:
    own = ["--config-dir", "own", "-m", "data=points", "dry_run=true"]
    first = run_here(own, folder).out.splitlines()[0]
    assert first.startswith("rule=notebook: the default network trains as its notebook does and")
    for line in ("rule=notebook", "network=small"):
        assert "rule=notebook: " not in run_here([*own, line], folder).out


@pytest.mark.slow
def test_every_key_of_the_command_line_is_a_param(folder: Path) -> None:
    keys = "--config-dir own network=small network.init.scheme=he trainer.shuffle=false".split()
    assert run_here(["-m", *keys, "lr=0.1,0.2", "iters=2"], folder).code == 0
    assert run_here([*keys, "lr=0.3"], folder).code == 0
    database = sqlite3.connect(folder / "outputs" / "mlflow.db")
    for key, value in (("network.init.scheme", "he"), ("trainer.shuffle", "false")):
        found = database.execute("select value from params where key = ?", [key]).fetchall()
        assert found == [(value,)] * 3
    database.close()
    (table,) = folder.glob("outputs/reports/*/runs.csv")
    assert "network.init.scheme" in table.read_text().splitlines()[0]


@pytest.mark.slow
def test_resumed_sweep_runs_as_it_began(folder: Path) -> None:
    """The plan keeps how a sweep runs; where its files were is said if they are not named."""
    own = ["--config-dir", "own"]
    how = ["experiment=asked", "hydra.job.chdir=true", "+hydra.job.env_set.WIDTH='3'"]
    started = run_here([*own, "network=small", "lr=0.1", "iters=2", *how], folder)
    assert started.code == 0, started
    ended = run_here(["resume=last", "iters=3", *own], folder)  # flags after overrides
    assert ended.code == 0, ended
    for word in ("max_seconds=90", "mode=max", "hydra.job.chdir=true", "+hydra.job.env_set.WIDTH="):
        assert word in ended.out.splitlines()[0]
    assert "Best of 2 runs by max best_error: " in ended.out
    assert "2 runs" in ended.out and "1 to do" in ended.out
    (log,) = folder.glob("outputs/sweeps/*/1/sweep.log")
    assert log.is_file(), "a job's folder of its own, as the sweep began"
    assert {run["status"] for run in stored(folder).values()} == {"FINISHED"}
    refused = run_here(["resume=last"], folder)
    assert refused.code == 2
    assert "name --config-dir own as the sweep did when it began" in refused.err
    faster = run_here(["-m", *own, "resume=last", "max_seconds=80", "dry_run=true"], folder)
    assert "max_seconds" not in faster.out.splitlines()[0], "what is named counts"
