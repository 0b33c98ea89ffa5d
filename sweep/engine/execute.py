"""Train cells of a sweep on an executor and hand over each run as it ends.

Training happens in the executor's workers; everything that touches the store happens in the
thread that iterates here, the one writer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from sweep import console
from sweep.config.spec import RunSpec
from sweep.engine.batches import batches
from sweep.engine.driver import Driver
from sweep.engine.events import Charted, Ended, Failure, Noted, Printed, Progressed, Started
from sweep.engine.executors import Executor, create
from sweep.engine.plan import Cell, Trajectory
from sweep.engine.sweep import Sweep
from sweep.errors import ConfigError, RunFailed, SweepError
from sweep.training.history import RunResult

__all__ = ["execute", "record", "run_job"]


def execute(
    sweep: Sweep, cells: Sequence[Cell], launcher: Mapping[str, Any]
) -> Iterator[tuple[Cell, RunResult | Failure]]:
    """Train `cells` and yield each with its result or failure, in the order in which they end.

    Parameters
    ----------
    launcher
        The launcher's settings: ``backend``, ``workers``, ``options``.

    Raises
    ------
    Interrupted
        A signal asked the command to end; every worker is gone by then.
    SweepError
        The engine cannot be reached any more, or has no worker.
    """
    trajectories = sweep.plan.trajectories(cells)
    safe = all(cell.spec.trainer.thread_safe for cell in cells)
    try:
        executor = create(
            str(launcher["backend"]), launcher["workers"], launcher["options"], thread_safe=safe
        )
    except ConfigError as error:  # all was well before the sweep began, so no refusal
        message = str(error).removesuffix(".")
        raise SweepError(f"{message}; then finish the sweep with resume=last.") from error
    with executor:
        yield from _train(sweep, batches(trajectories, executor.room()), executor)


def _train(
    sweep: Sweep, together: Sequence[Sequence[Trajectory]], executor: Executor
) -> Iterator[tuple[Cell, RunResult | Failure]]:
    driver = Driver(
        together,
        executor,
        max_seconds=sweep.options.max_seconds,
        checkpoint=sweep.checkpoint,
        environment=sweep.environment,
        more=lambda: not sweep.failed_fast,
    )
    with closing(driver.events()) as events:
        for event in events:
            sweep.stop.check()
            sweep.poll()
            if sweep.spent:
                return
            match event:
                case Started(trajectory):
                    for cell in trajectory.cells:
                        sweep.start(cell)
                case Progressed(iterations):
                    sweep.progress.advance(iterations)
                case Charted(cells, part):
                    for cell in cells:
                        sweep.show(cell, part)
                case Noted(sentence):
                    console.say(sentence)
                case Printed(cell, lines):
                    sweep.progress.printed(lines, cell.name)
                case Ended(cell, outcome):
                    yield cell, outcome


def run_job(sweep: Sweep, spec: RunSpec) -> float | None:
    """Train one cell by itself, inside its job, and record it; return its final error.

    Raises
    ------
    RunFailed
        What training raised, after it was recorded; or the sweep's plan has no such cell.
    """
    if sweep.failed_fast:
        raise RunFailed("Left out: an earlier run failed and fail_fast=true.")
    cell = sweep.plan.find(spec)
    if cell is None:
        which = f"lr={spec.lr!r}, iters={spec.iters}"
        raise RunFailed(f"This job's configuration ({which}) is not in the sweep's plan.")
    try:
        cell.check(spec)
    except RunFailed as error:
        sweep.fail(cell, Failure.of(error))
        raise
    sweep.start(cell)
    with create("serial") as executor:
        own = Trajectory((replace(cell, spec=spec),))
        for _, outcome in _train(sweep, [(own,)], executor):
            return record(sweep, cell, outcome)
    return None  # the budget is spent


def record(sweep: Sweep, cell: Cell, outcome: RunResult | Failure) -> float | None:
    """Record what became of a job's run; return its final error.

    Raises
    ------
    RunFailed
        The run failed, or something failed after its training; it is recorded.
    """
    if isinstance(outcome, Failure):
        sweep.fail(cell, outcome)
        raise RunFailed(outcome.sentence)
    final_error = sweep.record(cell, outcome)
    if outcome.failure is not None:
        raise RunFailed(outcome.failure.sentence)
    return final_error
