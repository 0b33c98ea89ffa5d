"""Export a sweep as a store of its own, carry it away, and use every command on it there."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.commands import run_here
from tests.processes import Ended

pytestmark = pytest.mark.slow

POINTS = "x,y\n0.1,0.2\n0.4,0.3\n0.9,0.8\n"
DATA = ["data.inputs=[x]", "data.targets=[y]"]
NETWORK = ["network.layers=[1,2,1]", "network.weights=null", "network.biases=null"]
INIT = ["++network.init={scheme: xavier}", "rule=gradient"]
GRID = ["-m", *DATA, *NETWORK, *INIT, "lr=0.1,1.0", "iters=5,20"]
FILES = ("curve.parquet", "thresholds.json", "weights.json")


class Exported(NamedTuple):
    """A sweep in its home and the folder that it was exported to."""

    home: Path
    folder: Path
    ended: Ended


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return a sweep on a data file of another experiment, exported."""
    home = tmp_path_factory.mktemp("home")
    (home / "my points.csv").write_text(POINTS)
    other = "tracking.experiment=other"
    ended = run_here([*GRID, "data.file='my points.csv'", other], home)
    assert ended.code == 0, ended.err
    ended = run_here(["to=away/exported", other], home, module="sweep.export")
    assert ended.code == 0, ended.err
    return Exported(home, home / "away" / "exported", ended)


def test_files_of_a_pattern_in_the_users_home_and_a_second_file_are_taken_along(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name, rows in (("part2", "0.9,0.8\n"), ("part1", "0.1,0.2\n"), ("other", "0.4,0.3\n")):
        (home / f"{name}.csv").write_text(f"x,y\n{rows}")
    env = {"HOME": str(home)}
    grid = [*GRID, "data.file='~/part*.csv'", "data.validation='~/other.csv'"]
    ended = run_here(grid, tmp_path, env=env)
    assert ended.code == 0, ended.err
    ended = run_here(["to=away"], tmp_path, env=env, module="sweep.export")
    assert ended.code == 0, ended.err
    assert "Left out" not in ended.out
    shutil.rmtree(home)
    ended = run_here(["outputs=away", "to=again"], tmp_path, module="sweep.export")
    assert ended.code == 0, ended.err
    ended = run_here(["outputs=again"], tmp_path, module="sweep.verify")
    assert ended.out.splitlines()[-1] == "4 runs verified, 0 differ, 0 not verified"


@pytest.fixture
def folder(exported: Exported, tmp_path: Path) -> Path:
    """Return a copy of the folder in a place that knows neither the first store nor its data."""
    return Path(shutil.copytree(exported.folder, tmp_path / "elsewhere" / "copy"))


def runs_of(outputs: Path, experiment: str) -> dict[str, Run]:
    """Return every run of a store by its name."""
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id])
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


def artifact(outputs: Path, run: Run, name: str) -> Path:
    return outputs / "artifacts" / run.info.run_id / "artifacts" / name


def test_folder_is_a_store_with_report_and_data(exported: Exported) -> None:
    names = "README.md artifacts data mlflow.db reports"
    assert sorted(os.listdir(exported.folder)) == names.split()
    (report,) = (exported.folder / "reports").iterdir()
    names = {path.name for path in report.iterdir()}
    assert {"index.html", "report.md", "runs.csv", "final_error.csv"} <= names
    (data,) = (exported.folder / "data").iterdir()
    assert data.read_text() == POINTS
    assert os.listdir(exported.folder.parent) == ["exported"], "nothing is left beside it"
    assert "python -m sweep.verify outputs=away/exported" in exported.ended.out
    assert report.name in (exported.folder / "README.md").read_text()


def test_copy_holds_every_value_of_the_store(exported: Exported) -> None:
    here, there = exported.home / "outputs", exported.folder
    first, second = runs_of(here, "other"), runs_of(there, "sweep")
    clients = [MlflowClient(f"sqlite:///{place}/mlflow.db") for place in (here, there)]
    assert first.keys() == second.keys()
    assert len(first) == 5
    own = {"mlflow.parentRunId", "mlflow.note.content", "sweep.heartbeat"}
    for name, run in first.items():
        copy = second[name]
        params = dict(run.data.params)
        if "data.file" in params:  # the copy trains on the file that was copied with it
            (data,) = (there / "data").iterdir()
            params["data.file"] = f"data/{data.name}"
        assert copy.data.params == params
        assert copy.data.metrics == run.data.metrics
        tags = {key: text for key, text in run.data.tags.items() if key not in own}
        assert {key: text for key, text in copy.data.tags.items() if key not in own} == tags
        for part in ("status", "start_time", "end_time"):
            assert getattr(copy.info, part) == getattr(run.info, part)
        for key in run.data.metrics:
            values = [
                {
                    (one.step, one.value, one.timestamp)
                    for one in client.get_metric_history(id_, key)
                }
                for client, id_ in zip(clients, (run.info.run_id, copy.info.run_id), strict=True)
            ]
            assert values[0] == values[1]
        if "mlflow.parentRunId" in run.data.tags:
            for file in FILES:
                old, new = artifact(here, run, file), artifact(there, copy, file)
                assert new.read_bytes() == old.read_bytes()
            parent = copy.data.tags["mlflow.parentRunId"]
            assert second[copy.data.tags["sweep.id"]].info.run_id == parent


