"""The estimate: grows with what is to be done, and asks a slow trainer once."""

from __future__ import annotations

from sweep.engine.estimate import calibrate, disk_bytes, estimate
from tests.engine.test_plan import plan_of


def test_estimate_grows_with_runs_iterations_and_fewer_workers() -> None:
    plan = plan_of({"lr": 0.01, "iters": 10**9}, {"lr": 0.02, "iters": 10**9}, {"lr": 0.03})
    both = estimate(plan, plan.cells, 1)
    assert both.seconds > estimate(plan, plan.cells, 2).seconds
    assert both.seconds > estimate(plan, plan.cells[2:], 1).seconds
    assert both.bytes == disk_bytes(plan.cells) > disk_bytes(plan.cells[1:])
    assert estimate(plan, [], 1).seconds > 0


def test_calibrate_returns_seconds_for_an_iteration() -> None:
    (trajectory,) = plan_of({"lr": 1e-6, "iters": 10**6}).trajectories()
    assert 0 < calibrate(trajectory) < 1e-3


def test_disk_bytes_of_endless_runs_stay_finite() -> None:
    plan = plan_of({"iters": 10**12})
    assert disk_bytes(plan.cells) < 5_000_000
