"""What is read from a stored sweep, and which run is best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sweep.report.facts import facts_of
from tests.report import stored


def test_facts_of_a_grid(tmp_path: Path) -> None:
    facts = facts_of(*stored.grid(tmp_path, stored.DEFAULT))
    assert facts.rates == (0.01, 0.05, 1.0) and facts.counts == (1, 10, 100, 1000)
    assert facts.others == () and facts.panels == ((),)
    assert len(facts.lines) == 3 and len(facts.grid) == 12
    assert not facts.missing and not facts.unread
    assert facts.best is not None and (facts.best.lr, facts.best.iters) == (1.0, 1000)


def test_line_has_the_longest_curve_and_exact_thresholds(tmp_path: Path) -> None:
    facts = facts_of(*stored.grid(tmp_path, stored.DEFAULT))
    line = next(line for line in facts.lines if line.lr == 1.0)
    assert line.reach == 1000 and line.steps[-1] == 1000
    errors = stored.decay(1.0, 1000)
    assert line.thresholds[3] == int(np.argmax(errors <= 1e-3))
    assert line.thresholds[9] is None


def test_cheapest_counts_the_floor_as_a_tie(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 100]})
    ends = [1e-3, 1e-40, 9e-27, 1e-30]
    runs = [
        stored.stored_run(tmp_path, cell, np.array([0.6, end]))
        for cell, end in zip(plan, ends, strict=True)
    ]
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    assert facts.best is not None and facts.best.run is runs[1]
    assert facts.cheapest is not None and facts.cheapest.run is runs[2]


def test_cheapest_above_the_floor_is_the_best(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [10, 100]})
    ends = [1.1e-26, 1.0001e-26]
    runs = [
        stored.stored_run(tmp_path, cell, np.array([0.6, end]))
        for cell, end in zip(plan, ends, strict=True)
    ]
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    assert facts.cheapest is facts.best and facts.best is not None
    assert facts.best.run is runs[1]


def test_equal_errors_prefer_fewer_iterations(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [500.0], "iters": [1000, 10]})
    runs = [stored.stored_run(tmp_path, cell, np.array([0.6, 0.00625])) for cell in plan]
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    assert facts.best is not None and facts.best.iters == 10


def test_diverged_run_is_never_best(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10]})
    runs = [
        stored.stored_run(tmp_path, plan[0], np.array([0.6, 0.5])),
        stored.stored_run(tmp_path, plan[1], np.array([0.6, 1e-9]), outcome="diverged"),
    ]
    # Even where a foreign writer left a final error on it.
    runs[1].metrics["final_error"] = 1e-9
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    assert facts.best is not None and facts.best.run is runs[0]
    assert facts.points[1].final_error is None


def test_values_of_axes_are_those_of_the_plan_and_not_of_cut_params(tmp_path: Path) -> None:
    long = "[" + "0.25," * 200
    plan = stored.cells({"lr": [0.1], "iters": [10], "network.weights": [f"{long}1]", f"{long}2]"]})
    runs = []
    for cell, error in zip(plan, (0.2, 0.1), strict=True):
        run = stored.stored_run(tmp_path, cell, np.array([0.6, error]))
        cut = {**run.params, "network.weights": run.params["network.weights"][:500]}
        runs.append(replace(run, params=cut))
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    assert len(facts.grid) == 2 and facts.panels == ((f"{long}1]",), (f"{long}2]",))
    assert facts.best is not None and facts.best.run is runs[1]


def test_axis_that_was_added_later_has_a_value_in_every_cell(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10]})
    for cell, bias in zip(plan, ("shared", "per_neuron"), strict=True):
        cell["config"] = {"network": {"bias": bias, "layers": [4, 3, 2]}}
    plan[0]["values"] = {"lr": 0.1, "iters": 10, "network.bias": "shared"}
    runs = [stored.stored_run(tmp_path, cell) for cell in plan]
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    assert facts.panels == (("shared",), ("per_neuron",))
    assert facts.points[0].value("network.layers") == "[4,3,2]"
    assert facts.points[0].value("network.layers.1") == "3"
    assert facts.points[0].value("network.nothing") == ""


def test_run_that_got_furthest_speaks_for_a_trajectory(tmp_path: Path) -> None:
    """A longer one was killed before it passed where the shorter one ended."""
    plan = stored.cells({"lr": [0.1], "iters": [50, 1000]})
    runs = [
        stored.stored_run(tmp_path, plan[0]),
        stored.stored_run(tmp_path, plan[1], stored.decay(0.1, 20), outcome="interrupted"),
    ]
    (line,) = facts_of(stored.stored_sweep(tmp_path, plan), runs).lines
    assert line.reach == 50 and line.steps[-1] == 50
    assert line.thresholds[1] == stored.result_of(0.1, 50, stored.decay(0.1, 50)).thresholds[1]


def test_missing_cells_are_those_without_a_run(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [1, 10]})
    facts = facts_of(sweep, runs[:1])
    assert [cell.name for cell in facts.missing] == ["lr=0.1,iters=10"]
    assert facts.counts == (1, 10)


def test_completed_run_stands_for_a_cell_that_was_run_twice(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [10]})
    killed = stored.stored_run(tmp_path, plan[0], outcome="interrupted")
    done = stored.stored_run(tmp_path, {**plan[0], "index": 7})
    for runs in ([killed, done], [done, killed]):
        facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
        assert [point.run for point in facts.grid.values()] == [done]
        assert len(facts.points) == 2


def test_run_without_files_is_told_and_the_rest_survives(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1, 1.0], "iters": [10]})
    for path in (tmp_path / runs[1].run_id / "artifacts").iterdir():
        path.unlink()
    facts = facts_of(sweep, runs)
    assert facts.unread == ("curve of run lr=1.0,iters=10: not there",)
    assert facts.best is not None and facts.best.lr == 1.0


def test_damaged_files_are_told(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [10, 20]})
    for run in runs:
        (tmp_path / run.run_id / "artifacts" / "curve.parquet").write_bytes(b"PAR1 no")
    (tmp_path / sweep.run_id / "artifacts" / "plan.json").write_text("{")
    facts = facts_of(sweep, runs)
    assert len(facts.unread) == 3
    assert facts.lines[0].reach is None and facts.best is not None


def test_run_without_usable_params_is_kept_among_the_runs(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [10, 20]})
    runs[0] = replace(runs[0], params={"lr": "abc"})
    facts = facts_of(sweep, runs)
    assert len(facts.runs) == 2 and len(facts.points) == 1 and facts.unread


def test_panels_are_the_other_axes_in_plan_order(tmp_path: Path) -> None:
    axes = {"rule": ["notebook", "gradient"], "lr": [0.1], "seed": [1, 0], "iters": [5]}
    facts = facts_of(*stored.grid(tmp_path, axes))
    assert facts.others == ("rule", "seed")
    assert facts.panels == (
        ("notebook", "1"),
        ("notebook", "0"),
        ("gradient", "1"),
        ("gradient", "0"),
    )


def test_trajectories_that_differ_by_iters_are_lines_of_their_own(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [5, 10]})
    for cell in plan:
        cell["trajectory"] = cell["name"]
    runs = [stored.stored_run(tmp_path, cell) for cell in plan]
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    assert [line.reach for line in facts.lines] == [5, 10]


def test_no_runs_at_all(tmp_path: Path) -> None:
    facts = facts_of(stored.stored_sweep(tmp_path, []), [])
    assert facts.best is None and facts.cheapest is None and facts.panels == ()
