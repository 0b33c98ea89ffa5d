"""Tables: exact in the files, short for people, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweep.report import tables
from sweep.report.facts import Facts, facts_of
from sweep.report.tables import Table
from tests.report import stored

HOSTILE = ["<script>alert(1)</script>", r"$\frac{1}$", "=1+cmd|' /C calc'!A0", 'a|b\r\nc,"d"', ""]


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def column(table: Table, name: str) -> list[str]:
    at = table.columns.index(name)
    return [row[at] for row in table.rows]


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    return facts_of(*stored.grid(tmp_path, stored.DEFAULT))


def test_runs_csv_equals_the_store_to_the_last_digit(facts: Facts) -> None:
    rows = read(tables.csv_text(tables.runs_frame(facts)))
    assert len(rows) == 12
    for row, run in zip(rows, facts.runs, strict=True):
        assert list(row)[:4] == ["run_id", "name", "status", "outcome"]
        assert (row["run_id"], row["name"]) == (run.run_id, run.name)
        assert {name: row[name] for name in run.params} == run.params
        assert {name: float(row[name]) for name in run.metrics} == run.metrics
        assert all(row[name] == repr(value) for name, value in run.metrics.items())


def test_runs_csv_always_has_the_columns_of_bad_ends(facts: Facts) -> None:
    rows = read(tables.csv_text(tables.runs_frame(facts)))
    assert {row["diverged_at"] + row["stalled_at"] for row in rows} == {""}


def test_runs_csv_orders_weights_by_number(facts: Facts) -> None:
    names = [name for name in tables.runs_frame(facts).columns if name.startswith("weights/w")]
    assert names == [f"weights/w{i}" for i in range(1, 19)]


def test_runs_csv_keeps_extreme_numbers(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    values = {"big": 1.8e282, "tiny": 5e-324, "third": 1 / 3, "minus": -0.1, "zero": -0.0}
    runs = [stored.stored_run(tmp_path, plan[0], metrics=values)]
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    (row,) = read(tables.csv_text(tables.runs_frame(facts)))
    assert {name: row[name] for name in values} == {n: repr(v) for n, v in values.items()}


def test_runs_csv_tells_a_param_from_a_metric_of_the_same_name(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    run = stored.stored_run(tmp_path, plan[0], metrics={"x": 2.0, "name": 3.0})
    run.params["x"] = "1"
    facts = facts_of(stored.stored_sweep(tmp_path, plan), [run])
    (row,) = read(tables.csv_text(tables.runs_frame(facts)))
    assert (row["params.x"], row["metrics.x"]) == ("1", "2.0")
    assert (row["name"], row["metrics.name"]) == (run.name, "3.0")


@pytest.mark.parametrize("text", HOSTILE)
def test_runs_csv_holds_any_text(tmp_path: Path, text: str) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    run = replace(stored.stored_run(tmp_path, plan[0]), name=text)
    run.params[text or "note"] = text
    facts = facts_of(stored.stored_sweep(tmp_path, plan), [run])
    (row,) = read(tables.csv_text(tables.runs_frame(facts)))
    assert row["name"].removeprefix("'") == text
    for cell in [*row, *row.values()]:
        assert not cell.startswith(("=", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("text", ["+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "＝1"])
def test_csv_disarms_formulas_and_no_numbers(text: str) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [text, "-1.5", "+3", "-inf"], "n": [-1.5, 1e-300, None, 2]})
    rows = read(tables.csv_text(frame.astype(object)))
    assert [row["a"] for row in rows] == ["'" + text, "-1.5", "+3", "-inf"]
    assert rows[0]["n"] == "-1.5" and rows[2]["n"] == ""


def test_final_error_csv_is_lr_by_iters(facts: Facts) -> None:
    rows = read(tables.csv_text(tables.final_error_frame(facts)))
    assert list(rows[0]) == ["lr", "1", "10", "100", "1000"]
    assert [row["lr"] for row in rows] == ["0.01", "0.05", "1.0"]
    for row in rows:
        for iters in (1, 10, 100, 1000):
            assert float(row[str(iters)]) == stored.decay(float(row["lr"]), iters)[-1]


def test_final_error_csv_gives_a_third_axis_rows_of_its_own(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [1, 10], "rule": ["notebook", "gradient"]}
    facts = facts_of(*stored.grid(tmp_path, axes))
    rows = read(tables.csv_text(tables.final_error_frame(facts)))
    assert [(row["rule"], row["lr"]) for row in rows] == [
        ("notebook", "0.1"),
        ("notebook", "1.0"),
        ("gradient", "0.1"),
        ("gradient", "1.0"),
    ]
    assert len(rows[0]) == 4


def test_final_error_csv_leaves_a_cell_without_error_empty(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [1, 10]})
    runs = [stored.stored_run(tmp_path, plan[0])]
    runs.append(stored.stored_run(tmp_path, plan[1], outcome="diverged"))
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    rows = read(tables.csv_text(tables.final_error_frame(facts)))
    assert [list(row.values())[1:] for row in rows] == [[repr(0.6 / 1.1**2), ""], ["", ""]]


def test_final_error_table_marks_the_best_and_names_bad_ends(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [1, 10]})
    runs = [
        stored.stored_run(tmp_path, plan[0]),
        stored.stored_run(tmp_path, plan[1]),
        stored.stored_run(tmp_path, plan[2], outcome="diverged", metrics={"diverged_at": 1234.0}),
    ]
    table = tables.final_error_table(facts_of(stored.stored_sweep(tmp_path, plan), runs))
    assert table.marked == {(0, 2)}
    assert table.rows == (("0.1", "0.4959", "0.15"), ("1.0", "diverged at 1234", "not run"))


def test_threshold_table_is_exact(facts: Facts) -> None:
    table = tables.threshold_table(facts)
    assert table.columns == ("lr", "E ≤ 1e-1", "E ≤ 1e-3", "E ≤ 1e-6")
    errors = stored.decay(1.0, 1000)
    assert column(table, "E ≤ 1e-3")[2] == str(int(np.argmax(errors <= 1e-3)))
    assert column(table, "E ≤ 1e-3")[0] == "> 1\xa0000"


def test_threshold_table_says_zero_for_a_start_below(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    runs = [stored.stored_run(tmp_path, plan[0], np.array([0.01, 0.005]))]
    table = tables.threshold_table(facts_of(stored.stored_sweep(tmp_path, plan), runs))
    assert table.rows == (("0.1", "0", "> 1"),)


def test_threshold_table_says_nothing_where_the_file_is_gone(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [100]})
    runs = [stored.stored_run(tmp_path, cell) for cell in plan]
    lost = runs[0]
    assert lost.artifacts is not None
    (tmp_path / lost.run_id / "artifacts" / "thresholds.json").unlink()
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    assert column(tables.threshold_table(facts), "E ≤ 1e-1")[0] == ""
    assert f"thresholds of run {lost.name}: not there" in facts.unread


def test_budget_table_has_the_best_within_each_budget(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 100, 1000]})
    ends = [0.2, 0.1, 0.05, 0.3, 1e-9, 0.5]
    runs = [
        stored.stored_run(tmp_path, cell, np.array([0.6, end]))
        for cell, end in zip(plan, ends, strict=True)
    ]
    table = tables.budget_table(facts_of(stored.stored_sweep(tmp_path, plan), runs))
    assert table.rows == (
        ("10", "0.1", "10", "0.2"),
        ("100", "1.0", "100", "1e-09"),
        ("1000", "1.0", "100", "1e-09"),
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
    table = tables.trouble_table(facts_of(stored.stored_sweep(tmp_path, plan), runs))
    assert [(what, where) for _, what, where in table.rows] == [
        ("diverged", "NaN or infinity at step 7; best error before: 0.001361"),
        ("stalled", "no weight changes from step 3 on (E = 0.0006243)"),
        ("failed", "ValueError: a"),
        ("interrupted", "its curve ends at step 2"),
        ("not started", ""),
    ]


def test_tables_of_no_runs_are_empty(tmp_path: Path) -> None:
    facts = facts_of(stored.stored_sweep(tmp_path, []), [])
    assert tables.final_error_table(facts).rows == ()
    assert tables.threshold_table(facts).rows == ()
    assert tables.budget_table(facts).rows == ()
    assert tables.csv_text(tables.runs_frame(facts)).startswith("run_id,name,status,outcome")
    assert tables.csv_text(tables.final_error_frame(facts)) == "lr\n"
