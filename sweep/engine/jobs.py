"""Jobs of Hydra launchers: join the sweep, train one grid point and record it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from sweep.config.settings import Budget, Settings
from sweep.config.spec import RunSpec, canonical
from sweep.engine.executors import create
from sweep.engine.lifecycle import process
from sweep.engine.listener import Outcome, failure_of
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.engine.signals import stop_on_signals
from sweep.engine.sweep import Sweep, store_needed
from sweep.errors import NotFoundError, RunFailed, StoreError
from sweep.tracking.session import Session
from sweep.training.surroundings import Failure


@contextmanager
def joined_sweep(options: Settings, spec: RunSpec) -> Iterator[Sweep]:
    """Yield the sweep that the job `spec` belongs to.

    A job in another process reads the plan from the parent run; RunFailed replaces any exception
    of such a job. Raises NotFoundError if the store has no sweep of this id, and StoreLost if the
    server does not answer; the result file stays on disk.
    """
    if process.sweep is not None and process.sweep.id == options.parent:
        yield process.sweep
        return
    from sweep.tracking.recorder import recorder as start_recorder

    sweep_id = options.parent
    assert sweep_id is not None
    # the budget is that of the whole sweep
    options = options.model_copy(update={"budget": Budget(seconds=None, runs=None)})
    with stop_on_signals() as stop, start_recorder(stop, inline=True) as recorder:
        joined = recorder.call(Session.join_sweep, options.tracking, sweep_id)
        experiment_id, parent_run_id, document = joined
        sweep = Sweep(sweep_id, _plan_of_job(document, spec), options, recorder, stop)
        sweep.experiment_id, sweep.parent_run_id = experiment_id, parent_run_id
        failed = None
        try:
            with store_needed():
                try:
                    yield sweep
                except Exception as error:
                    failed = error
                sweep.settle()
        except BaseException:
            with suppress(StoreError):
                sweep.interrupt()
            raise
        if failed is not None:
            # The failure is recorded. The parent process may be unable to unpickle a user's
            # exception class, and would lose the results of all jobs.
            raise RunFailed(f"{type(failed).__name__}: {failed}") from failed


def _plan_of_job(document: Mapping[str, Any], spec: RunSpec) -> Plan:
    """Return the stored plan with only the job's grid point; NotFoundError if there is none."""
    cells = document.get("cells", ())
    wanted = canonical([spec.config, spec.choices])
    same = [canonical([cell["config"], cell["choices"]]) == wanted for cell in cells]
    equal = [cell["signature"] == spec.signature for cell in cells]
    for matches in (same, equal):
        if any(matches):
            return Plan.from_document(document, {matches.index(True): spec})
    raise NotFoundError(
        f"parent={document.get('sweep_id')}: this job's configuration is not in the sweep's plan; "
        "jobs are started by the sweep alone."
    )


@store_needed()
def run_job(sweep: Sweep, spec: RunSpec) -> float | None:
    """Train and record one grid point; return its final error, None if the budget is spent.

    Raises RunFailed if training failed (it is recorded), if an earlier run failed under
    `fail_fast`, or if the plan does not have this grid point with this signature.
    """
    if sweep.failed_fast:
        raise RunFailed("Left out: an earlier run failed and fail_fast=true.")
    cell = sweep.plan.find(spec)
    if cell is None:
        which = f"lr={spec.lr!r}, iters={spec.iters}"
        raise RunFailed(f"This job's configuration ({which}) is not in the sweep's plan.")
    if spec.signature != cell.signature:
        changed = Failure(
            "The data or the trainer's source is not what the sweep was planned with; put it "
            "back, then resume=last."
        )
        return record(sweep, cell, changed)
    sweep.start(cell)
    with create("serial") as executor:
        own, final_error = Trajectory((replace(cell, spec=spec),)), None
        for _, outcome in sweep.train([(own,)], executor):  # to its end: removes the checkpoint
            final_error = record(sweep, cell, outcome)
    return final_error


@store_needed()
def record(sweep: Sweep, cell: Cell, outcome: Outcome) -> float | None:
    """Record a job's outcome and return its final error.

    Raises RunFailed, after recording, if the run failed or something failed after its training.
    """
    final_error = sweep.record(cell, outcome)
    if (failure := failure_of(outcome)) is not None:
        raise RunFailed(failure.sentence)
    return final_error
