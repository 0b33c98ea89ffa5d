"""What is read from a stored sweep, and which run is best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.report.data import planned_value, sweep_data
from tests.report import stored


def test_data_of_a_grid(tmp_path: Path) -> None:
    data = sweep_data(*stored.grid(tmp_path, stored.DEFAULT))
    assert data.axes["lr"].numbers == (0.01, 0.05, 1.0)
    assert data.axes["iters"].values == ("1", "10", "100", "1000")
    assert data.keys == ("lr", "iters") and data.others == ()
    assert len(data.trajectories) == 3 and len(data.grid) == len(data.runs) == 12
    assert data.missing.empty and not data.unread
    assert data.best is not None and (data.best.lr, data.best.iters) == (1.0, 1000)


def test_trajectory_has_the_longest_curve_and_exact_thresholds(tmp_path: Path) -> None:
    data = sweep_data(*stored.grid(tmp_path, stored.DEFAULT))
    line = data.trajectories[2]
    assert line.reach == 1000 and line.curve[0][-1] == 1000
    errors = stored.decay(1.0, 1000)
    assert line.thresholds is not None
    assert line.thresholds[3] == int(np.argmax(errors <= 1e-3))
    assert line.thresholds[9] is None


@pytest.mark.parametrize(
    ("ends", "best"),
    [
        ([1e-3, 1e-40, 9e-27, 1e-30], 2),  # below the floor the fewest iterations win
        ([1e-3, 1.0001e-26, 1e-3, 1.1e-26], 1),  # above it the smallest error does
        ([-1.0, -2.0, 1e-40, 3.0], 1),
        ([1e-30, 0.0, 0.1, 0.0], 0),
    ],
)
def test_differences_below_the_floor_decide_nothing(
    tmp_path: Path, ends: list[float], best: int
) -> None:
    data = stored.ended(tmp_path, {"lr": [0.1, 1.0], "iters": [10, 100]}, ends)
    assert data.best is not None and data.best.name == best


def test_a_run_that_stopped_changing_needed_no_more(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [1000]})
    runs = [
        stored.stored_run(tmp_path, cell, np.array([0.6, 1e-30]), metrics={"stalled_at": at})
        for cell, at in zip(plan, (700.0, 80.0), strict=True)
    ]
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    assert data.best is not None and (data.best.name, data.best.needed) == (1, 80)


def test_diverged_run_is_never_best(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10]})
    runs = [
        stored.stored_run(tmp_path, plan[0], np.array([0.6, 0.5])),
        stored.stored_run(tmp_path, plan[1], np.array([0.6, 1e-9]), outcome="diverged"),
    ]
    # Even where a foreign writer left a final error on it.
    runs[1].metrics["final_error"] = 1e-9
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    assert data.best is not None and data.best.run is runs[0]
    assert np.isnan(data.runs.error[1])


def test_values_of_axes_are_those_of_the_plan_and_not_of_cut_params(tmp_path: Path) -> None:
    long = "[" + "0.25," * 200
    plan = stored.cells({"lr": [0.1], "iters": [10], "network.weights": [f"{long}1]", f"{long}2]"]})
    runs = []
    for cell, error in zip(plan, (0.2, 0.1), strict=True):
        run = stored.stored_run(tmp_path, cell, np.array([0.6, error]))
        cut = {**run.params, "network.weights": run.params["network.weights"][:500]}
        runs.append(replace(run, params=cut))
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    assert list(data.values["network.weights"]) == [f"{long}1]", f"{long}2]"]
    assert len(data.grid) == 2
    assert data.best is not None and data.best.run is runs[1]


def test_axis_that_was_added_later_has_a_value_in_every_cell(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10]})
    for cell, bias in zip(plan, ("shared", "per_neuron"), strict=True):
        cell["config"] = {"network": {"bias": bias, "layers": [4, 3, 2]}}
    plan[0]["values"] = {"lr": 0.1, "iters": 10, "network.bias": "shared"}
    runs = [stored.stored_run(tmp_path, cell) for cell in plan]
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    assert list(data.values["network.bias"]) == ["shared", "per_neuron"]
    assert planned_value(plan[0], "network.layers") == "[4,3,2]"
    assert planned_value(plan[0], "network.layers.1") == "3"
    assert planned_value(plan[0], "network.nothing") == ""


def test_run_that_got_furthest_stands_for_a_trajectory(tmp_path: Path) -> None:
    """A longer one was killed before it passed where the shorter one ended."""
    plan = stored.cells({"lr": [0.1], "iters": [50, 1000]})
    runs = [
        stored.stored_run(tmp_path, plan[0]),
        stored.stored_run(tmp_path, plan[1], stored.decay(0.1, 20), outcome="interrupted"),
    ]
    (line,) = sweep_data(stored.stored_sweep(tmp_path, plan), runs).trajectories
    assert line.reach == 50 and line.curve[0][-1] == 50
    expected = stored.result_of(0.1, 50, stored.decay(0.1, 50)).thresholds[1]
    assert line.thresholds is not None and line.thresholds[1] == expected


def test_missing_runs_keep_their_place_in_the_plan(tmp_path: Path) -> None:
    axes = {"rule": ["notebook", "gradient"], "lr": [0.1], "iters": [10]}
    sweep, runs = stored.grid(tmp_path, axes)
    data = sweep_data(sweep, runs[1:])
    assert list(data.missing["name"]) == ["rule=notebook,lr=0.1,iters=10"]
    assert list(data.values.rule) == ["notebook", "gradient"]
    assert list(data.runs.outcome) == ["missing", "completed"]


def test_missing_cell_is_missing_though_another_has_its_signature(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [10], "rule": ["null", "notebook"]})
    for cell in plan:
        cell["signature"] = "1" * 64
    run = stored.stored_run(tmp_path, plan[1])
    data = sweep_data(stored.stored_sweep(tmp_path, plan), [run])
    assert list(data.missing["name"]) == ["lr=0.1,iters=10,rule=null"]
    assert list(data.started["name"]) == ["lr=0.1,iters=10,rule=notebook"]


def test_fields_of_the_plan_that_have_a_wrong_type_are_named(tmp_path: Path) -> None:
    cells: list[Any] = stored.cells({"lr": [0.1, 1.0], "iters": [10, 20]})
    runs = [stored.stored_run(tmp_path, cell) for cell in cells]
    cells[1]["params"], cells[2]["config"], cells[3] = 5, "x", None
    data = sweep_data(stored.stored_sweep(tmp_path, cells), runs)
    where = ["cells.1 params", "cells.2 config", "cells.3"]
    assert data.unread == [f"plan.json {place}" for place in where]
    assert len(data.started) == 4


def test_cell_that_is_planned_twice_and_ran_once_is_missing_once(tmp_path: Path) -> None:
    (cell,) = stored.cells({"lr": [0.1], "iters": [10]})
    run = stored.stored_run(tmp_path, cell)
    data = sweep_data(stored.stored_sweep(tmp_path, [cell, {**cell, "index": 1}]), [run])
    assert len(data.missing) == 1


def test_completed_run_stands_for_a_cell_that_was_run_twice(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [10]})
    killed = stored.stored_run(tmp_path, plan[0], outcome="interrupted")
    done = stored.stored_run(tmp_path, {**plan[0], "index": 7})
    for runs in ([killed, done], [done, killed]):
        data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
        assert list(data.grid.run) == [done]
        assert len(data.started) == 2 and data.missing.empty


def test_run_without_files_is_named_and_the_rest_survives(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1, 1.0], "iters": [10]})
    for path in (tmp_path / runs[1].run_id / "artifacts").iterdir():
        path.unlink()
    data = sweep_data(sweep, runs)
    assert [line.reach for line in data.trajectories] == [10, None]
    assert data.unread == ["curve of run lr=1.0,iters=10: not there"]
    assert data.best is not None and data.best.lr == 1.0


def test_damaged_files_are_named(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [10, 20]})
    for run in runs:
        (tmp_path / run.run_id / "artifacts" / "curve.parquet").write_bytes(b"PAR1 no")
    (tmp_path / sweep.run_id / "artifacts" / "plan.json").write_text("{")
    data = sweep_data(sweep, runs)
    assert data.trajectories[0].reach is None and data.best is not None
    assert len(data.unread) == 3


def test_run_without_usable_params_is_kept_among_the_runs(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [10, 20]})
    (tmp_path / sweep.run_id / "artifacts" / "plan.json").write_text("{}")
    runs[0] = replace(runs[0], params={"lr": "abc"})
    data = sweep_data(sweep, runs)
    assert len(data.stored) == 2 and len(data.runs) == 1 and data.unread


def test_iterations_have_no_upper_limit(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [10, 10**320]})
    run = stored.stored_run(tmp_path, plan[0])
    longest = stored.stored_run(tmp_path, plan[1], stored.decay(0.1, 10), outcome="interrupted")
    data = sweep_data(stored.stored_sweep(tmp_path, plan), [run, longest])
    assert list(data.runs.iters) == [10, 10**320]


def test_combinations_are_those_of_the_other_axes_in_plan_order(tmp_path: Path) -> None:
    axes = {"rule": ["notebook", "gradient"], "lr": [0.1], "seed": [1, 0], "iters": [5]}
    data = sweep_data(*stored.grid(tmp_path, axes))
    assert data.others == ("rule", "seed")
    assert list(data.runs.combination) == [0, 1, 2, 3]


def test_trajectories_that_differ_by_iters_are_lines_of_their_own(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [5, 10]})
    for cell in plan:
        cell["trajectory"] = cell["name"]
    runs = [stored.stored_run(tmp_path, cell) for cell in plan]
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    assert [line.reach for line in data.trajectories] == [5, 10]


def test_lists_and_mappings_are_shown_as_one_writes_them(tmp_path: Path) -> None:
    layers: list[object] = ['["auto",3,"auto"]', '["true",true]']  # as plan.json has them
    data = stored.ended(
        tmp_path, {"lr": [0.1], "iters": [10], "network.layers": layers}, [0.1, 0.2]
    )
    assert data.axes["network.layers"].values == ("[auto,3,auto]", '["true",true]')


def test_errors_near_the_largest_number_are_told_apart(tmp_path: Path) -> None:
    data = stored.ended(tmp_path, {"lr": [0.1, 1.0], "iters": [5]}, [1.7e308, 1.6e308])
    assert data.best.value == 1.6e308 and data.grid.value.tolist() == [1.7e308, 1.6e308]
