"""Repeats of a grid point are one line of every table, and the mean decides."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.report import files, tables
from sweep.report.answer import answer
from sweep.report.axes import main_axis
from sweep.report.build import build_report
from sweep.report.data import SweepData, sweep_data
from sweep.report.figures import pictures_of
from sweep.report.figures.curves import curves_data
from sweep.report.figures.rules import rule_pairs
from sweep.report.figures.sheet import panels_of
from tests.report import stored

SEEDS = list(range(10))


def ended(folder: Path, ends: Mapping[float, list[float]], **question: Any) -> SweepData:
    """Return the data of a run for each rate and seed, with these final errors."""
    seeds = max(map(len, ends.values()))
    plan = stored.cells({"lr": list(ends), "iters": [10], "seed": list(range(seeds))})
    runs = []
    for cell in plan:
        own = ends[cell["values"]["lr"]]
        if cell["values"]["seed"] < len(own):
            end = own[cell["values"]["seed"]]
            diverged = {"outcome": "diverged"} if np.isnan(end) else {}
            last = 1.0 if diverged else end
            runs.append(stored.stored_run(folder, cell, np.array([0.6, last]), **diverged))
    sweep = stored.stored_sweep(folder, plan, **{"repeats": ["seed"], **question})
    return sweep_data(sweep, runs)


LUCKY = {
    0.1: [0.30 + 0.001 * seed for seed in SEEDS],
    0.5: [0.10 + 0.001 * seed for seed in SEEDS],
    0.7: [0.05, *(0.25 + 0.001 * seed for seed in SEEDS[1:])],
}
"""At 0.7 one seed is the best of all, at 0.5 the mean is."""


@pytest.fixture(scope="module")
def lucky(tmp_path_factory: pytest.TempPathFactory) -> SweepData:
    return ended(tmp_path_factory.mktemp("lucky"), LUCKY)


def test_best_by_the_mean_is_not_the_luckiest_run(lucky: SweepData) -> None:
    assert lucky.best.lr == 0.5 and lucky.best.n == 10
    assert lucky.best.value == pytest.approx(0.1045)
    text = answer(lucky)
    assert text.startswith(
        "Best of 3 grid points by final error, the mean of 10 seeds: lr=0.5, 10 iterations, "
        "final error 0.1045 ± 0.003 (0.1 to 0.109)."
    )
    assert "The best single run is another: lr=0.7,iters=10,seed=0 with 0.05." in text
    assert "equal" not in text


def test_points_that_their_spread_cannot_tell_apart_are_equal(tmp_path: Path) -> None:
    near = [0.05 + 0.01 * seed for seed in SEEDS]
    data = ended(tmp_path, {0.1: [3.0] * 10, 0.5: near, 0.7: [end + 0.001 for end in near]})
    assert "0.5 and 0.7 are equal within the spread of 10 seeds." in answer(data)


def test_mean_that_decides_is_what_the_spread_is_of(tmp_path: Path) -> None:
    """Two seeds of ten are far off, so the means are no different, whatever the logarithms."""
    small = [1e-8 * 2**seed for seed in SEEDS]
    data = ended(tmp_path, {0.5: small, 0.7: [0.1, 0.2, *small[2:]]})
    assert data.best.lr == 0.5
    assert "0.5 and 0.7 are equal within the spread of 10 seeds." in answer(data)


def test_point_that_explodes_or_diverges_is_equal_to_no_other(tmp_path: Path) -> None:
    for name, end in (("explodes", 1e200), ("diverges", np.nan)):
        folder = tmp_path / name
        data = ended(folder, {0.1: [3.0] * 3, 0.5: [0.1, 0.2, 0.3], 0.7: [0.1, 0.2, end]})
        assert data.best.lr == 0.5 and "equal" not in answer(data)


def test_errors_below_the_floor_are_equal(tmp_path: Path) -> None:
    low, lower = ([(1 + seed) * unit for seed in SEEDS] for unit in (1e-29, 1e-33))
    data = ended(tmp_path, {0.1: [3.0] * 10, 0.5: low, 0.7: lower})
    text = answer(data)
    assert "0.5 and 0.7 are equal within the spread of 10 seeds." in text
    assert "best single run" not in text


def test_every_table_has_a_line_for_each_point(lucky: SweepData) -> None:
    table = tables.final_error_table(lucky)
    assert table.rows[1] == ("0.5", "0.1045 ± 0.003 (10)") and len(table.rows) == 3
    assert table.marked == {(1, 1)}
    assert [row[1] for row in tables.top_table(lucky).rows] == ["0.5", "0.7", "0.1"]
    spread = tables.repeats_table(lucky)
    assert spread.columns[2:] == (
        ("runs", "mean", "standard deviation", "median", "lowest", "highest")
    )
    assert spread.rows[0] == ("0.5", "10", "10", "0.1045", "0.003028", "0.1045", "0.1", "0.109")
    assert len(tables.threshold_table(lucky).rows) == 3
    assert [axis.name for axis in lucky.varying] == ["lr"]


def test_single_runs_stay_in_the_files_and_on_the_page(tmp_path: Path) -> None:
    data = ended(tmp_path / "store", LUCKY | {5.0: [1.7e308] * 10})
    report = build_report(data.sweep, data.stored, tmp_path / "out", command_ui="mlflow ui")
    rows = list(csv.DictReader((tmp_path / "out" / "final_error.csv").read_text().splitlines()))
    assert len(rows) == 40 and list(rows[0]) == ["lr", "seed", "10"]
    found = {(float(row["lr"]), int(row["seed"])): float(row["10"]) for row in rows}
    assert found[0.7, 0] == 0.05 and found[0.5, 9] == LUCKY[0.5][9]
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("lr=0.5,iters=10,seed=") >= 10 and 'data-key="seed"' in page
    assert tmp_path / "out" / "repeats.csv" in report.files
    assert "repeats.csv" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_repeats_csv_has_exact_aggregates_of_every_metric(lucky: SweepData) -> None:
    text = files.csv_text(files.repeats_frame(lucky))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["lr"] for row in rows] == ["0.1", "0.5", "0.7"] and rows[0]["runs"] == "10"
    for row, ends in zip(rows, LUCKY.values(), strict=True):
        assert float(row["final_error_mean"]) == pytest.approx(np.mean(ends), rel=1e-14)
        assert float(row["final_error_sd"]) == pytest.approx(np.std(ends, ddof=1), rel=1e-12)
        assert float(row["final_error_median"]) == pytest.approx(np.median(ends), rel=1e-14)
        assert (float(row["final_error_min"]), float(row["final_error_max"])) == (
            (min(ends), max(ends))
        )
        assert row["final_error_n"] == "10"


def test_point_of_which_a_repeat_diverged_comes_after_all_others(tmp_path: Path) -> None:
    data = ended(tmp_path, {0.1: [0.2, 0.2], 2.0: [1e-9, np.nan]})
    assert data.best.lr == 0.1
    assert tables.final_error_table(data).rows[1] == ("2.0", "1e-09 (1)")
    assert "1 run diverged." in answer(data)


def test_repeats_that_are_missing_count_as_missing(tmp_path: Path) -> None:
    data = ended(tmp_path, {0.1: [0.2, 0.3], 0.2: [0.1]})
    assert len(data.grid) == 2 and len(data.missing) == 1
    text = answer(data)
    assert "Only 1 of its 2 seeds has a value." in text and "1 of 4 runs is missing" in text
    assert tables.final_error_table(data).rows == (("0.1", "0.25 ± 0.071 (2)"), ("0.2", "0.1 (1)"))


def test_any_axis_can_repeat_and_none_has_to(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [10], "data.fold": [0, 1, 2], "seed": [0, 1]}
    both = sweep_data(*stored.grid(tmp_path / "both", axes, repeats=["seed", "data.fold"]))
    assert both.repeats == ("seed", "data.fold") and list(both.grid.n) == [6, 6]
    assert "the mean of 6 repeats: " in answer(both)
    fold = sweep_data(*stored.grid(tmp_path / "fold", axes, repeats=["data.fold"]))
    assert fold.others == ("seed",) and list(fold.grid.n) == [3] * 4
    none = sweep_data(*stored.grid(tmp_path / "none", axes, repeats=[]))
    assert len(none.grid) == 12


def test_seed_repeats_where_the_plan_says_nothing(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [10], "seed": [0, 1]})
    path = tmp_path / sweep.run_id / "artifacts" / "plan.json"
    path.write_text(json.dumps({**sweep.plan(), "question": None}))
    assert sweep_data(sweep, runs).repeats == ("seed",)


def test_seed_of_one_value_repeats_nothing(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [10], "seed": [3]})
    data = sweep_data(sweep, runs)
    assert data.repeats == () and data.others == ("seed",)


def test_curve_of_repeats_is_their_mean_with_the_range_as_band(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 100], "seed": [0, 1, 2]})
    runs = []
    for cell in plan:
        values = cell["values"]
        errors = (1 + values["seed"]) * stored.decay(0.1, values["iters"])
        runs.append(stored.stored_run(tmp_path, cell, errors))
    data = sweep_data(stored.stored_sweep(tmp_path, plan, repeats=["seed"]), runs)
    assert len(data.trajectories) == 6 and len(data.curves) == 2
    line = data.curves[0]
    assert line.band is not None and line.reach == 100
    steps, mean = line.curve
    low, high = line.band
    one = stored.decay(0.1, 100)[steps]
    np.testing.assert_allclose(low, one, rtol=1e-3)
    np.testing.assert_allclose(mean, 2 * one, rtol=1e-3)
    np.testing.assert_allclose(high, 3 * one, rtol=1e-3)


def test_pictures_show_means_with_bands(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 0.2, 0.5, 1.0, 2.0, 4.0], "iters": [10, 100], "seed": [0, 1, 2]}
    plan = stored.cells(axes)
    runs = []
    for cell in plan:
        values = cell["values"]
        errors = (1 + values["seed"]) * stored.decay(values["lr"], values["iters"])
        runs.append(stored.stored_run(tmp_path, cell, errors))
    data = sweep_data(stored.stored_sweep(tmp_path, plan, repeats=["seed"]), runs)
    key = main_axis(data)
    panels = panels_of(data, key, data.axes["iters"])
    points = curves_data(data, key, panels)[0]
    assert panels.titles == ("",), "a repeat makes no panel"
    lines = points[points.kind == "line"]
    assert lines.line.nunique() == 6
    np.testing.assert_allclose(lines.high, 3 * lines.low, rtol=1e-3)
    marks = points[points.kind == "run"]
    assert len(marks) == 12
    assert marks.y.iloc[-1] == pytest.approx(2 * stored.decay(4.0, 100)[-1])
    for picture in pictures_of(data, rule_pairs(data)):
        assert picture.figure.axes, picture.name


def test_pictures_of_a_metric_where_larger_is_better(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0, 2.0], "iters": [10, 100], "rule": ["a", "b"]})
    runs = [
        stored.stored_run(tmp_path, cell, metrics={"accuracy": at / 12})
        for at, cell in enumerate(plan)
    ]
    sweep = stored.stored_sweep(tmp_path, plan, metric="accuracy", mode="max")
    data = sweep_data(sweep, runs)
    found = {picture.name: picture for picture in pictures_of(data, rule_pairs(data))}
    assert found["final_error_heatmap"].title == "accuracy by learning rate and iterations"
    assert "Best: 0.9167 at lr=2.0" in found["final_error_heatmap"].alt
    for name in ("final_error_by_iterations", "effect_of_each_axis"):
        axes = found[name].figure.axes[0]
        assert (axes.get_ylabel(), axes.get_yscale()) == ("accuracy", "linear")
    assert "dark where accuracy is large" in found["parallel_coordinates"].caption
    for picture in found.values():
        assert picture.figure.axes
