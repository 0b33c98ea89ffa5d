"""Tables: exact in the files, short for people, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweep.report import files, tables
from sweep.report.data import SweepData, sweep_data
from sweep.report.formats import Table
from tests.report import stored

HOSTILE = ["<script>alert(1)</script>", r"$\frac{1}$", "=1+cmd|' /C calc'!A0", 'a|b\r\nc,"d"', ""]


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def column(table: Table, name: str) -> list[str]:
    at = table.columns.index(name)
    return [row[at] for row in table.rows]


@pytest.fixture
def data(tmp_path: Path) -> SweepData:
    return sweep_data(*stored.grid(tmp_path, stored.DEFAULT))


def test_runs_csv_equals_the_store_to_the_last_digit(data: SweepData) -> None:
    rows = read(files.csv_text(files.runs_frame(data)))
    assert len(rows) == 12
    for row, run in zip(rows, data.stored, strict=True):
        assert list(row)[:4] == ["run_id", "name", "status", "outcome"]
        assert (row["run_id"], row["name"]) == (run.run_id, run.name)
        assert {name: row[name] for name in run.params} == run.params
        assert {name: float(row[name]) for name in run.metrics} == run.metrics
        assert all(row[name] == repr(value) for name, value in run.metrics.items())
        assert row["diverged_at"] + row["stalled_at"] == "", "these columns are always there"
        weights = [name for name in row if name.startswith("weights/w")]
        assert weights == [f"weights/w{i}" for i in range(1, 19)]


def test_runs_csv_keeps_extreme_numbers(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    values = {"big": 1.8e282, "tiny": 5e-324, "third": 1 / 3, "minus": -0.1, "zero": -0.0}
    runs = [stored.stored_run(tmp_path, plan[0], metrics=values)]
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    (row,) = read(files.csv_text(files.runs_frame(data)))
    assert {name: row[name] for name in values} == {n: repr(v) for n, v in values.items()}


def test_runs_csv_tells_a_param_from_a_metric_of_the_same_name(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    run = stored.stored_run(tmp_path, plan[0], metrics={"x": 2.0, "name": 3.0})
    run.params["x"] = "1"
    data = sweep_data(stored.stored_sweep(tmp_path, plan), [run])
    (row,) = read(files.csv_text(files.runs_frame(data)))
    assert (row["params.x"], row["metrics.x"]) == ("1", "2.0")
    assert (row["name"], row["metrics.name"]) == (run.name, "3.0")


@pytest.mark.parametrize("text", HOSTILE)
def test_runs_csv_holds_any_text(tmp_path: Path, text: str) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    run = replace(stored.stored_run(tmp_path, plan[0]), name=text)
    run.params[text or "note"] = text
    data = sweep_data(stored.stored_sweep(tmp_path, plan), [run])
    (row,) = read(files.csv_text(files.runs_frame(data)))
    assert row["name"].removeprefix("'") == text
    for cell in [*row, *row.values()]:
        assert not cell.startswith(("=", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("text", ["+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "＝1"])
def test_csv_disarms_formulas_and_no_numbers(text: str) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [text, "-1.5", "+3", "-inf"], "n": [-1.5, 1e-300, None, 2]})
    rows = read(files.csv_text(frame.astype(object)))
    assert [row["a"] for row in rows] == ["'" + text, "-1.5", "+3", "-inf"]
    assert rows[0]["n"] == "-1.5" and rows[2]["n"] == ""


def test_final_error_csv_is_lr_by_iters(data: SweepData) -> None:
    rows = read(files.csv_text(files.final_error_frame(data)))
    assert list(rows[0]) == ["lr", "1", "10", "100", "1000"]
    assert [row["lr"] for row in rows] == ["0.01", "0.05", "1.0"]
    for row in rows:
        for iters in (1, 10, 100, 1000):
            assert float(row[str(iters)]) == stored.decay(float(row["lr"]), iters)[-1]


def test_final_error_csv_gives_a_third_axis_rows_of_its_own(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [1, 10], "rule": ["notebook", "gradient"]}
    data = sweep_data(*stored.grid(tmp_path, axes))
    rows = read(files.csv_text(files.final_error_frame(data)))
    order = [(rule, lr) for rule in ("notebook", "gradient") for lr in ("0.1", "1.0")]
    assert [(row["rule"], row["lr"]) for row in rows] == order
    assert len(rows[0]) == 4


def test_final_error_csv_leaves_a_cell_without_error_empty(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [1, 10]})
    runs = [stored.stored_run(tmp_path, plan[0])]
    runs.append(stored.stored_run(tmp_path, plan[1], outcome="diverged"))
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    rows = read(files.csv_text(files.final_error_frame(data)))
    assert [list(row.values())[1:] for row in rows] == [[repr(0.6 / 1.1**2), ""], ["", ""]]


def test_final_error_table_marks_the_best_and_names_bad_ends(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [1, 10]})
    runs = [
        stored.stored_run(tmp_path, plan[0]),
        stored.stored_run(tmp_path, plan[1]),
        stored.stored_run(tmp_path, plan[2], outcome="diverged", metrics={"diverged_at": 1234.0}),
    ]
    table = tables.final_error_table(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert table.marked == {(0, 2)}
    assert table.rows == (("0.1", "0.4959", "0.15"), ("1.0", "diverged at 1234", "not run"))


def test_threshold_table_is_exact(data: SweepData) -> None:
    table = tables.threshold_table(data)
    assert table.columns == ("lr", "E ≤ 1e-1", "E ≤ 1e-3", "E ≤ 1e-6")
    errors = stored.decay(1.0, 1000)
    assert column(table, "E ≤ 1e-3")[2] == str(int(np.argmax(errors <= 1e-3)))
    assert column(table, "E ≤ 1e-3")[0] == "> 1 000"


def test_threshold_table_says_zero_for_a_start_below(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    runs = [stored.stored_run(tmp_path, plan[0], np.array([0.01, 0.005]))]
    table = tables.threshold_table(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert table.rows == (("0.1", "0"),)


def test_threshold_table_says_nothing_where_the_file_is_gone_or_damaged(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1, 1.0, 2.0], "iters": [100]})
    (lost, partial), name = runs[:2], "thresholds.json"
    (tmp_path / lost.run_id / "artifacts" / name).unlink()
    (tmp_path / partial.run_id / "artifacts" / name).write_text('{"1e-3": 5}')
    data = sweep_data(sweep, runs)
    assert column(tables.threshold_table(data), "E ≤ 1e-1")[:2] == ["", ""]
    assert f"thresholds of run {lost.name}: not there" in data.unread


def test_budget_table_has_the_best_within_each_budget(tmp_path: Path) -> None:
    axes, ends = {"lr": [0.1, 1.0], "iters": [10, 100, 1000]}, [0.2, 0.1, 0.05, 0.3, 1e-9, 0.5]
    table = tables.budget_table(stored.ended(tmp_path, axes, ends))
    assert table.rows == (
        ("10", "0.1", "10", "0.2", "0.25"),
        ("100", "1.0", "100", "1e-09", "0.25"),
        ("1000", "1.0", "100", "1e-09", "0.25"),
    )


def test_trouble_table_lists_every_bad_end_with_where(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "iters": [10]})
    short = np.array([0.6, 0.5, 0.4])
    runs = [
        stored.stored_run(tmp_path, plan[0]),
        stored.stored_run(tmp_path, plan[1], outcome="diverged", metrics={"diverged_at": 7.0}),
        stored.stored_run(tmp_path, plan[2], metrics={"stalled_at": 3.0}),
        stored.stored_run(tmp_path, plan[3], outcome="failed", traceback="x\nValueError: a\n \n"),
        stored.stored_run(tmp_path, plan[4], short, outcome="interrupted"),
    ]
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    table = tables.trouble_table(data)
    assert [(what, where) for _, what, where in table.rows] == [
        ("diverged", "NaN or infinity at step 7; best error before: 0.001361"),
        ("stalled", "at iteration 3 with final error 0.0006243"),
        ("failed", "ValueError: a"),
        ("interrupted", "its curve ends at step 2"),
        ("missing", ""),
    ]
    assert (table.rows[1][0], table.rows[-1][0]) == ("lr=3.0,iters=10", "lr=6.0,iters=10")


def test_run_that_reached_a_fixed_point_is_no_trouble(tmp_path: Path) -> None:
    (cell,) = stored.cells({"lr": [1.0], "iters": [10]})
    ended = {"stalled_at": 3.0}
    run = stored.stored_run(tmp_path, cell, np.array([0.6, 1e-30]), metrics=ended)
    data = sweep_data(stored.stored_sweep(tmp_path, [cell]), [run])
    assert tables.trouble_table(data).rows == ()


def test_thresholds_that_no_run_reached_are_left_out(tmp_path: Path) -> None:
    (cell,) = stored.cells({"lr": [1.0], "iters": [1]})
    run = stored.stored_run(tmp_path, cell, np.array([300.0, 250.0]))
    data = sweep_data(stored.stored_sweep(tmp_path, [cell]), [run])
    assert tables.threshold_table(data).rows == ()


FIVE = {
    "lr": [0.01, 1.0],
    "iters": [10],
    "network.layers": [[4, 3, 2], [4, 5, 2]],
    "trainer.batch_size": [8, 16, 32],
    "seed": [0, 1],
}


def test_effects_are_sorted_by_the_spread_of_their_means(tmp_path: Path) -> None:
    table = tables.effect_table(sweep_data(*stored.grid(tmp_path, FIVE)))
    assert table.columns == ("axis", "value", "runs", "geometric mean", "lowest", "highest")
    assert table.rows[0] == ("lr", "0.01", "12", "0.4959", "0.4959", "0.4959")
    assert table.rows[1] == ("lr", "1.0", "12", "0.004959", "0.004959", "0.004959")
    sizes = [row[1:3] for row in table.rows if row[0] == "trainer.batch_size"]
    assert sizes == [("8", "8"), ("16", "8"), ("32", "8")]


def test_effects_of_negative_errors_are_arithmetic_means(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [10], "seed": [0, 1]}
    table = tables.effect_table(stored.ended(tmp_path, axes, [-1.0, 3.0, -2.0, -6.0]))
    assert table.columns[3] == "mean"
    assert table.rows[:2] == (
        ("lr", "0.1", "2", "1", "-1", "3"),
        ("lr", "1.0", "2", "-4", "-6", "-2"),
    )


def test_effects_leave_out_runs_without_an_error(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10], "seed": [0, 1]})
    runs = [stored.stored_run(tmp_path, cell) for cell in plan[:-1]]
    runs.append(stored.stored_run(tmp_path, plan[-1], outcome="diverged"))
    table = tables.effect_table(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert [row[2] for row in table.rows if row[0] == "lr"] == ["2", "1"]


def test_axis_that_decides_whether_a_run_diverges_matters_most(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10], "k": [0, 1]})
    runs = [
        stored.stored_run(
            tmp_path, cell, outcome="diverged" if cell["values"]["k"] else "completed"
        )
        for cell in plan
    ]
    table = tables.effect_table(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert [row[:4] for row in table.rows[:2]] == [
        ("k", "0", "2", "0.02727"),
        ("k", "1", "0", "diverged"),
    ]


def test_top_table_has_the_best_runs_with_the_keys_that_vary(tmp_path: Path) -> None:
    table = tables.top_table(sweep_data(*stored.grid(tmp_path, FIVE)))
    assert table.title == "The best 10 of 24 runs, by final error" and len(table.rows) == 10
    assert table.columns[1:-2] == ("lr", "network.layers", "trainer.batch_size", "seed")
    assert table.rows[0] == ("1", "1.0", "[4, 3, 2]", "8", "0", "0.004959", "0.25")


def test_metrics_table_has_a_row_a_run_and_the_validation_first(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10]})
    extra = {"final_validation_error": 0.5, "accuracy": 0.75, "validation_error": 1.0, "lr": 9.0}
    runs = [stored.stored_run(tmp_path, cell, metrics=extra) for cell in plan]
    table = tables.metrics_table(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert table.columns == ("lr", "iters", "final_validation_error", "accuracy", "lr")
    assert table.rows == (("0.1", "10", "0.5", "0.75", "9"), ("1.0", "10", "0.5", "0.75", "9"))


def test_metrics_table_shows_what_is_not_finite(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10], "seed": [0, 1]})
    runs = [stored.stored_run(tmp_path, cell, metrics={"gap": 0.5}) for cell in plan[:3]]
    runs.append(stored.stored_run(tmp_path, plan[3]))
    runs[3].tags["sweep.not_finite.gap"] = "inf"
    for repeats, cells in (
        ([], ["0.5", "0.5", "0.5", "inf"]),
        (["seed"], ["0.5 ± 0 (2)", "0.5 (1), inf"]),
    ):
        sweep = stored.stored_sweep(tmp_path, plan, repeats=repeats)
        assert column(tables.metrics_table(sweep_data(sweep, runs)), "gap") == cells


def test_metrics_table_of_the_built_in_trainer_alone_is_empty(data: SweepData) -> None:
    assert tables.metrics_table(data).rows == ()


def test_tables_of_no_runs_are_empty(tmp_path: Path) -> None:
    data = sweep_data(stored.stored_sweep(tmp_path, []), [])
    assert tables.final_error_table(data).rows == ()
    assert tables.threshold_table(data).rows == ()
    assert tables.budget_table(data).rows == ()
    assert files.csv_text(files.runs_frame(data)).startswith("run_id,name,status,outcome")
    assert files.csv_text(files.final_error_frame(data)) == "lr\n"
