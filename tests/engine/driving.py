"""Drive trajectories of the test trainers on an executor, and look at what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sweep.config.spec import RunSpec
from sweep.engine.checkpoint import Checkpoint, checkpoint_name
from sweep.engine.driver import Driver
from sweep.engine.executors import Executor
from sweep.engine.listener import Listener, Outcome
from sweep.engine.plan import Cell, Trajectory
from sweep.training.curve import CurveSlice
from sweep.training.history import RunResult
from tests.configuration import spec

TRAINERS = "tests.engine.trainers"


def trajectory(cls: str, lr: float, *cuts: int, folder: Path | None = None) -> Trajectory:
    """Return a trajectory of a class of `trainers`, or of the built-in trainer for ''."""
    trainer = {"_target_": f"{TRAINERS}.{cls}", "lr": lr, "folder": str(folder or "")}
    changes: dict[str, Any] = {"trainer": trainer, "rule": None} if cls else {}
    cells = [Cell(at, (), {}, spec(lr=lr, iters=cut, **changes)) for at, cut in enumerate(cuts)]
    return Trajectory(tuple(cells))


class Started(NamedTuple):
    trajectory: Trajectory


class Progressed(NamedTuple):
    iterations: int


class Charted(NamedTuple):
    cell: Cell
    part: CurveSlice


class Ended(NamedTuple):
    cell: Cell
    outcome: Outcome


Event = Started | Progressed | Charted | Ended


class Collecting(Listener):
    """Keeps what a driver reports, in order."""

    def __init__(
        self, checkpoint: Callable[[RunSpec], Checkpoint | None], more: Callable[[], bool]
    ) -> None:
        self.events: list[Event] = []
        self._checkpoint, self._more = checkpoint, more

    def checkpoint(self, spec: RunSpec) -> Checkpoint | None:
        return self._checkpoint(spec)

    def may_begin(self) -> bool:
        return self._more()

    def started(self, trajectory: Trajectory) -> None:
        self.events.append(Started(trajectory))

    def progressed(self, iterations: int) -> None:
        self.events.append(Progressed(iterations))

    def charted(self, cell: Cell, part: CurveSlice) -> None:
        self.events.append(Charted(cell, part))


def events(
    batches: Sequence[Sequence[Trajectory]],
    executor: Executor,
    *,
    checkpoint: Callable[[RunSpec], Checkpoint | None] = lambda spec: None,
    more: Callable[[], bool] = lambda: True,
    max_seconds: float | None = None,
) -> Iterator[Event | None]:
    """Train batches and yield what the driver reports, and None after each step of it."""
    listener = Collecting(checkpoint, more)
    with closing(Driver(batches, executor, listener, max_seconds).outcomes()) as outcomes:
        for ended in outcomes:
            reported, listener.events = listener.events, []
            yield from reported
            yield None if ended is None else Ended(*ended)


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
        for event in events([(one,) for one in trajectories], executor, **options):
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


def assert_stop_closes_generators(executor: Executor, folder: Path) -> None:
    """Leave trajectories of `until_closed` in mid-slice, and check that the begun ones closed."""
    given = [trajectory("until_closed", lr, 10**6, folder=folder) for lr in (0.1, 0.2)]
    begun: set[str] = set()
    left = [4]

    def leave(event: Event | None) -> None:
        if isinstance(event, Started):
            begun.add(f"{event.trajectory.spec.lr} closed")
        left[0] -= isinstance(event, Progressed)
        if not left[0]:
            assert not list(folder.iterdir())
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        drive(executor, given, on=leave)
    assert {path.name for path in folder.iterdir()} == begun
