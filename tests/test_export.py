"""Export a sweep as a folder, carry it away, and verify it there; tamper with the folder."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest
from mlflow import MlflowClient

from sweep.config.spec import BUILT_IN
from sweep.engine.signals import StopRequest
from sweep.engine.sweep import platform_tags
from sweep.errors import NotFoundError, StoreError
from sweep.tracking.folder import read_folder
from sweep.verify.check import Verdict, prepared, totals
from sweep.verify.sources import Stored, from_folder
from tests.processes import Ended, run_sweep

KEYS: dict[str, Any] = {"sweep": "last", "run": None, "from": "exported"}
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


@pytest.fixture
def folder(exported: Exported, tmp_path: Path) -> Path:
    """Return a copy of the exported folder, in a place that knows neither store nor data."""
    os.chdir(tmp_path)
    return Path(shutil.copytree(exported.folder, tmp_path / "exported"))


def verdicts(stored: Stored) -> list[Verdict]:
    check = prepared(stored.runs, stored.plan, stored.origin, platform_tags()["sweep.platform"])
    found = list(check.verdicts(stored.history, StopRequest()))
    assert stored.sweep is not None
    found += totals(stored.sweep, stored.runs)
    return [verdict for verdict in found if verdict.word != "equal"]


def told(stored: Stored) -> list[str]:
    return [
        *stored.damaged,
        *(str(one) for verdict in verdicts(stored) for one in verdict.differences),
    ]


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
    assert "python -m sweep.verify from=away/exported" in exported.ended.out


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


def test_folder_is_verified_where_there_is_no_store(folder: Path) -> None:
    ended = run_sweep(["from=exported"], folder.parent, module="sweep.verify")
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.splitlines()[-1] == "4 runs verified, 0 differ, 0 not verified"
    assert [path.name for path in folder.parent.iterdir()] == ["exported"]


def test_command_ends_with_1_where_the_folder_was_changed(folder: Path) -> None:
    (folder / "report" / "report.md").write_text("all is well")
    ended = run_sweep(["from=exported"], folder.parent, module="sweep.verify")
    assert ended.code == 1
    assert "4 runs verified, 0 differ" in ended.out
    assert "report/report.md: its content is not what it was" in ended.out


def first_run(folder: Path) -> Path:
    return sorted((folder / "runs").iterdir())[0]


def metrics_table(folder: Path) -> None:
    path = folder / "tables" / "metrics.parquet"
    table = pyarrow.parquet.read_table(path)
    rows = table.to_pylist()
    rows[5]["value"] *= 1 + 1e-15
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), path)


def manifest(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        path = folder / "manifest.json"
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return tamper


def forge(tamper: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a tampering by somebody who puts the digests right as well."""

    def forged(folder: Path) -> None:
        tamper(folder)
        manifest(lambda value: value.update(files={}))(folder)

    return forged


def wrong_weight(folder: Path) -> None:
    path = first_run(folder) / "weights.json"
    weights = json.loads(path.read_text())
    weights["final"]["w1"] *= 1 + 1e-15
    path.write_text(json.dumps(weights))


def wrong_metric(value: Any) -> None:
    value["runs"][0]["metrics"]["final_error"] *= 1 + 1e-15


def wrong_param(value: Any) -> None:
    value["runs"][0]["params"]["seed"] = "7"


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (first_run(folder) / name).unlink()


TAMPERED: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "history": (forge(metrics_table), "metric error, history at step"),
    "history, seen by its digest": (metrics_table, "tables/metrics.parquet: its content"),
    "last value": (manifest(wrong_metric), "metric final_error: stored"),
    "param": (manifest(wrong_param), "param seed: stored 7"),
    "weight": (forge(wrong_weight), "weights.json final w1"),
    "file gone": (forge(without("curve.parquet")), "curve.parquet: stored nothing"),
    "file gone, seen by its digest": (without("thresholds.json"), "runs/"),
    "run gone": (
        manifest(lambda value: value["runs"].pop()),
        "run: stored nothing, plan.json and the sweep's status a finished run",
    ),
    "data": (
        forge(lambda folder: next((folder / "data").iterdir()).write_text(POINTS + "1,1\n")),
        "tag sweep.signature: stored",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_change_of_the_folder_is_noticed_and_named(how: str, folder: Path) -> None:
    tamper, expected = TAMPERED[how]
    tamper(folder)
    found = told(from_folder(KEYS, BUILT_IN))
    assert any(text.startswith(expected) for text in found), found


def test_run_without_its_data_file_is_not_verified(folder: Path) -> None:
    manifest(lambda value: value.update(data_files={}))(folder)
    (folder.parent / "points.csv").write_text(POINTS)  # no file outside the folder is read
    found = verdicts(from_folder(KEYS, BUILT_IN))
    assert {one.word for one in found} == {"not verified"}
    assert "points.csv is not part of the folder" in found[0].reason


def escape(value: Any) -> None:
    value["data_files"]["points.csv"] = "../../points.csv"


def escaping_run(value: Any) -> None:
    value["runs"][0]["run_id"] = "../../etc"


BROKEN: Mapping[str, Callable[[Path], object]] = {
    "data leads out": manifest(escape),
    "id leads out": manifest(escaping_run),
    "digest leads out": manifest(lambda value: value["files"].update({"../x": "0"})),
    "other version": manifest(lambda value: value.update(version=2)),
    "no JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "a list": lambda folder: (folder / "manifest.json").write_text("[]"),
    "a field less": manifest(lambda value: value["runs"][0].pop("tags")),
    "a field of another type": manifest(lambda value: value["runs"][0].update(metrics=["a"])),
    "a metric that is text": manifest(lambda value: value["runs"][0]["metrics"].update(a="1")),
    "no metrics": lambda folder: (folder / "tables" / "metrics.parquet").unlink(),
    "no Parquet": lambda folder: (folder / "tables" / "metrics.parquet").write_bytes(b"PAR1"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_folder_that_is_broken_or_leads_out_is_refused_in_one_sentence(
    how: str, folder: Path
) -> None:
    BROKEN[how](folder)
    with pytest.raises(StoreError) as refused:
        list(from_folder(KEYS, BUILT_IN).runs)
    assert "\n" not in str(refused.value)


def test_link_out_of_the_folder_is_not_read(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_text("weights")
    path = first_run(folder) / "weights.json"
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(StoreError, match="leads out of the folder"):
        read_folder(folder)


def test_folder_of_another_sweep_or_of_none_is_refused(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="holds sweep"):
        from_folder({**KEYS, "sweep": "20200101-000000-aaaa"}, BUILT_IN)
    with pytest.raises(NotFoundError, match="no such run"):
        from_folder({**KEYS, "run": "0" * 32}, BUILT_IN)
    with pytest.raises(NotFoundError, match=r"no manifest\.json"):
        from_folder({**KEYS, "from": "."}, BUILT_IN)


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
