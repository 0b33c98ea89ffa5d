"""The estimate: grows with what is to be done."""

from __future__ import annotations

from sweep.engine.estimate import Pace, disk_bytes, estimate
from tests.engine.test_plan import plan_of


def test_estimate_grows_with_runs_iterations_and_fewer_workers() -> None:
    plan = plan_of({"lr": 0.01, "iters": 10**9}, {"lr": 0.02, "iters": 10**9}, {"lr": 0.03})
    pace = Pace(training=1e-8, python=1.0)
    both = estimate(plan, plan.cells, 1, pace=pace)
    assert both.seconds > estimate(plan, plan.cells, 2, pace=pace).seconds
    assert both.seconds > estimate(plan, plan.cells[2:], 1, pace=pace).seconds
    assert both.seconds < estimate(plan, plan.cells, 1, pace=Pace(1e-8, 2.0)).seconds
    assert both.seconds < estimate(plan, plan.cells, 1, pace=Pace(2e-8, 1.0)).seconds
    assert estimate(plan, [], 1).seconds > 0
    assert both.bytes == disk_bytes(plan.cells) > disk_bytes(plan.cells[1:])
