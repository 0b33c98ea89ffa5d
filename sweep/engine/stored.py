"""Which cells of a plan the store has already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.engine.plan import Cell, Plan
from sweep.errors import NotFoundError

if TYPE_CHECKING:
    from sweep.config.settings import Settings
    from sweep.tracking.stored import StoredRun

__all__ = ["finished_cells", "stored_cells"]


def finished_cells(plan: Plan, runs: Sequence[StoredRun]) -> list[Cell]:
    """Return the cells of which a sweep's `runs` hold a finished one with the cell's signature."""
    left = Counter(
        (run.name, run.tags.get("sweep.signature")) for run in runs if run.status == "FINISHED"
    )
    found = []
    for cell in plan.cells:
        key = (cell.name, cell.spec.signature)
        if left[key]:
            left[key] -= 1
            found.append(cell)
    return found


def stored_cells(plan: Plan, options: Settings, sweep_id: str) -> list[Cell]:
    """Return the cells that need no training, looked up without changing anything."""
    from sweep.tracking import read, reuse
    from sweep.tracking.settings import from_options
    from sweep.tracking.store import open_store

    if options.resume is None and not options.reuse:
        return []
    try:
        store = open_store(from_options(options), mode="read")
    except NotFoundError:
        return []
    if options.resume is not None:
        return finished_cells(plan, read.sweep_runs(store, sweep_id))
    found = reuse.finished_by_signature(store, {cell.spec.signature for cell in plan.cells})
    return [cell for cell in plan.cells if cell.spec.signature in found]
