"""Export a sweep as a folder."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet
import pytest
from mlflow import MlflowClient

from tests.processes import Ended, run_sweep

POINTS = "x,y\n0.1,0.2\n0.4,0.3\n0.9,0.8\n"
DATA = ["data.file=points.csv", "data.inputs=[x]", "data.targets=[y]"]
NETWORK = ["network.layers=[1,2,1]", "network.weights=null", "network.biases=null"]
INIT = ["++network.init={scheme: xavier}", "rule=gradient"]


class Exported(NamedTuple):
    """A sweep and its folder."""

    home: Path
    folder: Path
    ended: Ended


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return a sweep on a data file, exported."""
    home = tmp_path_factory.mktemp("home")
    (home / "points.csv").write_text(POINTS)
    ended = run_sweep(["-m", *DATA, *NETWORK, *INIT, "lr=0.1,1.0", "iters=5,20"], home)
    assert ended.code == 0, ended.err
    ended = run_sweep(["to=away/exported"], home, module="sweep.export")
    assert ended.code == 0, ended.err
    return Exported(home, home / "away" / "exported", ended)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_folder_holds_what_it_promises(exported: Exported) -> None:
    found = names(exported.folder)
    for kind in ("csv", "parquet"):
        assert {f"tables/{name}.{kind}" for name in ("runs", "final_error", "metrics")} <= found
    assert {"README.md", "manifest.json", "plan.json", "versions.json"} <= found
    assert {"report/index.html", "report/report.md"} <= found
    runs = [path for path in (exported.folder / "runs").iterdir()]
    assert len(runs) == 4
    for run in runs:
        files = {path.name for path in run.iterdir()}
        assert files == {"config.yaml", "curve.parquet", "weights.json", "thresholds.json"}
    (data,) = (exported.folder / "data").iterdir()
    assert data.read_text() == POINTS
    assert not [path for path in exported.folder.parent.iterdir() if path.name.startswith(".")]
    assert "is in away/exported" in exported.ended.out


def test_tables_hold_every_number_of_the_store(exported: Exported) -> None:
    client = MlflowClient(f"sqlite:///{exported.home}/outputs/mlflow.db")
    table = pyarrow.parquet.read_table(exported.folder / "tables" / "runs.parquet").to_pylist()
    with (exported.folder / "tables" / "runs.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    history = pyarrow.parquet.read_table(exported.folder / "tables" / "metrics.parquet")
    assert len(table) == len(lines) == 4
    for row, line in zip(table, lines, strict=True):
        run = client.get_run(row["run_id"])
        for key, value in run.data.metrics.items():
            assert row[key] == value
            assert float(line[key]) == value
        assert {key: row[key] for key in run.data.params} == run.data.params
        points = {
            (one["step"], one["value"])
            for one in history.to_pylist()
            if one["run_id"] == row["run_id"] and one["key"] == "error"
        }
        stored = client.get_metric_history(row["run_id"], "error")
        assert points == {(one.step, one.value) for one in stored}
    with (exported.folder / "tables" / "metrics.csv").open(newline="") as file:
        texts = list(csv.DictReader(file))
    assert [float(one["value"]) for one in texts] == history["value"].to_pylist()


def test_export_refuses_a_folder_that_exists_and_leaves_changed_data_out(
    exported: Exported, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(exported.home, tmp_path / "home"))
    taken = home / "taken"
    taken.mkdir()
    ended = run_sweep(["to=taken"], home, module="sweep.export")
    assert (ended.code, ended.out) == (2, "")
    assert "it exists already" in ended.err
    assert not list(taken.iterdir())
    plan = next((home / "outputs" / "artifacts").rglob("plan.json"))
    content = json.loads(plan.read_text())
    assert content["base"] == str(exported.home)
    (home / "points.csv").write_text(POINTS + "1.0,1.0\n")
    plan.write_text(json.dumps({**content, "base": str(home)}))
    ended = run_sweep(["to=taken/new"], home, module="sweep.export")
    assert ended.code == 0, ended.err
    assert "Left out: data file points.csv" in ended.out
    assert not (taken / "new" / "data").exists()
    assert os.listdir(taken) == ["new"]
