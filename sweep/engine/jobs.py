"""A job that Hydra runs: it joins its sweep, trains its cell and records it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from sweep import console
from sweep.config.settings import Settings
from sweep.config.spec import RunSpec, canonical
from sweep.engine.executors import create
from sweep.engine.life import process
from sweep.engine.member import Outcome
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.engine.signals import stop_on_signals
from sweep.engine.sweep import Sweep, store_needed
from sweep.errors import NotFoundError, RunFailed, StoreError
from sweep.tracking.session import Session
from sweep.tracking.settings import from_options
from sweep.training.surroundings import Failure


@contextmanager
def joined_sweep(options: Settings, spec: RunSpec) -> Iterator[Sweep]:
    """Yield the sweep that the job `spec` belongs to.

    A job that a launcher started in another process finds the parent run by its id and
    reads the plan from it; nothing else needs to be handed over.

    Raises
    ------
    NotFoundError
        The store holds no sweep of this id.
    RunFailed
        In place of whatever the job raised in another process than the sweep's.
    StoreLost
        A server did not come back; the result waits on disk.
    """
    if process.sweep is not None and process.sweep.id == options.parent:
        yield process.sweep
        return
    from sweep.tracking.recorder import recorder as start_recorder

    assert options.parent is not None
    with stop_on_signals() as stop, start_recorder(console.notice, stop, inline=True) as recorder:
        joined = recorder.call(Session.join_sweep, from_options(options), options.parent)
        parent_run_id, document = joined
        sweep = Sweep(options.parent, _plan_of_job(document, spec), options, recorder, stop)
        sweep.parent_run_id = parent_run_id
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
            # It is recorded. The driver may be unable to load a class of the user's own, and
            # would lose the results of all jobs with it.
            raise RunFailed(f"{type(failed).__name__}: {failed}") from failed


def _plan_of_job(document: Mapping[str, Any], spec: RunSpec) -> Plan:
    """Return the part of a stored plan that one job needs: the cell of its configuration.

    Raises
    ------
    NotFoundError
        The plan has no such cell.
    """
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
    """Train one cell inside its job, and record it; return its final error.

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
        sweep.record(cell, Failure.of(error))
        raise
    sweep.start(cell)
    with create("serial") as executor:
        own = Trajectory((replace(cell, spec=spec),))
        for _, outcome in sweep.train([(own,)], executor):
            return record(sweep, cell, outcome)
    return None  # the budget is spent


@store_needed()
def record(sweep: Sweep, cell: Cell, outcome: Outcome) -> float | None:
    """Record the outcome of a job's run; return its final error.

    Raises
    ------
    RunFailed
        The run failed, or something failed after its training; it is recorded.
    """
    final_error = sweep.record(cell, outcome)
    failure = outcome if isinstance(outcome, Failure) else outcome.failure
    if failure is not None:
        raise RunFailed(failure.sentence)
    return final_error
