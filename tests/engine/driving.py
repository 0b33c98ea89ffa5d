"""Drive trajectories of the test trainers on an executor, and look at what came of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweep.engine.checkpoint import Checkpoint, checkpoint_name
from sweep.engine.driver import Driver
from sweep.engine.events import Ended, Event, Progressed
from sweep.engine.executors import Executor
from sweep.engine.plan import Cell, Trajectory
from sweep.training.history import RunResult
from tests.configuration import spec

TRAINERS = "tests.engine.trainers"


def trajectory(cls: str, lr: float, *cuts: int, folder: Path | None = None) -> Trajectory:
    """Return a trajectory of a class of `trainers`, or of the built-in trainer for ''."""
    trainer = {"_target_": f"{TRAINERS}.{cls}", "lr": lr, "folder": str(folder or "")}
    changes: dict[str, Any] = {"trainer": trainer, "rule": None} if cls else {}
    cells = [Cell(at, (), {}, spec(lr=lr, iters=cut, **changes)) for at, cut in enumerate(cuts)]
    return Trajectory(tuple(cells))


def drive(
    executor: Executor,
    trajectories: Sequence[Trajectory],
    *,
    on: Callable[[Event | None], object] = lambda event: None,
    checkpoints: Path | None = None,
    **options: Any,
) -> dict[tuple[float, int], Any]:
    """Train each trajectory in a batch of its own; return each run's outcome by (lr, iters).

    Every iteration is counted once.
    """
    if checkpoints is not None:
        options["checkpoint"] = lambda spec: Checkpoint(
            checkpoints / checkpoint_name(spec), "this platform"
        )
    found: dict[tuple[float, int], Any] = {}
    counted = 0
    with executor:
        for event in Driver([(one,) for one in trajectories], executor, **options).events():
            on(event)
            if isinstance(event, Progressed):
                counted += event.iterations
            if isinstance(event, Ended):
                key = event.cell.spec.lr, event.cell.spec.iters
                assert key not in found
                found[key] = event.outcome
    completed = [one for one in found.values() if getattr(one, "outcome", "") == "completed"]
    if len(completed) == sum(len(one.cells) for one in trajectories):
        assert counted == sum(one.stops[-1] for one in trajectories)
    return found


def bits(result: RunResult) -> tuple[Any, ...]:
    """Return all of a result that must not depend on where and how it was trained."""
    arrays = (result.steps.tobytes(), result.errors.tobytes(), repr(result.final_weights))
    marks = (result.stalled_at, result.best_step, dict(result.thresholds), result.diverged_at)
    return (*arrays, result.outcome, repr(result.initial_weights), *marks)


def assert_falls(result: Any, lr: float, iters: int) -> None:
    """Check the curve of a trainer of `trainers`, whatever happened on its way."""
    assert isinstance(result, RunResult), result
    assert result.outcome == "completed"
    assert (result.errors == lr / (1.0 + np.arange(iters + 1))).all()
    assert result.final_weights == {"w1": lr * iters}
