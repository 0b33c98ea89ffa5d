"""Find grid points that need no training: the store or a result file has their result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import console
from sweep.config.settings import Settings
from sweep.engine.plan import Cell, Plan
from sweep.errors import NotFoundError
from sweep.tracking import results

if TYPE_CHECKING:
    from sweep.engine.sweep import Sweep
    from sweep.tracking.read import StoredRun


def finished_cells(plan: Plan, runs: Sequence[StoredRun]) -> list[Cell]:
    """Return the grid points with a finished, complete run of the planned signature."""
    done = {
        run.cell: run.tags.get("sweep.signature")
        for run in runs
        if run.status == "FINISHED" and run.is_whole()
    }
    return [cell for cell in plan.cells if done.get(cell.index) == cell.spec.signature]


def _waiting(plan: Plan, options: Settings, sweep_id: str) -> tuple[dict[int, Path], list[Path]]:
    """Return result files to store, by grid point index, and useless ones.

    Useless are files that are incomplete, of an unfinished run, or of another plan.
    """
    folder = results.folder_of(options.outputs, f"sweeps/{sweep_id}")
    useful, useless = {}, []
    for cell in plan.cells:
        path = folder / str(cell.index)
        record = results.read(path)
        if record is not None and record.store != options.tracking.name:
            continue  # for another store with the same outputs
        made = record and (record.sweep_id, record.tags.get("sweep.signature"), record.status)
        if made == (sweep_id, cell.signature, "FINISHED"):
            useful[cell.index] = path
        elif path.exists():
            useless.append(path)
    return useful, useless


def stored_cells(plan: Plan, options: Settings, sweep_id: str) -> list[Cell]:
    """Return the grid points that need no training, without writing anything."""
    from sweep.tracking import read
    from sweep.tracking.store import open_store

    if options.resume is None and not options.reuse:
        return []
    try:
        store = open_store(options.tracking, mode="read")
    except NotFoundError:
        return []
    if options.resume is not None:
        done = {cell.index for cell in finished_cells(plan, read.sweep_runs(store, sweep_id))}
        done |= _waiting(plan, options, sweep_id)[0].keys()
        return [cell for cell in plan.cells if cell.index in done]
    found = read.finished_by_signature(store, {cell.spec.signature for cell in plan.cells})
    return [cell for cell in plan.cells if cell.spec.signature in found]


def take_results(sweep: Sweep) -> None:
    """Store result files of an earlier command, and exclude their grid points from training."""
    useful, useless = _waiting(sweep.plan, sweep.options, sweep.id)
    for path in useless:
        results.remove(path)
    sweep.waiting |= useful
    sweep.settle()
    damaged = {cell for cell, one in sweep.finished.items() if one.state == "damaged"}
    taken = [cell for cell in sweep.pending if cell.index in useful.keys() - damaged]
    if taken:
        one = len(taken) == 1
        console.echo(
            f"{len(taken)} {'result' if one else 'results'} that waited on disk "
            f"{'is' if one else 'are'} stored now."
        )
        sweep.leave_out(taken)


def take_over(sweep: Sweep) -> None:
    """Reuse results: record finished runs of equal signature for the pending grid points.

    Each gets a new run with the tag `sweep.reused_from`. Incomplete results are trained again.
    """
    from sweep.tracking.session import Session

    signatures = {cell.spec.signature for cell in sweep.pending}
    stored = sweep.recorder.call(Session.reusable, signatures)
    taken = []
    for cell in sweep.pending:
        sweep.stop.check()
        run = stored.get(cell.spec.signature)
        copied = run and results.copied(sweep.new_record(cell), run, cell.spec.config)
        if run and copied:
            sweep.waiting[cell.index] = results.write(sweep.folder, *copied)
            sweep.poll()
            console.reused(cell.name, run.run_id, run.tags.get("sweep.id"))
            taken.append(cell)
    sweep.settle()
    sweep.leave_out(taken)
