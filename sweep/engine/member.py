"""A job joins its sweep: the one of this process, or the one that the store knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from sweep import console
from sweep.config.settings import Settings
from sweep.config.spec import RunSpec, canonical
from sweep.engine.life import current
from sweep.engine.plan import Plan
from sweep.engine.signals import stop_on_signals
from sweep.engine.sweep import Sweep
from sweep.errors import NotFoundError, RunFailed, StoreError

__all__ = ["joined_sweep", "plan_of_job"]


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
    StoreError
        A server did not come back; the result waits on disk.
    """
    sweep = current()
    if sweep is not None and sweep.id == options.parent:
        yield sweep
        return
    from sweep.tracking.recorder import recorder as start_recorder
    from sweep.tracking.session import Session
    from sweep.tracking.settings import from_options

    assert options.parent is not None
    with stop_on_signals() as stop, start_recorder(console.notice, stop, inline=True) as recorder:
        joined = recorder.call(Session.join_sweep, from_options(options), options.parent)
        parent_run_id, document = joined
        sweep = Sweep(options.parent, plan_of_job(document, spec), options, recorder, stop)
        sweep.parent_run_id = parent_run_id
        try:
            yield sweep
            sweep.settle()
        except Exception as error:
            sweep.settle()
            # It is recorded. The driver may be unable to load a class of the user's own, and
            # would lose the results of all jobs with it.
            raise RunFailed(f"{type(error).__name__}: {error}") from error
        except BaseException:
            with suppress(StoreError):
                sweep.runs.interrupt()
            raise


def plan_of_job(document: Mapping[str, Any], spec: RunSpec) -> Plan:
    """Return the part of a stored plan that one job needs: the cell of its configuration.

    Raises
    ------
    NotFoundError
        The plan has no such cell.
    """
    cells = document.get("cells", ())
    wanted = canonical([spec.config, spec.choices])
    for number, cell in enumerate(cells):
        if canonical([cell["config"], cell["choices"]]) == wanted:
            return Plan.from_document(document, {number: spec})
    for number, cell in enumerate(cells):
        if cell["signature"] == spec.signature:
            return Plan.from_document(document, {number: spec})
    raise NotFoundError(
        f"parent={document.get('sweep_id')}: this job's configuration is not in the sweep's plan; "
        "jobs are started by the sweep alone."
    )
