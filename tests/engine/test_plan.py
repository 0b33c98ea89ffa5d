"""The plan: doubled cells once, trajectories shared, a document that gives the plan again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.plan import Cell, Plan, cell_name, unique
from sweep.errors import ConfigError
from tests.configuration import spec


def plan_of(*points: dict[str, Any]) -> Plan:
    cells = [Cell(at, (), point, spec(**point)) for at, point in enumerate(points)]
    return Plan(tuple(unique(cells)), ("lr", "iters"), len(cells), "command", Path.cwd())


GRID = [{"lr": lr, "iters": iters} for lr in (0.01, 0.05, 1.0) for iters in (1, 1000, 10, 100)]


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


def test_drawn_weights_keep_the_type_that_was_given_and_are_doubled_across_types() -> None:
    network = {"layers": [4, 2, 2], "weights": None, "biases": None}
    points = [{"network": {**network, "init": {"scheme": "normal", "std": n}}} for n in (1, 1.0)]
    (cell,) = plan_of(*points).cells
    assert repr(cell.document()["config"]["network"]["init"]["std"]) == "1"


def test_cell_name_is_cut_before_the_store_would() -> None:
    long, other = (cell_name({"note": "x" * 5000 + end}) for end in "ab")
    assert len(long) == 200 and long != other


def test_two_values_that_read_alike_are_refused() -> None:
    alike = plan_of({"lr": 1.0}).cells[0]
    text = replace(alike, values={"lr": "1.0"}, spec=spec(lr=1.0, seed=1))
    with pytest.raises(ConfigError, match="lr=1.0: two grid points have this name"):
        list(unique([replace(alike, values={"lr": 1.0}), text]))