def test_mlflow_itself_finds_the_artifacts_where_they_lie(exported: Exported) -> None:
    for run in runs_of(exported.folder, "sweep").values():
        assert run.info.artifact_uri == artifact(exported.folder, run, "").as_uri()


def test_note_leads_to_the_copy(exported: Exported) -> None:
    first, second = runs_of(exported.home / "outputs", "other"), runs_of(exported.folder, "sweep")
    (note,) = (
        run.data.tags["mlflow.note.content"] for name, run in second.items() if "=" not in name
    )
    assert any(run.info.run_id in note for run in second.values())
    assert not any(run.info.run_id in note for run in first.values())


def test_every_command_works_on_a_moved_folder(folder: Path) -> None:
    """A run that is not finished is trained, and a grid point is added."""
    here = ["outputs=copy"]
    ended = run_here(here, folder.parent, module="sweep.report")
    assert ended.code == 0, ended.err
    assert "Best of 4 runs" in ended.out
    run = runs_of(folder, "sweep")["lr=1.0,iters=20"]
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("DELETE FROM metrics WHERE run_uuid=?", (run.info.run_id,))
        database.execute("UPDATE runs SET status='KILLED' WHERE run_uuid=?", (run.info.run_id,))
    ended = run_here([*here, "resume=last", "lr=2.0"], folder.parent)
    assert ended.code == 0, ended.out + ended.err
    ended = run_here(here, folder.parent, module="sweep.verify")
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.splitlines()[-1] == "6 runs verified, 0 differ, 0 not verified"
    assert os.listdir(folder.parent) == ["copy"]


def test_change_of_the_folder_is_noticed_and_named(folder: Path) -> None:
    run = runs_of(folder, "sweep")["lr=1.0,iters=20"]
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute(
            "UPDATE latest_metrics SET value = value * 1.0000000001 "
            "WHERE key='best_error' AND run_uuid=?",
            (run.info.run_id,),
        )
    artifact(folder, run, "curve.parquet").unlink()
    (data,) = (folder / "data").iterdir()
    ended = run_here(["outputs=copy"], folder.parent, module="sweep.verify")
    assert ended.code == 1
    assert "metric best_error: stored " in ended.out
    assert "curve.parquet: stored nothing" in ended.out
    assert "3 runs verified, 1 differ" in ended.out
    data.write_text(POINTS + "1.0,1.0\n")
    ended = run_here(["outputs=copy"], folder.parent, module="sweep.verify")
    assert ended.code == 1
    assert f"has its data file data/{data.name} changed?" in ended.out


def test_zip_unpacks_to_a_folder_of_its_name(exported: Exported, tmp_path: Path) -> None:
    to = f"to='{tmp_path / 'small.zip'}'"
    ended = run_here([to, "tracking.experiment=other"], exported.home, module="sweep.export")
    assert ended.code == 0, ended.err
    assert "python -m sweep.verify outputs=small" in ended.out
    assert os.listdir(tmp_path) == ["small.zip"]
    with zipfile.ZipFile(tmp_path / "small.zip") as packed:
        packed.extractall(tmp_path / "unpacked")
    assert os.listdir(tmp_path / "unpacked") == ["small"]
    ended = run_here(["outputs=small"], tmp_path / "unpacked", module="sweep.verify")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == "4 runs verified, 0 differ, 0 not verified"


def change_plan(outputs: Path, **changes: Any) -> dict[str, Any]:
    path = next((outputs / "artifacts").rglob("plan.json"))
    plan: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({**plan, **changes}))
    return plan


def test_export_refuses_what_exists_and_leaves_changed_data_out(
    exported: Exported, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(exported.home, tmp_path / "home"))
    other, taken = "tracking.experiment=other", home / "taken"
    taken.mkdir()
    ended = run_here(["to=taken", other], home, module="sweep.export")
    assert (ended.code, ended.out) == (2, "")
    assert "it exists already" in ended.err
    assert not list(taken.iterdir())
    (home / "my points.csv").write_text(POINTS + "1.0,1.0\n")
    plan = change_plan(home / "outputs", base=str(home))
    assert plan["base"] == str(exported.home)
    ended = run_here(["to=taken/new", other], home, module="sweep.export")
    assert ended.code == 0, ended.err
    assert "Left out: data file my points.csv" in ended.out
    assert not (taken / "new" / "data").exists()
    assert os.listdir(taken) == ["new"]
    change_plan(home / "outputs", cells=[{"config": {}}])
    ended = run_here(["to=taken/damaged", other], home, module="sweep.export")
    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert os.listdir(taken) == ["new"]
