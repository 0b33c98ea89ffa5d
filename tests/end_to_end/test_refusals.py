"""What is refused ends with one sentence and exit code 2, and nothing is created."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands import assert_refused, run_here, slow_after
from tests.configuration import declare
from tests.faults.support import trainer

SINGLE = [
    ("lr=${nope}", "nope"),
    ("lr=${oc.env:NONE}", "lr: the environment has no NONE; set it, or give a default as"),
    ("--config-dir=nope", "there is no such folder"),
    ("network=null", "a group of the configuration was given null; name one of its options"),
    ("metric=nonsense", "metric=nonsense: the built-in trainer has no such metric; it has"),
    ("mode=max", "mode=max: name the metric too"),
    ("++stop={1:2}", "stop.1: there is no such key; stop has error, patience."),
    (f"iters={'9' * 5000}", "...: a number has at most 4300 digits."),
]


TOGETHER = [
    [
        ("lrr=1", "did you mean 'lr'?"),
        ("network=nope", "network=nope"),
        ("trainer=nope", "trainer=nope"),
        ("sweep=x", "sweep: there is no such key"),
        ("x=1", "x: there is no such key; --help lists"),
        ("trainer.foo=1", "trainer.foo: there is no such key; trainer has _target_, batch_size"),
        ("trainer.trainer=1", "trainer.trainer: there is no such key; trainer has"),
        (
            "tracking.iters=1",
            "tracking.iters: there is no such key; tracking has kind, experiment, uri",
        ),
        ("data.fil=x", "did you mean 'file'?"),
        ("budget.second=1", "did you mean 'seconds'?"),
        ("hydra.job.env_set.A=1", "add it with +hydra.job.env_set.A=VALUE"),
        ("tracking.uri.foo=1", "tracking.uri.foo: there is no such key"),
        ("data.inputs.0.x=1", "x: a list is between it and its node; name a place of the list"),
    ],
    [
        ("seed=[", "seed=[: this is no value"),
        *(("stop.error", "stop.error = 1: write values without blanks"), ("=", ""), ("1", "")),
        ("iters=choice()", "iters=choice(): this axis has no values; write at least one."),
        ("lr", "lr: this sets no value; write KEY=VALUE, without blanks."),
        ("report", "did you mean `python -m sweep.report`?"),
        ("iters=logspce(-3,0,4)", "there is no function logspce; did you mean 'logspace'?"),
        ("rule=a,b", "rule=a,b: a single run takes one value; give several with -m"),
        ("max_seconds=linspace(1,2,3)", "linspace(1,2,3): a single run takes one value; give"),
        ("data.file=${oc.decode:${oc.env:A}}", "'data.file=\"${oc.decode:${oc.env:A}}\"'"),
    ],
    [
        ("+lr=0.1", "+lr: there is this key already; write it without +."),
        ("network.init.schem=he", "network.init.schem: there is no such key; did you mean 'sche"),
        ("stop=1e-6", "stop=1e-06: it has the keys error, patience; write stop.error=VALUE."),
    ],
    [
        ('network.layers=["4",3,2]', 'network.layers=["4",3,2]: give a list of at least two sizes'),
        ("hydra.launcher.workers=x", "hydra.launcher.workers=x: Value 'x' of type 'str'"),
        ('data.file="b\udcff.csv"', 'data.file="b\\udcff.csv": this is no valid UTF-8; write'),
    ],
    [
        ("lr=abc", "lr=abc"),
        ("iters=0", "iters=0"),
        ("rule=magic", "rule=magic"),
        ("outputs=", "outputs="),
        ("tracking.experiment=", "tracking.experiment="),
        ("hydra.launcher.backend=nope", "hydra.launcher.backend=nope is no backend"),
        ("+x=1", "+x=1: there is no key x, and nothing would read it"),
    ],
    [
        ("lr=-1", "lr=-1"),
        ("iters=1.5", "iters=1.5"),
        ("hydra.launcher.workers=0", "hydra.launcher.workers=0"),
        ("++itres=5", "did you mean 'iters'?"),
        ("+x.y=${lr}", "there is no key x"),
        ("+network@other=notebook", "there is no key other"),
    ],
    [
        ("lr=inf", "lr=inf: the learning rate must be a finite number above 0"),
        ('iters="10"', "text where a number is due; write iters=10, without quotes"),
    ],
    [
        ("lr=1e400", "lr=1e400: this number is beyond double precision"),
        ("network.biases=[0.5,-2.5e400]", "network.biases=-2.5e400: this number is beyond"),
        ("iters=0", "iters=0"),
        ("seed=1e-400", "seed=1e-400: this number is beyond double precision"),
    ],
    [
        ("-m", ""),
        ('lr=0.1,abc,-1,nan,"0.2"', "lr=abc"),
        ("iters=1,1.5", "iters=1.5"),
        ("rule=gradient,magic", "rule=magic"),
        ("+x=1,2", "+x=1: there is no key x"),
        ("max_seconds=-1", "max_seconds=-1"),
        ("hydra.launcher.backend=nope", "hydra.launcher.backend=nope is no backend"),
        ("", "lr=-1"),
        ("", "lr=nan"),
        ("", 'lr="0.2": this is text'),
    ],
    [
        ("-m", ""),
        ("outputs=a,b", "outputs=a,b"),
        ("budget.runs=1,2", "budget.runs says how the command runs and cannot be an axis"),
        ("name=a,b", "name says how the command runs and cannot be an axis"),
        ("reuse=true,false", "reuse=true,false: reuse says how the command runs and cannot be an"),
        ("tracking=local,server", "tracking says how the command runs and cannot be an axis"),
        ("lr=interval(0,1)", "interval"),
        ("iters=1,1e400", "iters=1e400: this number is beyond double precision"),
        ("rule=magic", "rule=magic"),
        ("hydra.sweep.dir=/", "hydra.sweep.dir=/: there is something already"),
    ],
    [("-m", ""), ("lr=range(1,1e400)", "lr=1e400")],
    [("-m", ""), ("", "fewer rows"), ("data.folds=1000000000", "at most 100000 of them")],
    [
        ("--experiment=smoke", "keys are written without dashes; write experiment=smoke."),
        ("--dry-run", "write dry_run=true"),
        ("--config-dr=my", "there is no such flag; did you mean --config-dir?"),
        ("network.init.scheme=he", "network.biases beside network.init={scheme:he}: drawn"),
        ("network.biases=[0.1,0.2]", ""),
        ("data.inputs=[größe,übung]", """'data.inputs=["größe","übung"]'"""),
    ],
    [("--multirn", "did you mean --multirun?"), ("lr=1,2", ""), ("-1", "-1: this sets no value")],
    [
        ("-m", ""),
        ("network.init.scheme=he,xavier", ""),
        ("network.init={scheme:normal}", "network.init.scheme is given twice"),
        ("trainer=[backprop]", "several values are an axis: -m trainer=backprop"),
    ],
    [("-m", ""), ("hydra.sweeper.points=[{lr: 0.1, lr: 0.2}]", "lr is given twice")],
    [
        *(("-m", ""), ("lr=0.1,2", ""), ("data.folds=2", "the data has fewer rows (1)")),
        ("foo=2", "foo: there is no such key"),
        ("itrs=1,2", "did you mean 'iters'?"),
        ("hydra.sweeper.wrks=2", "hydra.sweeper.wrks: there is no such"),
    ],
    [
        ("-m", ""),
        ("network=nosuch", "network=nosuch: there is no such option"),
        ("network.layers=[3,2],[5,2]", ""),
        ("lr=-1,0.1", "lr=-1"),
        ("iters=0", "iters=0"),
        ("+hydra.sweeper.params.seed=1,2", "name an axis by its key alone, as seed=1,2."),
        ("--rule=gradient", "write rule=gradient."),
        ("network.activation=[", "network.activation=[: this is no value"),
        ("hydra.sweeper.skip=['lr >']", "hydra.sweeper.skip=lr >: compare axes with values"),
        ("seed=1,", "seed=1, ends with a comma"),
    ],
    [
        ("+w=3", ""),
        ("network.activation=[tanh,sigmod]", "one a weight layer; did you mean 'sigmoid'?"),
        ("data.layerz=[${w}]", "data.layerz: there is no such key"),
        ("iters=2,3", "iters=2,3: a single run takes one value"),
        ("lr=[-1,x]", "lr=[-1,x]: the learning rate must be a finite number above 0"),
    ],
    [("-m", ""), ("--lr=0.1,", ""), ("0.2", "--lr=0.1, 0.2: keys are written without dashes; ")],
    [("network.layers=[64,16,10]", ""), ("experiment=digit", "did you mean 'digits'?")],
    [
        *(("-m", ""), ("network=notebook,exclusive_or", "")),
        ("hydra.sweeper.skip=[\"netwrk == 'exclusive_or'\"]", "did you mean 'network'?"),
    ],
    [("-m", ""), ('hydra.sweeper.skip=["lr == {[]:1}"]', "lr == {[]:1}: compare axes with values")],
    [
        *(("-m", ""), ("budget.runs=0", "budget.runs=0: give a whole number of at least 1")),
        ("budget.seconds=-1", "budget.seconds=-1: give a finite number of seconds above 0"),
        ("name='a b'", "name=a b: give a name of letters"),
        ("tags={a.b: 1}", "give a mapping, as {paper: figure3}"),
        ("note=3", "note=3: give a text"),
    ],
    [
        *(("-m", ""), ("tags={a: inf}", "numbers are finite"), ("network=exclusive_or", "")),
        ("+network.weights=[1]", "network.weights beside network.init={scheme:normal,std:1.0}"),
    ],
    [
        *(("budget.runs=3", "a single run has no budget.runs"), ("name=one", "run has no name;")),
        ("reuse=true", "reuse=true: a single run is always trained"),
        ("hydra.sweeper.points=points.csv", "a single run has no hydra.sweeper.points; sweep with"),
        ("hydra.sweeper.skip=['lr > 1']", "a single run has no hydra.sweeper.skip; sweep with -m"),
    ],
    [
        *(("-m", ""), ("budget.seconds=9", "")),
        ("hydra/launcher=basic", "set hydra.sweeper.max_batch_size"),
    ],
    [
        *(("-m", ""), ("name=last", "name=last: give a name of letters")),
        ("repeats=seed", "repeats=seed: list the axes, as [seed]."),
        ("mode=most", "mode=most: use min or max"),
    ],
    [("-m", ""), ("name=20260101-101010-abcd", "which is no id")],
    [
        *(("-m", ""), ("metric=final_eror", "did you mean 'final_error'?"), ("mode=min", "")),
        ("repeats=[lr]", "repeats=[lr]: its values are compared; write []."),
    ],
    [("-m", ""), ("metric=best_validation_error", "no samples are kept back; set data.validation")],
    [("-m", ""), ("mode=max", ""), ("metric=accuracy", "the targets are no classes; set data.one")],
]
"""What one command lists, each mistake in a line: the argument, and what is told of it."""


@pytest.mark.parametrize(("argument", "told"), SINGLE)
def test_single_run_is_refused_before_anything_exists(
    argument: str, told: str, tmp_path: Path
) -> None:
    assert_refused([argument], [told], tmp_path)


@pytest.mark.slow
def test_new_argument_of_a_trainer_says_how_to_pass_it(tmp_path: Path) -> None:
    own = [*trainer(tmp_path, "Lasting"), "trainer.momentum=0.9"]
    told = "add an argument to its file, or write +trainer.momentum=VALUE."
    for mode in ([], ["-m"]):
        assert_refused([*mode, *own], [told], tmp_path)


@pytest.mark.parametrize("mistakes", slow_after(14, TOGETHER), ids=lambda one: one[-1][1])
def test_mistakes_of_a_command_are_listed_together(
    mistakes: list[tuple[str, str]], tmp_path: Path
) -> None:
    arguments = [argument for argument, _ in mistakes if argument]
    assert_refused(arguments, [told for _, told in mistakes if told], tmp_path)


def test_all_mistakes_of_a_presets_axes_are_listed(tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "bad.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {lr: '-1,1', itres: 9}}}\n"
    )
    ended = run_here(["--config-dir", "own", "experiment=bad", "seed=-1"], tmp_path)
    assert ended.code == 2, ended
    first, second, third = ended.err.splitlines()
    assert first.startswith("sweep: itres: there is no such key")
    assert second.startswith("sweep: lr=-1: ") and third.startswith("sweep: seed=-1: ")


@pytest.mark.slow
def test_preset_of_ones_own_may_have_keys_of_its_own_named_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nwidth: 2\niters: ${width}\n"
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(text)
    for where in (["--config-di", "own"], ["hydra.searchpath=[own]"]):
        line = [*where, "width=3", "experiment=mine", "lr=0.1,0.2", "dry_run=true"]
        ended = run_here(["--multi", *line], tmp_path)  # argparse takes abbreviations
        assert ended.code == 0 and "2 trajectories, 6 iterations" in ended.out, ended


def test_wrong_axis_is_refused_without_composing_each_of_its_points(tmp_path: Path) -> None:
    ended = run_here(["-m", "network.layrs=range(20000)"], tmp_path)  # by Hydra it takes 15 minutes
    assert ended.code == 2, ended
    assert ended.err == "sweep: network.layrs: there is no such key; did you mean 'layers'?\n"


@pytest.mark.parametrize("name", ["report", "verify", "export", "ui", "list", "predict"])
@pytest.mark.slow
def test_added_keys_and_several_runs_of_the_other_commands_are_refused(
    name: str, tmp_path: Path
) -> None:
    added = ["+sweeps=last", "+x.y=1", *(["++sweep=last"] if name != "list" else [])]
    ended = run_here(["-m", "hydra.mode=MULTIRUN", *added], tmp_path, module=f"sweep.{name}")
    assert ended.code == 2 and not any(tmp_path.iterdir()), ended
    flag, mode, first, second = ended.err.strip().splitlines()
    assert flag.startswith("sweep: -m: this command runs once; leave it out.")
    assert mode.startswith("sweep: hydra.mode=MULTIRUN: this command runs once")
    assert "+sweeps=last: there is no key sweeps" in first
    assert name == "list" or first.endswith("did you mean 'sweep'?")
    assert "+x.y=1: there is no key x.y" in second


@pytest.mark.slow
def test_misspelt_key_of_a_file_is_refused_in_both_modes(tmp_path: Path) -> None:
    preset = tmp_path / "own" / "experiment" / "mine.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("# @package _global_\niterz: 10\n")
    told = "iterz: a file of the configuration sets this key, and nothing reads it; did you "
    for mode in ([], ["-m", "lr=0.1,1"]):
        arguments = [*mode, "experiment=mine", "--config-dir", "own"]
        assert_refused(arguments, [f"{told}mean 'iters'?"], tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["+w=3", "network.layers=[4,${w},2]"],
        ["-m", "+w=3,4", "lr=1", "iters=${w}"],
        ["+w=3", "+hydra.job.env_set.WIDTH='${w}'"],
    ],
)
@pytest.mark.slow
def test_added_key_that_is_read_is_accepted(arguments: list[str], tmp_path: Path) -> None:
    ended = run_here([*arguments, "dry_run=true"], tmp_path)
    assert ended.code == 0, ended


@pytest.mark.slow
def test_key_of_a_users_own_file_is_accepted_and_its_text_left_alone(tmp_path: Path) -> None:
    ended = run_here(
        [*declare(tmp_path, "remark: null"), "remark='1e400'", "dry_run=true"], tmp_path
    )
    assert ended.code == 0, ended


@pytest.mark.parametrize("taken", ["multirun.yaml", "overrides.yaml", "notes.txt"])
@pytest.mark.slow
def test_sweep_folder_that_holds_something_is_refused(taken: str, tmp_path: Path) -> None:
    (tmp_path / "foo").mkdir()
    (tmp_path / "foo" / taken).write_text("mine")
    arguments = ["-m", "hydra.sweep.dir=foo", "lr=0.1", "iters=1"]
    assert_refused(arguments, ["hydra.sweep.dir=foo: there is something already"], tmp_path)
    assert (tmp_path / "foo" / taken).read_text() == "mine"


@pytest.mark.slow
def test_sweep_folder_of_ones_own_may_be_new_or_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "new"):
        ended = run_here(["-m", f"hydra.sweep.dir={folder}", "lr=0.1", "iters=1"], tmp_path)
        assert ended.code == 0, ended
        assert (tmp_path / folder / "multirun.yaml").is_file()
    dated = ["-m", "hydra.sweep.dir='${now:%Y-%m-%d %H}'", "lr=0.1", "iters=2"]
    assert run_here(dated, tmp_path).code == 0
    resumed = run_here(["resume=last"], tmp_path)
    assert resumed.code == 0 and "is not here" not in resumed.err, resumed
    (tmp_path / "file").touch()
    assert_refused(["-m", "hydra.sweep.dir=file"], ["hydra.sweep.dir=file"], tmp_path)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--cfg", "job", "--resolve"], ["--info", "defaults"]]
)
def test_hydras_own_flags_work_and_create_nothing(arguments: list[str], tmp_path: Path) -> None:
    ended = run_here(arguments, tmp_path)
    assert ended.code == 0, ended
    assert "lr" in ended.out or "network" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_completion_knows_the_keys(tmp_path: Path) -> None:
    line = {"COMP_LINE": "sweep it"}
    ended = run_here(["-sc", "query=bash"], tmp_path, line)
    assert ended.code == 0, ended
    assert "iters=" in ended.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "first"),
    slow_after(
        2,
        [
            (["iters=7"], "1 run, 1 trajectory, 7 iterations"),
            (["-m", "lr=0.1,0.1", "iters=5"], "2 grid points, 1 unique"),
            (["-m", "hydra/launcher=basic"], "12 runs, 12 trajectories, 333003 iterations"),
            (["experiment=smoke"], "4 runs, 2 trajectories, 200 iterations"),
            (["-m", f"iters=1e5,{10**314}", "lr=1"], f"2 runs, 1 trajectory, {10**314} iterations"),
        ],
    ),
)
def test_dry_run_prints_the_plan_and_writes_nothing(
    arguments: list[str], first: str, tmp_path: Path
) -> None:
    ended = run_here([*arguments, "dry_run=true"], tmp_path)
    assert ended.code == 0, ended
    assert first in ended.out
    assert re.search(r"\nEstimate: [\d.e+]+ s, [\d.]+ MB\n", ended.out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_max_seconds_and_launchers_are_part_of_the_estimate(tmp_path: Path) -> None:
    def estimated(*arguments: str) -> float:
        ended = run_here(["-m", "iters=1e12", *arguments, "dry_run=true"], tmp_path)
        found = re.search(r"Estimate: ([\d.]+) s", ended.out)
        assert found, ended
        return float(found[1])

    rates = "lr=0.1,0.2,0.3,0.4"
    assert 50 < estimated("lr=0.1", "max_seconds=50") < 190
    assert 200 < estimated(rates, "max_seconds=50", "hydra/launcher=basic") < 400


@pytest.mark.parametrize("mode", [[], ["-m"]])
@pytest.mark.slow
def test_dry_run_tries_no_trainer_of_a_users_own(mode: list[str], tmp_path: Path) -> None:
    own = trainer(tmp_path, "Failing")
    ended = run_here([*mode, *own, "lr=2", "iters=9", "dry_run=true"], tmp_path)
    assert (ended.code, ended.err) == (0, ""), ended
    assert "Plan: 1 run" in ended.out and "No estimate: " in ended.out
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
