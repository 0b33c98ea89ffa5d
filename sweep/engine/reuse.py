"""Take over results of equal signature that the store already holds (``reuse=true``)."""

from __future__ import annotations

from sweep import console
from sweep.engine.sweep import Sweep

__all__ = ["take_over"]


def take_over(sweep: Sweep) -> None:
    """Record for each pending cell the result of an earlier finished run of its signature.

    The cell gets a run of its own, tagged with the run that the result came from; a result
    whose files are not complete is computed again.
    """
    from sweep.tracking.session import Session

    signatures = {cell.spec.signature for cell in sweep.pending}
    stored = sweep.recorder.call(Session.reusable, signatures)
    taken = []
    for cell in sweep.pending:
        sweep.stop.check()
        run = stored.get(cell.spec.signature)
        result = run.result() if run else None
        if run is None or result is None:
            continue
        sweep.start(cell, reused_from=run.run_id)
        sweep.record(cell, result, quietly=True)
        console.reused(cell.name, run.run_id, run.tags.get("sweep.id"))
        taken.append(cell)
    sweep.settle()
    sweep.leave_out(taken)
