"""The notebook's rule against the gradient."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.report.facts import Facts, facts_of
from sweep.report.rules import rule_pairs, rule_table, rules_info
from tests.report import stored

AXES = {"lr": [0.1, 1.0], "iters": [10, 100], "rule": ["notebook", "gradient", "fixed_bias"]}


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    plan = stored.cells(AXES)
    runs = []
    for cell in plan:
        lr, iters = cell["values"]["lr"], cell["values"]["iters"]
        notebook = cell["values"]["rule"] == "notebook"
        errors = stored.decay(lr, iters) * (1 if notebook else 0.5)
        result = stored.result_of(lr, iters, errors, scale=0.1 if notebook else 0.2)
        runs.append(stored.stored_run(tmp_path, cell, result=result))
    return facts_of(stored.stored_sweep(tmp_path, plan), runs)


def test_pairs_are_the_same_grid_point_under_both_rules(facts: Facts) -> None:
    pairs = rule_pairs(facts)
    assert [(p.notebook.lr, p.notebook.iters) for p in pairs] == [
        (0.1, 10),
        (0.1, 100),
        (1.0, 10),
        (1.0, 100),
    ]
    assert all(p.gradient.others == ("gradient",) and p.others == () for p in pairs)


def test_pairs_name_the_weight_that_is_furthest_apart(facts: Facts) -> None:
    pair = rule_pairs(facts)[2]
    assert pair.furthest is not None and pair.distance is not None
    name, notebook, gradient = pair.furthest
    assert name == "b2"  # the last of twenty: it moved by 1.9 and by 3.8
    assert notebook - gradient == pytest.approx(1.9)
    assert pair.distance == pytest.approx((sum((0.1 * i) ** 2 for i in range(20)) / 20) ** 0.5)


def test_table_has_error_and_weights(facts: Facts) -> None:
    table = rule_table(facts, rule_pairs(facts))
    row = dict(zip(table.columns, table.rows[2], strict=True))
    assert (row["lr"], row["iterations"], row["E ratio"]) == ("1.0", "10", "2")
    assert row["where"] == "b2: -1.4 against -3.3"
    assert row["largest weight difference"] == "1.9"


def test_info_has_both_curves_of_each_rate(facts: Facts) -> None:
    info = rules_info(facts, rule_pairs(facts))
    assert info is not None and [line.label for line in info.lines] == ["0.1", "1.0"]
    for line in info.lines:
        assert len(line.notebook[0]) == len(line.gradient[0]) == 101
        assert len(line.apart) == 2


@pytest.mark.parametrize("rules", [["notebook"], ["gradient"], ["gradient", "fixed_bias"]])
def test_no_pairs_without_both_rules(tmp_path: Path, rules: list[str]) -> None:
    facts = facts_of(*stored.grid(tmp_path, {"lr": [0.1], "iters": [5], "rule": rules}))
    assert rule_pairs(facts) == () and rules_info(facts, ()) is None


def test_pairs_leave_out_a_run_that_diverged(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [5], "rule": ["notebook", "gradient"]})
    runs = [
        stored.stored_run(tmp_path, plan[0], outcome="diverged"),
        stored.stored_run(tmp_path, plan[1]),
    ]
    assert rule_pairs(facts_of(stored.stored_sweep(tmp_path, plan), runs)) == ()


def test_pairs_without_weights_still_compare_errors(tmp_path: Path) -> None:
    axes = {"lr": [0.1], "iters": [5], "rule": ["notebook", "gradient"]}
    sweep, runs = stored.grid(tmp_path, axes)
    (tmp_path / runs[0].run_id / "artifacts" / "weights.json").unlink()
    facts = facts_of(sweep, runs)
    pairs = rule_pairs(facts)
    assert len(pairs) == 1 and pairs[0].furthest is None
    assert rule_table(facts, pairs).rows[0][-3:] == ("", "", "")
    assert rules_info(facts, pairs) is not None
