"""Which cells of a plan the store has already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.engine.plan import Cell, Plan
from sweep.errors import NotFoundError

if TYPE_CHECKING:
    from sweep.config.settings import Settings
    from sweep.tracking.stored import StoredRun

__all__ = ["finished_cells", "stored_cells"]


def finished_cells(plan: Plan, runs: Sequence[StoredRun]) -> list[Cell]:
    """Return the cells of which a sweep's `runs` hold a finished one, whole and as planned."""
    done = {
        run.cell: run.tags.get("sweep.signature")
        for run in runs
        if run.status == "FINISHED" and run.is_whole()
    }
    return [cell for cell in plan.cells if done.get(cell.index) == cell.spec.signature]


def stored_cells(plan: Plan, options: Settings, sweep_id: str) -> list[Cell]:
    """Return the cells that need no training, looked up without changing anything."""
    if options.resume is None and not options.reuse:
        return []
    from sweep.tracking import read, results
    from sweep.tracking.settings import from_options
    from sweep.tracking.store import open_store

    try:
        store = open_store(from_options(options), mode="read")
    except NotFoundError:
        return []
    if options.resume is not None:
        done = finished_cells(plan, read.sweep_runs(store, sweep_id))
        waiting = results.waiting(results.folder_of(options.outputs, f"sweeps/{sweep_id}"))
        records = {cell: results.read(path) for cell, path in waiting.items()}
        for cell in plan.cells:
            record = records.get(cell.index)
            if cell not in done and record is not None and record.status == "FINISHED":
                done.append(cell)
        return done
    found = read.finished_by_signature(store, {cell.spec.signature for cell in plan.cells})
    return [cell for cell in plan.cells if cell.spec.signature in found]
