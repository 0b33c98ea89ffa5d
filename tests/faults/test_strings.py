"""Strings and trust: hostile names stay text, and no `_target_` but the trainer's is run."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from sweep.tracking import read
from sweep.tracking.artifacts import WEIGHTS_LARGE, read_weights
from tests.commands import run_here
from tests.configuration import declare
from tests.faults.support import open_reader

HOSTILE = "<script>alert(1)</script> $\\frac{1}$ =1+cmd|' /C calc'!A0 表 ../../up"


def quoted(text: str) -> str:
    """Return a value of Hydra's grammar that is exactly `text`."""
    return "'" + text.replace("'", "\\'") + "'"


@pytest.mark.faults
def test_hostile_names_and_params(tmp_path: Path) -> None:
    notes = [HOSTILE, "=1+cmd", "line one\nline two", "表"]
    grid = declare(tmp_path, "remark: null")
    grid += ["lr=0.1", "iters=1,2", "remark=" + ",".join(quoted(note) for note in notes)]
    ended = run_here(["-m", *grid, f"tracking.experiment={quoted(HOSTILE)}"], tmp_path)
    assert ended.code == 0, ended
    assert {path.name for path in tmp_path.iterdir()} == {"declared", "outputs"}
    assert_whole_experiment(tmp_path)
    (report,) = (tmp_path / "outputs" / "reports").iterdir()
    page = (report / "index.html").read_text()
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in (report / "report.md").read_text()
    assert list(report.glob("*.png"))
    store = open_reader(tmp_path, HOSTILE)
    sweep = read.find_sweep(store, "last")
    assert "<script>alert(1)" not in sweep.tags["mlflow.note.content"]
    stored = {run.config()["remark"] for run in read.sweep_runs(store, sweep.sweep_id)}
    assert stored == set(notes)


def assert_whole_experiment(folder: Path) -> None:
    store = open_reader(folder, HOSTILE)
    runs = read.sweep_runs(store, read.find_sweep(store, "last").sweep_id)
    assert len(runs) == 8 and {run.status for run in runs} == {"FINISHED"}


TARGETS = [
    "+evil._target_=os.mkdir",
    "+data._target_=os.mkdir",
    "+network._target_=os.mkdir",
    "trainer._target_=os.mkdir",
    "trainer._target_=shutil.copy",
    "+tracking._target_=os.mkdir",
]


@pytest.mark.parametrize("target", TARGETS)
def test_target_is_not_run(target: str, tmp_path: Path) -> None:
    group = target.lstrip("+").partition(".")[0]
    ended = run_here([target, f"+{group}.path=pwned", "iters=1", "dry_run=true"], tmp_path)
    assert ended.code in (0, 2) and "Traceback" not in ended.err, ended
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
def test_target_outside_the_trainer_is_not_run_by_a_sweep(tmp_path: Path) -> None:
    evil = declare(tmp_path, "evil: {_target_: os.mkdir, path: pwned}")
    ended = run_here(["-m", *evil, "lr=0.1", "iters=1"], tmp_path)
    assert ended.code == 0, ended
    assert {path.name for path in tmp_path.iterdir()} == {"declared", "outputs"}


TRAP = """
from pathlib import Path
Path("sprung").touch()
from tests.faults.trainers import Lasting as Trap
"""


@pytest.mark.faults
def test_stored_target_is_not_run(tmp_path: Path) -> None:
    """Someone has written into the store; the module that it names would leave a file."""
    assert run_here(["-m", "lr=0.1", "iters=1,2"], tmp_path).code == 0
    (tmp_path / "trap.py").write_text(TRAP)
    artifacts = tmp_path / "outputs" / "artifacts"
    (plan,) = artifacts.rglob("plan.json")
    document = json.loads(plan.read_text())
    trap = {"_target_": "trap.Trap", "lr": 0.1}
    for cell in document["cells"]:
        cell["config"]["trainer"] = trap
        cell["choices"]["trainer"] = "trap"
    plan.write_text(json.dumps(document))
    for path in artifacts.rglob("config.yaml"):
        path.write_text(path.read_text() + "\n" + json.dumps({"trainer": trap})[1:-1] + "\n")
    store = open_reader(tmp_path)
    first = read.sweep_runs(store, read.find_sweep(store, "last").sweep_id)[0]
    store.client.delete_run(first.run_id)
    for arguments, module in (
        (["resume=last"], "sweep"),
        (["resume=last", "iters=3"], "sweep"),
        (["-m", "lr=0.1", "iters=1,2", "reuse=true"], "sweep"),
        ([], "sweep.report"),
        ([], "sweep.verify"),
    ):
        ended = run_here(arguments, tmp_path, module=module)
        assert "Traceback" not in ended.err, ended
        assert not (tmp_path / "sprung").exists(), (arguments, module)


@pytest.mark.faults
def test_stored_override_that_names_a_trainer_is_not_run(tmp_path: Path) -> None:
    assert run_here(["-m", "lr=0.1", "iters=1,2"], tmp_path).code == 0
    (tmp_path / "trap.py").write_text(TRAP)
    (plan,) = (tmp_path / "outputs" / "artifacts").rglob("plan.json")
    document = json.loads(plan.read_text())
    names = "comes from the store and names code to run; repeat it on the command line"
    stored = {
        "trainer._target_=trap.Trap": names,
        "trainer={_target_: trap.Trap}": names,
        "+trainer={_target_: trap.Trap}": names,
        "hydra.searchpath=[trap]": "comes from the store and does not describe a run",
    }
    for line, told in stored.items():
        cells = [{**cell, "overrides": [*cell["overrides"], line]} for cell in document["cells"]]
        plan.write_text(json.dumps({**document, "cells": cells}))
        ended = run_here(["resume=last", "dry_run=true"], tmp_path)
        assert ended.code == 2 and f"{line} {told}" in ended.err, ended
    assert not (tmp_path / "sprung").exists()


class Pwn:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, ("pwned",)


def test_pickled_array_in_the_store_is_not_unpickled(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, initial=np.array([Pwn()], dtype=object))
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        read_weights(content.getvalue(), WEIGHTS_LARGE)
    assert not (tmp_path / "pwned").exists()


def test_pickled_array_as_data_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.array([Pwn()], dtype=object))
    (tmp_path / "own" / "data").mkdir(parents=True)
    option = "file: data.npz\ninputs: [x]\ntargets: [x]\n"
    (tmp_path / "own" / "data" / "mine.yaml").write_text(option)
    ended = run_here(["--config-dir", "own", "data=mine"], tmp_path)
    assert ended.code == 2 and "Traceback" not in ended.err, ended
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "outputs").exists()
