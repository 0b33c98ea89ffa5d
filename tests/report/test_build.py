"""A whole report: its files, its answer, and what it survives."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep.report.build import Report, build_report, cost
from sweep.report.data import sweep_data
from sweep.report.files import write
from sweep.report.formats import Table
from sweep.report.tables import trouble_table
from tests.report import stored

FILES = {"runs.csv", "final_error.csv", "report.md", "index.html"}
PICTURES = {"error_curves", "final_error_heatmap", "final_error_by_iterations", "weights"}


def build(folder: Path, axes: dict[str, list[object]]) -> Report:
    stored_sweep, runs = stored.grid(folder / "store", axes)
    return build_report(stored_sweep, runs, folder / "report", command_ui="mlflow ui")


def shown(report: Report) -> Table:
    assert report.final_error is not None
    return report.final_error


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return build(tmp_path_factory.mktemp("default"), stored.DEFAULT)


def test_report_writes_every_file_and_nothing_else(default: Report) -> None:
    names = {path.name for path in default.folder.iterdir()}
    assert names == FILES | {f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")}
    assert names == {path.name for path in default.files}
    assert (default.folder / "weights.svg").read_text().startswith("<?xml")
    text = (default.folder / "report.md").read_text()
    assert "- versions: numpy 2.1" in text
    assert "signature of lr=1.0,iters=1000" in text
    assert default.best is not None and default.best.name == "lr=1.0,iters=1000"
    assert default.note.startswith(default.headline)


@pytest.mark.slow
def test_report_replaces_an_earlier_one(default: Report, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in default.files}
    stored_sweep, runs = stored.grid(tmp_path / "again", stored.DEFAULT)
    again = build_report(stored_sweep, runs, default.folder, command_ui="mlflow ui")
    assert {path.name: path.read_bytes() for path in again.files} == before


def test_report_of_a_sweep_where_nothing_ran(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1, 10]})
    stored_sweep, folder = stored.stored_sweep(tmp_path, plan), tmp_path / "report"
    folder.mkdir()
    for earlier in ("repeats.csv", "weights.png", "mine.png"):
        (folder / earlier).touch()
    report = build_report(stored_sweep, [], folder, command_ui="mlflow ui")
    assert {path.name for path in folder.iterdir()} == FILES | {"mine.png"}
    assert report.best is None and report.headline.startswith(
        "None of 2 runs completed with a final error"
    )
    assert shown(report).rows == (("0.1", "not run", "not run"),)
    assert "are missing" in report.headline


def test_report_with_diverged_huge_and_zero(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0, 2.0], "iters": [10]})
    plan.append(stored.cells({"lr": [0.1], "iters": [10**330]})[0] | {"index": 3})
    runs = [
        stored.stored_run(tmp_path, plan[0], np.array([0.6, 1.7e308])),
        stored.stored_run(
            tmp_path, plan[1], np.array([0.6, 1.7e308]), outcome="diverged",
            metrics={"diverged_at": 2.0},
        ),
        stored.stored_run(tmp_path, plan[2], np.array([0.6, 0.0])),
        stored.stored_run(tmp_path, plan[3], stored.decay(0.1, 10), outcome="interrupted"),
    ]  # fmt: skip
    stored_sweep = stored.stored_sweep(tmp_path, plan)
    report = build_report(stored_sweep, runs, tmp_path / "report", command_ui="mlflow ui")
    with open(tmp_path / "report" / "final_error.csv", newline="") as file:
        assert [row["10"] for row in csv.DictReader(file)] == ["1.7e+308", "", "0.0"]
    assert trouble_table(sweep_data(stored_sweep, runs)).rows[0] == (
        ("lr=1.0,iters=10", "diverged", "NaN or infinity at step 2; best error before: 0.6")
    )
    assert report.best is runs[2]


def test_report_names_damaged_files(tmp_path: Path) -> None:
    stored_sweep, runs = stored.grid(tmp_path / "store", stored.DEFAULT)
    for run in runs:
        for name in ("curve.parquet", "weights.json", "thresholds.json"):
            (tmp_path / "store" / run.run_id / "artifacts" / name).write_bytes(b"\x00{")
    damaged = tmp_path / "store" / runs[0].run_id / "artifacts" / "curve.parquet"
    pd.DataFrame({"step": [0, 1]}).to_parquet(damaged)
    build_report(stored_sweep, runs, tmp_path / "report", command_ui="mlflow ui")
    text = (tmp_path / "report" / "report.md").read_text()
    assert "Could not be read: curve of run lr=" in text and "and 7 more" in text


def test_report_leaves_no_global_style_behind(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = json.dumps({key: str(value) for key, value in mpl.rcParams.items()})
    build(tmp_path, {"lr": [0.1], "iters": [1]})
    assert json.dumps({key: str(value) for key, value in mpl.rcParams.items()}) == before


def test_write_keeps_the_old_file_when_the_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    (tmp_path / "a.txt").chmod(0o644)
    with pytest.raises(TypeError):
        write(path, object())  # type: ignore[arg-type]
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_report_of_5000_runs_is_complete_and_usable(tmp_path: Path) -> None:
    rates = [float(f"{x:.5g}") for x in np.geomspace(1e-3, 10, 1250)]
    report = build(tmp_path, {"lr": rates, "iters": [1, 5, 20, 50]})
    with open(report.folder / "runs.csv", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == 5000
    assert (report.folder / "index.html").stat().st_size < 6_000_000
    assert all(path.stat().st_size < 2_000_000 for path in report.folder.glob("*.svg"))


def test_cost_counts_what_the_sweep_itself_trained(tmp_path: Path) -> None:
    """Of a trajectory once, of runs that were reused nothing, alone where nothing is shared."""
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1, 1.0], "iters": [10, 100]})
    found = cost(sweep_data(sweep, runs))
    assert found["iterations trained"] == "200"
    assert found["separate training"] == "220 iterations (1.10 times as many)"
    taken = [replace(run, tags={**run.tags, "sweep.reused_from": "x"}) for run in runs]
    assert cost(sweep_data(sweep, taken))["iterations trained"] == "0"
    half = [runs[0], taken[1], *runs[2:]]
    assert cost(sweep_data(sweep, half))["iterations trained"] == "110"
    data = sweep_data(sweep, runs)
    alone = replace(data, plan={**data.plan, "shared": False})
    assert cost(alone)["iterations trained"] == "220"


def test_time_of_a_resumed_sweep_ends_with_its_last_run(tmp_path: Path) -> None:
    """The sweep's own end is that of its first part while the report is built."""
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [10]})
    sweep = replace(sweep, end_time=stored.START + 1000)
    later = [replace(run, end_time=stored.START + 3_600_000) for run in runs]
    assert cost(sweep_data(sweep, later))["from start to end"] == "1 h 0 min"
