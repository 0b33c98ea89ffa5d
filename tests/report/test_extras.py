"""The validation error and metrics of a trainer's own, in table and picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sweep.report.curves import curves_info
from sweep.report.extras import extra_metrics, extra_table
from sweep.report.facts import Facts, facts_of
from tests.report.stored import DEFAULT, cells, decay, grid, result_of, stored_run, stored_sweep


def with_validation(folder: Path) -> Facts:
    plan = cells({"lr": [0.1, 1.0], "iters": [10, 100]})
    runs = []
    for cell in plan:
        lr, iters = float(cell["params"]["lr"]), int(cell["params"]["iters"])
        errors = decay(lr, iters)
        others = 3 * errors
        others[5] = np.nan
        result = replace(result_of(lr, iters, errors), validation=others)
        metrics = {"final_validation_error": others[-1], "accuracy": 0.75, "validation_error": 1.0}
        runs.append(stored_run(folder, cell, result=result, metrics=metrics))
    return facts_of(stored_sweep(folder, plan), runs)


def test_table_has_a_row_a_run_and_the_validation_first(tmp_path: Path) -> None:
    facts = with_validation(tmp_path)
    assert extra_metrics(facts.points) == ["final_validation_error", "accuracy"]
    table = extra_table(facts)
    assert table.columns == ("lr", "iterations", "final_validation_error", "accuracy")
    assert len(table.rows) == 4
    assert {row[-1] for row in table.rows} == {"0.75"}
    assert table.note == ""


def test_table_of_the_built_in_trainer_alone_is_empty(tmp_path: Path) -> None:
    assert extra_table(facts_of(*grid(tmp_path, DEFAULT))).rows == ()


def test_table_says_how_many_metrics_it_leaves_out(tmp_path: Path) -> None:
    (cell,) = cells({"lr": [0.1], "iters": [10]})
    run = stored_run(tmp_path, cell, metrics={f"m{at:02}": float(at) for at in range(20)})
    table = extra_table(facts_of(stored_sweep(tmp_path, [cell]), [run]))
    assert len(table.columns) == 10
    assert table.note == "12 more are in runs.csv."


def test_curve_without_gaps_lies_on_the_axes(tmp_path: Path) -> None:
    facts = with_validation(tmp_path)
    info = curves_info(facts)
    lines = [line for panel in info.panels for line in panel.lines]
    assert len(lines) == 2
    for line in lines:
        assert line.validation is not None
        x, y = line.validation
        assert len(x) == len(y) == len(line.x) - 1  # step 5 has none
        assert np.isfinite(y).all()
        assert y.max() <= info.y.high
    plain = curves_info(facts_of(*grid(tmp_path / "plain", DEFAULT)))
    assert all(line.validation is None for panel in plain.panels for line in panel.lines)
