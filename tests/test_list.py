"""A sweep's name, note and tags: in the list of sweeps, in MLflow, in the report, and as its id."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.config.settings import Tracking
from sweep.tracking import read
from sweep.tracking.store import open_store
from tests.commands import run_here

NOTE = "Two rates, <b>to begin with</b>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a sweep without a name and one that has all."""
    folder = tmp_path_factory.mktemp("named")
    about = ["name=first", f'note="{NOTE}"', "tags={paper: figure3, n: 2}"]
    other = ["lr=0.3", "tracking.experiment=other"]
    for words in (other, ["lr=0.5"], ["lr=0.1,0.2", *about]):
        assert run_here(["-m", "iters=10", *words], folder).code == 0
    return folder


@pytest.mark.slow
def test_list_shows_the_sweeps_newest_first(folder: Path) -> None:
    every = run_here([], folder, module="sweep.list")
    assert every.code == 0, every
    head, *rows = every.out.splitlines()
    assert head.split()[:3] == ["experiment", "sweep", "name"]
    assert [row.split()[0] for row in rows] == ["sweep", "sweep", "other"]
    ended = run_here(["tracking.experiment=sweep"], folder, module="sweep.list")
    head, newest, oldest = ended.out.splitlines()
    assert head.split()[:3] == ["sweep", "name", "begun"]
    assert " first " in newest and " FINISHED  2/2 " in newest
    assert newest.endswith("paper=figure3, n=2; Two rates, <b>to begin with</b>")
    assert " first " not in oldest and " FINISHED  1/1 " in oldest


@pytest.mark.slow
def test_name_note_and_tags_are_in_mlflow_and_in_the_report(folder: Path) -> None:
    sweep = read.find_sweep(
        open_store(Tracking(kind="local", outputs=folder / "outputs"), mode="read"), "first"
    )
    tags = {key: sweep.tags[key] for key in ("sweep.name", "paper", "n", "mlflow.runName")}
    assert tags == {
        "sweep.name": "first", "paper": "figure3", "n": "2", "mlflow.runName": sweep.sweep_id,
    }  # fmt: skip
    note = sweep.tags["mlflow.note.content"]
    assert note.startswith("Best of 2 runs") and "Two rates, &#60;b&#62;" in note
    report = folder / "outputs" / "reports" / sweep.sweep_id
    assert f"# Sweep first ({sweep.sweep_id})" in (report / "report.md").read_text()
    page = (report / "index.html").read_text()
    assert "&lt;b&gt;to begin with" in page and "<b>to begin with" not in page


@pytest.mark.slow
def test_name_is_taken_where_an_id_is(folder: Path) -> None:
    for module in ("sweep.report", "sweep.verify"):
        assert run_here(["sweep=first"], folder, module=module).code == 0
    assert run_here(["sweep=first", "to=copy"], folder, module="sweep.export").code == 0
    assert " first " in run_here(["outputs=copy"], folder, module="sweep.list").out
    ended = run_here(["resume=first", "outputs=copy", "lr=0.3", "note=more"], folder)
    assert ended.code == 0 and "3 runs" in ended.out, ended
    listed = run_here(["outputs=copy"], folder, module="sweep.list").out
    assert " first " in listed and listed.rstrip().endswith("paper=figure3, n=2; more")
    (plan,) = (folder / "copy").rglob("plan.json")
    for text, damaged in (("{", "plan.json: Expecting"), ('{"about": 5}', "plan.json about")):
        plan.write_text(text)
        ended = run_here(["outputs=copy"], folder, module="sweep.list")
        assert ended.code == 0 and f"damaged: {damaged}" in ended.out, ended


def test_store_without_sweeps_or_without_a_store(tmp_path: Path) -> None:
    ended = run_here([], tmp_path, module="sweep.list")
    assert ended.code == 2 and not list(tmp_path.iterdir()), ended
