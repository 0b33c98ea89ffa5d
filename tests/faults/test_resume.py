"""Resume and reuse: what is taken, what is refused, and who may work on a sweep."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from sweep.cli.hydra_config import register, to_container
from sweep.cli.overrides import keys_set
from sweep.cli.resume import kept_settings, settings_of
from sweep.config.settings import Budget, Settings, settings
from sweep.config.spec import CONTROL_KEYS
from sweep.question import question_of
from sweep.tracking import read
from tests.commands import run_here
from tests.faults.conftest import Begin
from tests.faults.support import (
    assert_brief,
    assert_whole,
    open_reader,
    statuses,
    trainer,
    wait_for_line,
)
from tests.processes import ROOT, finish
from tests.test_compose import master_of, version_base
from tests.tracking.support import tree

POINTS = "a,b,c,d,t,u\n2,5,1,4,0.05,0.1\n1,2,3,4,0.2,0.3\n"
DATA = "file: points.csv\ninputs: [a, b, c, d]\ntargets: [t, u]\n"
OWN_TRAINER = """
def train(lr):
    while True:
        yield lr
        lr /= 2
"""


@pytest.mark.faults
def test_resume_takes_the_cells_of_the_plan(tmp_path: Path) -> None:
    """Today's default grid is another one; axes beside `resume` add their cells."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    conf = ["--config-path", str(tmp_path / "conf")]
    assert run_here(["-m", *conf, "iters=1,2"], tmp_path).code == 0
    preset = tmp_path / "conf" / "experiment" / "none.yaml"
    preset.write_text(preset.read_text().replace("0.01, 0.05, 1.0", "0.3, 0.4"))
    ended = run_here([*conf, "resume=last"], tmp_path)
    assert ended.code == 0, ended
    assert "6 runs" in ended.out and "6 of them stored already, 0 to do" in ended.out
    ended = run_here([*conf, "resume=last", "iters=2,3"], tmp_path)
    assert ended.code == 0, ended
    assert "9 runs" in ended.out and "6 of them stored already, 3 to do" in ended.out
    assert_whole(tmp_path)
    # A default that belongs to the cells has changed: it says which, and writes nothing.
    file = tmp_path / "conf" / "config.yaml"
    file.write_text(file.read_text().replace("seed: 0 ", "seed: 7 "))
    before = kept(tmp_path)
    refused = run_here([*conf, "resume=last"], tmp_path)
    assert refused.code == 2 and "seed changed since" in refused.err, refused
    assert "9 of its grid points" in refused.err and "and 4 more" in refused.err
    assert kept(tmp_path) == before


@pytest.mark.faults
def test_resume_with_other_data_or_another_trainer(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(POINTS)
    (tmp_path / "mine.py").write_text(OWN_TRAINER)
    for name, text in (("data", DATA), ("trainer", "_target_: mine.train\nlr: ${lr}\n")):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "mine.yaml").write_text(text)
    own = ["--config-dir", "own"]
    assert run_here(["-m", *own, "data=mine", "lr=0.1,0.2", "iters=2"], tmp_path).code == 0
    assert run_here(["-m", *own, "trainer=mine", "lr=0.1", "iters=2,3"], tmp_path).code == 0
    first, second = read.list_sweeps(open_reader(tmp_path))[::-1]
    (tmp_path / "points.csv").write_text(POINTS.replace("0.3", "0.30000001"))
    (tmp_path / "mine.py").write_text(OWN_TRAINER + "\n# another source\n")
    refused = run_here([*own, f"resume={first.sweep_id}"], tmp_path)
    assert refused.code == 2 and "data" in refused.err, refused
    assert "2 of its grid points would have other numbers today" in refused.err
    ended = run_here([*own, f"resume={second.sweep_id}"], tmp_path)
    assert ended.code == 0 and "finished with the old one: 2" in ended.out, ended
    (tmp_path / "points.csv").unlink()
    refused = run_here([*own, f"resume={first.sweep_id}"], tmp_path)
    assert refused.code == 2 and "points.csv" in refused.err and "Traceback" not in refused.err


