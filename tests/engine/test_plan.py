"""The plan: doubled cells once, trajectories shared, a document that gives the plan again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.plan import Cell, Plan, cell_name, new_id, unique
from tests.configuration import spec


def plan_of(*points: dict[str, Any]) -> Plan:
    cells = [Cell(at, (), point, spec(**point)) for at, point in enumerate(points)]
    return Plan(tuple(unique(cells)), ("lr", "iters"), len(cells), "command", Path.cwd())


GRID = [{"lr": lr, "iters": iters} for lr in (0.01, 0.05, 1.0) for iters in (1, 1000, 10, 100)]


def test_plan_shares_trajectories_and_counts_each_once() -> None:
    plan = plan_of(*GRID)
    assert len(plan.cells) == 12
    assert [trajectory.stops for trajectory in plan.trajectories()] == [(1, 10, 100, 1000)] * 3
    assert plan.iterations() == 3000
    assert plan.iterations(plan.cells[:1]) == 1
    assert plan.trajectories([]) == []
    assert plan.iterations([]) == 0


def test_plan_ten_linear_counts_train_five_and_a_half_times_less() -> None:
    counts = [100 * (at + 1) for at in range(10)]
    plan = plan_of(*({"iters": count} for count in counts))
    assert sum(counts) / plan.iterations() == 5.5


def test_plan_value_made_from_iters_is_not_shared() -> None:
    plan = plan_of({"iters": 5, "made": "5"}, {"iters": 7, "made": "7"})
    assert len(plan.trajectories()) == 2


def test_unique_keeps_the_first_of_equal_cells_and_numbers_anew() -> None:
    plan = plan_of({"lr": 0.1}, {"lr": 0.1}, {"lr": 0.2}, {"lr": 0.10, "iters": 1.0})
    assert [(cell.index, cell.spec.lr) for cell in plan.cells] == [(0, 0.1), (1, 0.2)]
    assert plan.asked == 4


def test_plan_document_gives_the_plan_again() -> None:
    plan = plan_of(*GRID)
    content = plan.document("20260101-000000-abcd", "sweep", "now", {})
    document = json.loads(json.dumps(content))
    again = Plan.from_document(document, {cell.index: cell.spec for cell in plan.cells})
    assert [cell.spec.signature for cell in again.cells] == [
        cell.spec.signature for cell in plan.cells
    ]
    assert [cell.name for cell in again.cells] == [cell.name for cell in plan.cells]
    assert again.find(spec(**GRID[5])) == again.cells[5]
    assert again.find(spec(lr=7.5)) is None


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"lr": 0.05, "iters": 1000}, "lr=0.05,iters=1000"),
        ({"rule": None, "x": True}, "rule=null,x=true"),
        ({"network": "small", "layers": [4, 3, 2]}, "network=small,layers=[4,3,2]"),
    ],
)
def test_cell_name_shows_values_as_typed(values: dict[str, Any], name: str) -> None:
    assert cell_name(values) == name


def test_cell_name_is_cut_before_the_store_would() -> None:
    long, other = (cell_name({"note": "x" * 5000 + end}) for end in "ab")
    assert len(long) == 200 and long != other


def test_new_id_sorts_by_time_and_does_not_repeat() -> None:
    ids = {new_id() for _ in range(50)}
    assert len(ids) == 50
    assert all(len(each) == len("20260101-000000-abcd") for each in ids)
