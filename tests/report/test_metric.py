"""The metric that decides: best run, budgets, order and the answer follow it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.question import Question
from sweep.report import files, tables
from sweep.report.answer import answer
from sweep.report.build import build_comparison
from sweep.report.data import SweepData, sweep_data
from tests.report import stored

ENDS = {10: 0.3, 100: 0.2, 1000: 0.1}


def measured(folder: Path, values: dict[str, list[float]], **question: Any) -> SweepData:
    """Return the data of three runs whose final errors fall, with these metrics."""
    plan = stored.cells({"lr": [0.1], "iters": list(ENDS)})
    runs = []
    for at, (cell, end) in enumerate(zip(plan, ENDS.values(), strict=True)):
        extra = {name: own[at] for name, own in values.items()}
        runs.append(stored.stored_run(folder, cell, np.array([0.6, end]), metrics=extra))
    return sweep_data(stored.stored_sweep(folder, plan, **question), runs)


ACCURACY = {"accuracy": [0.7, 0.9, 0.8]}


def test_largest_of_a_metric_of_ones_own(tmp_path: Path) -> None:
    data = measured(tmp_path, ACCURACY, metric="accuracy", mode="max")
    assert data.best.iters == 100 and list(data.ranked.iters) == [100, 1000, 10]
    assert answer(data).startswith(
        "Best of 3 runs by max accuracy: lr=0.1, 100 iterations, accuracy 0.9, final error 0.2."
    )
    table = tables.final_error_table(data)
    assert table.title == "accuracy by learning rate and iterations"
    assert table.rows == (("0.1", "0.7", "0.9", "0.8"),) and table.marked == {(0, 2)}
    assert [row[2] for row in tables.budget_table(data).rows] == ["0.7", "0.9", "0.9"]
    top = tables.top_table(data)
    assert top.columns == ("", "iterations", "accuracy", "final error", "seconds")
    assert [row[1] for row in top.rows] == ["100", "1000", "10"]


def test_smallest_of_a_metric(tmp_path: Path) -> None:
    data = measured(tmp_path, ACCURACY, metric="accuracy")
    assert data.best.iters == 10


def test_validation_decides_as_soon_as_there_is_one(tmp_path: Path) -> None:
    validated = {"best_validation_error": [0.5, 0.4, 0.6]}
    data = measured(tmp_path / "one", validated)
    assert data.metric == "best_validation_error" and data.best.iters == 100
    asked = measured(tmp_path / "two", validated, metric="final_error")
    assert asked.best.iters == 1000


def test_metric_that_no_run_has_is_one_sentence(tmp_path: Path) -> None:
    data = measured(tmp_path, ACCURACY, metric="f1", mode="max")
    text = answer(data)
    assert text.startswith("metric=f1: no run has this metric; the runs have accuracy, best_error,")
    assert data.best is None


def test_question_of_a_report_replaces_that_of_the_plan(tmp_path: Path) -> None:
    data = measured(tmp_path, ACCURACY, metric="accuracy", mode="max")
    assert sweep_data(data.sweep, data.stored, Question()).best.run is data.stored[2]


def test_final_error_csv_holds_final_errors_whatever_decides(tmp_path: Path) -> None:
    data = measured(tmp_path, ACCURACY, metric="accuracy", mode="max")
    text = files.csv_text(files.final_error_frame(data))
    assert text == "lr,10,100,1000\n0.1,0.3,0.2,0.1\n"


def test_sweeps_are_compared_by_a_metric_that_both_have(tmp_path: Path) -> None:
    first = measured(tmp_path / "a", {"best_validation_error": [0.5, 0.4, 0.6]})
    second = measured(tmp_path / "b", {})
    sides = [(data.sweep, data.stored) for data in (first, second)]
    sides[1] = (replace(second.sweep, tags={"sweep.id": "20250101-120000-efgh"}), second.stored)
    build_comparison(*sides, tmp_path / "out")
    assert "## Final error E in both sweeps" in (tmp_path / "out" / "report.md").read_text()
    build_comparison(sides[0], sides[0], tmp_path / "same")
    text = (tmp_path / "same" / "report.md").read_text()
    assert "## best\\_validation\\_error in both sweeps" in text
    text = (tmp_path / "same" / "comparison.csv").read_text()
    assert "first_best_validation_error" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("asked", "metric", "mode"),
    [
        ({}, "f1", "max"),
        ({"metric": "f1"}, "f1", "max"),
        ({"metric": "loss"}, "loss", "min"),
        ({"mode": "min"}, "f1", "min"),
    ],
)
def test_mode_belongs_to_its_metric(asked: dict[str, str], metric: str, mode: str) -> None:
    from sweep.question import question_of

    found = question_of({"question": {"metric": "f1", "mode": "max"}}, **asked)
    assert (found.metric, found.mode) == (metric, mode)