@pytest.mark.faults
def test_reuse_says_what_it_takes(tmp_path: Path) -> None:
    assert run_here(["-m", "lr=0.1,1", "iters=10"], tmp_path).code == 0
    ended = run_here(["-m", "lr=1,2", "iters=10,20", "reuse=true"], tmp_path)
    assert ended.code == 0, ended
    taken = [line for line in ended.out.splitlines() if "reused from run" in line]
    assert len(taken) == 1 and "lr=1.0,iters=10" in taken[0]
    store = open_reader(tmp_path)
    new, old = read.list_sweeps(store)
    assert old.sweep_id in taken[0]
    runs = read.sweep_runs(store, new.sweep_id)
    (source,) = (run for run in read.sweep_runs(store, old.sweep_id) if run.name.startswith("lr=1"))
    reused = [run for run in runs if "sweep.reused_from" in run.tags]
    assert [run.tags["sweep.reused_from"] for run in reused] == [source.run_id]
    assert reused[0].metrics == source.metrics
    assert reused[0].weights() == source.weights()
    assert_whole(tmp_path, sweeps=[new.sweep_id, old.sweep_id])


@pytest.mark.faults
def test_two_resume_one_sweep(begin: Begin, tmp_path: Path) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.1)
    process = begin(["-m", *own, "lr=0.1", "iters=1,600"], tmp_path)
    wait_for_line(process, "[1/2]")
    ended = run_here([*own[:2], "resume=last"], tmp_path)
    assert_brief(ended, 3, f"process {process.pid} on", lines=1)
    # Whoever else opens the store meanwhile touches nothing that lives.
    assert run_here([], tmp_path, module="sweep.report").code == 0
    assert statuses(tmp_path)["RUNNING"] == 2 and statuses(tmp_path)["KILLED"] == 0
    process.kill()
    finish(process, 30)
    # A plan alone changes nothing, not even what the dead process left open.
    before = kept(tmp_path)
    ended = run_here([*own[:2], "resume=last", "dry_run=true"], tmp_path)
    assert ended.code == 0 and "New: 1, stored already: 1" in ended.out, ended
    assert kept(tmp_path) == before
    assert statuses(tmp_path)["RUNNING"] == 2


def kept(folder: Path) -> dict[str, object]:
    """Return every file of the outputs; of the database what it says.

    Its bytes may change where a process was killed: SQLite's next reader, whoever that is,
    moves what the log holds into the file.
    """
    files: dict[str, object] = {
        name: content
        for name, content in tree(folder / "outputs").items()
        if not name.startswith("mlflow.db")
    }
    with closing(sqlite3.connect(folder / "outputs" / "mlflow.db")) as connection:
        files["mlflow.db"] = list(connection.iterdump())
    return files


BEGAN = "metric='1' mode=max repeats=[] budget.runs=2 max_seconds=9 fail_fast=true model=best"
NAMED: dict[str, dict[str, Any]] = {
    "lr=0.1": {},
    "metric=null": {"metric": None, "mode": "min"},
    "metric='1' repeats=[seed]": {"repeats": ("seed",)},
    "mode=min model=null fail_fast=false": {"mode": "min", "model": None, "fail_fast": False},
    "budget={seconds:5} max_seconds=null": {
        **{"budget": Budget(seconds=5, runs=2), "max_seconds": None}
    },
}


def test_resumed_sweep_runs_as_it_began_but_for_what_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "sweeps").symlink_to(tmp_path / "elsewhere")
    register()
    with initialize_config_dir(str(ROOT / "conf"), **version_base()):
        loader = GlobalHydra.instance().hydra.config_loader  # type: ignore[union-attr]
        default = master_of(loader, ["parent=x"])

    def changed(line: str) -> tuple[DictConfig, Settings, set[str]]:
        master = deepcopy(default)
        parsed = OverridesParser.create().parse_overrides(line.split())
        for one in parsed:
            OmegaConf.update(master, one.key_or_group, one.value())
        keys = {key for one in parsed for key in keys_set(one.key_or_group, one.value())}
        return master, settings(to_container(master, CONTROL_KEYS), Path()), keys

    began, asked, _ = changed(f"{BEGAN} hydra.sweeper.max_batch_size=3")  # by a preset, say
    question = question_of({}, asked.metric, asked.mode, asked.repeats).document()
    document = {"kept": {"overrides": kept_settings(asked, began, ())}, "question": question}
    assert "hydra.sweep.dir" not in str(document), "it is the default, though through a link"
    for named, changes in NAMED.items():
        master, today, keys = changed(named)
        settings_of(document, master, today, keys)
        resumed = settings(to_container(master, CONTROL_KEYS), Path())
        assert resumed == asked.model_copy(update=changes), named
        assert master.hydra.sweeper.max_batch_size == 3


def test_unknown_sweep(tmp_path: Path) -> None:
    assert_brief(run_here(["resume=last"], tmp_path), 2, "there is no store yet", lines=1)
    assert_brief(run_here(["resume=../../x"], tmp_path), 2, lines=1)
    assert list(tmp_path.iterdir()) == []
