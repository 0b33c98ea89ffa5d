"""The main job, run once as a user runs it and looked at from every side."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from tests import notebook
from tests.commands import run_here
from tests.processes import ROOT, Ended, run_sweep
from tests.stores import PARENTS, client_of, runs_of

GOLDEN = {
    (entry["rule"], entry["lr"], entry["iters"]): entry
    for entry in json.loads((ROOT / "tests" / "training" / "golden.json").read_text())["points"]
}
RATES = (0.01, 0.05, 1.0)
COUNTS = (1, 1000, 10000, 100000)
ARTIFACTS = {"config.yaml", "curve.parquet", "weights.json", "thresholds.json"}


class Stored(NamedTuple):
    """A sweep that ended, and what its store holds."""

    folder: Path
    ended: Ended
    parent: Run
    children: dict[tuple[float, int], Run]
    client: MlflowClient

    def artifact(self, run: Run, name: str) -> Path:
        return self.folder / "outputs" / "artifacts" / run.info.run_id / "artifacts" / name


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """Return the default grid, swept in a folder whose path holds a space and a `=`."""
    folder = tmp_path_factory.mktemp("main") / "a class" / "lr=all"
    folder.mkdir(parents=True)
    ended = run_here(["-m"], folder)
    assert ended.code == 0, ended
    outputs = folder / "outputs"
    (parent,) = runs_of(outputs, PARENTS).values()
    children = {
        (float(run.data.params["lr"]), int(run.data.params["iters"])): run
        for run in runs_of(outputs).values()
    }
    yield Stored(folder, ended, parent, children, client_of(outputs))


def test_grid_has_twelve_finished_children_and_one_parent(grid: Stored) -> None:
    assert set(grid.children) == {(lr, iters) for lr in RATES for iters in COUNTS}
    assert grid.parent.info.status == "FINISHED"
    for run in grid.children.values():
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == grid.parent.info.run_id
        assert run.data.tags["sweep.id"] == grid.parent.info.run_name
        assert run.data.tags["sweep.outcome"] == "completed"


@pytest.mark.parametrize("lr", RATES)
@pytest.mark.parametrize("iters", COUNTS)
def test_grid_holds_the_golden_values(grid: Stored, lr: float, iters: int) -> None:
    golden, run = GOLDEN["notebook", lr, iters], grid.children[lr, iters]
    root = math.sqrt(float(golden["final_error"]))
    assert abs(math.sqrt(run.data.metrics["final_error"]) - root) <= 1e-9 * root + 1e-13
    weights = json.loads(grid.artifact(run, "weights.json").read_text())
    assert weights["initial"] == notebook.notebook_network().named()
    final = weights["final"]
    assert list(final) == list(golden["weights"])
    for name, value in golden["weights"].items():
        assert final[name] == pytest.approx(float(value), rel=1e-9)
        assert run.data.metrics[f"weights/{name}"] == final[name]


def test_run_has_the_contracts_params_tags_and_metrics(grid: Stored) -> None:
    run = grid.children[0.05, 1000]
    assert run.info.run_name == "lr=0.05,iters=1000"
    assert run.data.params == {
        "lr": "0.05",
        "iters": "1000",
        "rule": "notebook",
        "seed": "0",
        "network": "notebook",
        "data": "notebook",
        "trainer": "backprop",
    }
    tags = {"mlflow.user", "mlflow.source.name", "sweep.signature", "sweep.platform"}
    assert tags | {"sweep.versions"} <= set(run.data.tags)
    assert (run.data.tags["sweep.role"], run.data.tags["sweep.outcome"]) == ("run", "completed")
    assert run.info.end_time >= run.info.start_time
    metrics = run.data.metrics
    names = "error initial_error final_error final_error_log10 best_error best_step train_seconds"
    weights = {f"weights/{name}" for name in notebook.WEIGHTS_AFTER}
    assert set(metrics) == {*names.split(), *weights}
    assert metrics["initial_error"] == pytest.approx(0.6191630604850664, abs=1e-15)
    assert metrics["error"] == metrics["final_error"] == metrics["best_error"]
    assert metrics["best_step"] == 1000
    assert metrics["final_error_log10"] == pytest.approx(math.log10(metrics["final_error"]))
    assert metrics["train_seconds"] > 0
    assert "stalled_at" in grid.children[1.0, 10000].data.metrics


def test_runs_chart_curve_is_thin_and_has_both_ends(grid: Stored) -> None:
    run = grid.children[0.01, 100000]
    points = grid.client.get_metric_history(run.info.run_id, "error")
    steps = sorted(point.step for point in points)
    assert steps[0] == 0
    assert steps[-1] == 100000
    assert 50 <= len(steps) <= 320
    assert len(set(steps)) == len(steps)
    table = pyarrow.parquet.read_table(grid.artifact(run, "curve.parquet"))
    errors = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert all(errors[point.step] == point.value for point in points)


def test_run_has_the_contracts_artifacts(grid: Stored) -> None:
    for (lr, iters), run in grid.children.items():
        folder = grid.artifact(run, "")
        assert {path.name for path in folder.iterdir()} == ARTIFACTS
        assert {item.path for item in grid.client.list_artifacts(run.info.run_id)} == ARTIFACTS
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert (config["lr"], config["iters"]) == (lr, iters)
        assert config["network"]["layers"] == [4, 3, 2]
        table = pyarrow.parquet.read_table(folder / "curve.parquet")
        assert [str(field.type) for field in table.schema] == ["int64", "double"]
        assert table.column_names == ["step", "error"]
        assert table["step"].to_pylist() == list(range(iters + 1))


def test_thresholds_are_the_first_steps_of_the_curve(grid: Stored) -> None:
    run = grid.children[0.05, 100000]
    found = json.loads(grid.artifact(run, "thresholds.json").read_text())
    curve = pyarrow.parquet.read_table(grid.artifact(run, "curve.parquet"))["error"].to_numpy()
    for level in ("1e-1", "1e-3", "1e-6"):
        below = np.nonzero(curve <= float(level))[0]
        assert found[level] == (int(below[0]) if len(below) else None)


def test_parent_has_plan_metrics_note_and_report(grid: Stored) -> None:
    parent = grid.parent
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-z]{4}", parent.info.run_name)
    assert parent.data.metrics["runs_total"] == parent.data.metrics["runs_finished"] == 12
    assert parent.data.metrics["runs_failed"] == parent.data.metrics["runs_diverged"] == 0
    best = min(run.data.metrics["final_error"] for run in grid.children.values())
    assert parent.data.metrics["best_final_error"] == best
    assert "|" in parent.data.tags["mlflow.note.content"]
    plan = json.loads(grid.artifact(parent, "plan.json").read_text())
    assert plan["command"] == "python -m sweep -m"
    assert plan["axes"] == ["lr", "iters"]
    for cell in plan["cells"]:
        run = grid.children[cell["config"]["lr"], cell["config"]["iters"]]
        assert run.data.tags["sweep.signature"] == cell["signature"]
        assert run.info.run_name == cell["name"]
    report = {path.name for path in grid.artifact(parent, "report").iterdir()}
    assert {"index.html", "report.md", "runs.csv", "final_error.csv"} <= report
    assert len([name for name in report if name.endswith(".png")]) >= 4


def test_tables_equal_the_store_to_the_last_digit(grid: Stored) -> None:
    folder = grid.folder / "outputs" / "reports" / grid.parent.info.run_name
    with open(folder / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for row in rows:
        run = grid.children[float(row["lr"]), int(row["iters"])]
        for name, value in run.data.metrics.items():
            assert float(row[name]) == value, name
    with open(folder / "final_error.csv", newline="") as file:
        table = {row["lr"]: row for row in csv.DictReader(file)}
    for (lr, iters), run in grid.children.items():
        assert float(table[repr(lr)][str(iters)]) == run.data.metrics["final_error"]


def test_terminal_shows_table_report_best_run_and_ui_command(grid: Stored) -> None:
    out = grid.ended.out
    assert grid.ended.err == ""
    assert "12 runs, 3 trajectories, 300000 iterations" in out
    assert "lr=1.0" in out
    assert f"outputs/reports/{grid.parent.info.run_name}/index.html" in out
    assert "mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db" in out
    assert f"Compare:     python -m sweep.ui sweep={grid.parent.info.run_name}\n" in out
    for count in COUNTS:
        assert str(count) in out
    assert "\x1b" not in out, "no control codes where there is no terminal"


def test_outputs_hold_what_the_design_names_and_nothing_else(grid: Stored) -> None:
    outputs = grid.folder / "outputs"
    names = {path.name for path in outputs.iterdir()}
    assert {"mlflow.db", "artifacts", "sweeps", "reports"} <= names
    assert "mlruns" not in {path.name for path in grid.folder.iterdir()}
    assert [path.name for path in grid.folder.iterdir()] == ["outputs"]
    folder = outputs / "sweeps" / grid.parent.info.run_name
    files = {path.name for path in folder.iterdir()}
    assert files == {"multirun.yaml", "overrides.yaml", "sweep.log"}
    log = (folder / "sweep.log").read_text()
    assert log.count("final error") == 12 and "12 runs without jobs" in log


def test_report_can_be_built_again_from_the_store_alone(grid: Stored) -> None:
    folder = grid.folder / "outputs" / "reports" / grid.parent.info.run_name
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    for path in folder.iterdir():
        path.unlink()
    ended = run_here([], grid.folder, module="sweep.report")
    assert ended.code == 0, ended
    assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == before
    assert "index.html" in ended.out


@pytest.mark.slow
def test_two_sweeps_can_be_compared(tmp_path: Path) -> None:
    for rate in ("0.1", "0.2"):
        assert run_here(["-m", f"lr={rate}", "iters=5,10"], tmp_path).code == 0
    first, second = sorted(path.name for path in (tmp_path / "outputs" / "sweeps").iterdir())
    ended = run_here([f"compare=[{first},{second}]"], tmp_path, module="sweep.report")
    assert ended.code == 0, ended
    folder = tmp_path / "outputs" / "reports" / f"{first}+{second}"
    assert {"comparison.csv", "index.html"} <= {path.name for path in folder.iterdir()}
    ended = run_here([f"compare=[{first}]"], tmp_path, module="sweep.report")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)


def test_report_of_an_unknown_sweep_is_one_sentence(grid: Stored) -> None:
    ended = run_here(["sweep=20200101-000000-none"], grid.folder, module="sweep.report")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert "20200101-000000-none" in ended.err


def test_report_where_nothing_is_stored_is_one_sentence(tmp_path: Path) -> None:
    ended = run_here([], tmp_path, module="sweep.report")
    assert ended.code in (2, 3)
    assert len(ended.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def printed(out: str) -> dict[str, float]:
    """Return every ``name: number`` and ``name = number`` of a text, the last one of a name."""
    found = re.findall(r"(\w+)(?::| +=|  +=) +(-?[\d.]+(?:e-?\d+)?)", out)
    return {name: float(value) for name, value in found}


def neurons(hidden: list[float], outputs: list[float]) -> dict[str, float]:
    return {f"h{n}": h for n, h in enumerate(hidden, 1)} | {
        f"o{n}": o for n, o in enumerate(outputs, 1)
    }


BEFORE = {**neurons(notebook.HIDDEN, notebook.OUTPUTS), "error": notebook.ERROR}

AFTER = neurons(notebook.HIDDEN_AFTER, notebook.OUTPUTS_AFTER) | notebook.WEIGHTS_AFTER
AFTER |= {f"t{n}": target for n, target in enumerate(notebook.TARGETS[0], 1)}


def test_single_run_prints_and_stores_the_notebooks_example(weird_path: Path) -> None:
    ended = run_sweep([], weird_path)
    assert ended.code == 0, ended
    assert ended.err == ""
    before, after = ended.out.split("After 1 iteration")
    for text, values in ((before, BEFORE), (after, AFTER)):
        numbers = {**printed(ended.out), **printed(text)}
        for name, value in values.items():
            assert abs(numbers[name] - value) <= 1e-15, name
    assert "e-" not in after.split("Network weights")[1].split("Stored")[0], "plain numbers"
    (run,) = runs_of(weird_path / "outputs").values()
    assert run.info.status == "FINISHED"
    assert "mlflow.parentRunId" not in run.data.tags
    assert "sweep.id" not in run.data.tags
    trained, end, again = run.data.tags["mlflow.note.content"].split("\n\n")
    assert trained.startswith("    lr=0.1, iters=1, rule=notebook,")
    assert end == f"    completed, final error {run.data.metrics['final_error']!r}"
    assert again == "    python -m sweep"
    assert run.info.run_id in ended.out
    (folder,) = (weird_path / "outputs" / "runs").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-z]{4}", folder.name)
    assert not (weird_path / "outputs" / "reports").exists()


@pytest.mark.slow
def test_third_axis_has_rows_of_its_own(tmp_path: Path) -> None:
    ended = run_here(["-m", "rule=notebook,gradient", "lr=0.05,1.0", "iters=10,1000"], tmp_path)
    assert ended.code == 0, ended
    (report,) = (tmp_path / "outputs" / "reports").iterdir()
    assert (report / "rules.png").is_file()
    title = "## The notebook’s rule against the gradient"
    assert title in (report / "report.md").read_text(encoding="utf-8")
    with open(report / "final_error.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["rule"], row["lr"]) for row in rows} == {
        (rule, lr) for rule in ("notebook", "gradient") for lr in ("0.05", "1.0")
    }
    for row in rows:
        golden = GOLDEN[row["rule"], float(row["lr"]), 1000]
        root = math.sqrt(float(golden["final_error"]))
        assert abs(math.sqrt(float(row["1000"])) - root) <= 1e-9 * root + 1e-13


@pytest.mark.slow
def test_stray_mlruns_folder_and_environment_divert_nothing(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/elsewhere.db"}
    ended = run_here(["-m", "lr=0.5", "iters=3"], tmp_path, env=env)
    assert ended.code == 0, ended
    assert (tmp_path / "outputs" / "mlflow.db").exists()
    assert not (tmp_path / "elsewhere.db").exists()
    assert list((tmp_path / "mlruns").iterdir()) == []
    assert len(runs_of(tmp_path / "outputs")) == 1
