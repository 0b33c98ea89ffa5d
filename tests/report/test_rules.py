"""The notebook's rule against the gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweep.report.data import SweepData, sweep_data
from sweep.report.figures.rules import rule_pairs, rules_pictures
from sweep.report.figures.weights import flat_weights
from sweep.report.tables import rule_table
from tests.report import stored

AXES = {"lr": [0.1, 1.0], "iters": [10, 100], "rule": ["notebook", "gradient", "fixed_bias"]}


@pytest.fixture
def data(tmp_path: Path) -> SweepData:
    plan = stored.cells(AXES)
    runs = []
    for cell in plan:
        lr, iters = cell["values"]["lr"], cell["values"]["iters"]
        notebook = cell["values"]["rule"] == "notebook"
        errors = stored.decay(lr, iters) * (1 if notebook else 0.5)
        result = stored.result_of(lr, iters, errors, scale=0.1 if notebook else 0.2)
        runs.append(stored.stored_run(tmp_path, cell, result=result))
    return sweep_data(stored.stored_sweep(tmp_path, plan), runs)


def test_pairs_are_the_same_grid_point_under_both_rules(data: SweepData) -> None:
    pairs = rule_pairs(data)
    points = list(zip(pairs.lr, pairs.iters, strict=True))
    assert points == [(0.1, 10), (0.1, 100), (1.0, 10), (1.0, 100)]
    assert list(data.values.rule[pairs.row_gradient]) == ["gradient"] * 4


def test_pairs_name_the_weight_that_is_furthest_apart(data: SweepData) -> None:
    pair = rule_pairs(data).loc[2]
    assert pair["where"] == "b2"  # the last of twenty: it moved by 1.9 and by 3.8
    assert pair["from"] - pair["to"] == pytest.approx(1.9)
    assert pair["rms"] == pytest.approx((sum((0.1 * i) ** 2 for i in range(20)) / 20) ** 0.5)


def test_table_has_error_and_weights(data: SweepData) -> None:
    table = rule_table(data, rule_pairs(data))
    row = dict(zip(table.columns, table.rows[2], strict=True))
    assert (row["lr"], row["iterations"], row["E ratio"]) == ("1.0", "10", "2")
    assert row["where"] == "b2: -1.4 against -3.3"
    assert row["largest weight difference"] == "1.9"


def test_pictures_say_where_the_weights_are_furthest_apart(data: SweepData) -> None:
    curves, weights = rules_pictures(data, rule_pairs(data))
    assert (curves.name, weights.name) == ("rules", "rules_weights")
    words = "b2 after 10 iterations with lr=1.0, -1.4 under notebook and -3.3 under gradient"
    assert words in curves.alt and words in weights.alt
    (axes,) = curves.figure.axes
    assert len(axes.lines) == 4, "a solid line and a dashed one for each rate"


@pytest.mark.parametrize("rules", [["notebook"], ["gradient"], ["gradient", "fixed_bias"]])
def test_no_pairs_without_both_rules(tmp_path: Path, rules: list[str]) -> None:
    data = sweep_data(*stored.grid(tmp_path, {"lr": [0.1], "iters": [5], "rule": rules}))
    pairs = rule_pairs(data)
    assert pairs.empty and rules_pictures(data, pairs) == []


def test_pairs_leave_out_a_run_that_diverged(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [5], "rule": ["notebook", "gradient"]})
    runs = [
        stored.stored_run(tmp_path, plan[0], outcome="diverged"),
        stored.stored_run(tmp_path, plan[1]),
    ]
    assert rule_pairs(sweep_data(stored.stored_sweep(tmp_path, plan), runs)).empty


def test_pairs_without_weights_still_compare_errors(tmp_path: Path) -> None:
    axes = {"lr": [0.1], "iters": [5], "rule": ["notebook", "gradient"]}
    sweep, runs = stored.grid(tmp_path, axes)
    (tmp_path / runs[0].run_id / "artifacts" / "weights.json").write_text('{"final": [1]}')
    data = sweep_data(sweep, runs)
    pairs = rule_pairs(data)
    assert len(pairs) == 1 and pairs.difference.isna().all()
    assert rule_table(data, pairs).rows[0][-3:] == ("", "", "")
    assert len(rules_pictures(data, pairs)) == 2


def test_flat_weights_open_arrays_and_keep_nulls_as_nan() -> None:
    names, values = flat_weights({"a": [[1.0, 2.0], [3.0, None]], "b": None})
    assert names == ("a[0]", "a[1]", "a[2]", "a[3]", "b")
    assert values[:3].tolist() == [1, 2, 3] and np.isnan(values[3:]).all()
