"""Train specifications again, each shared trajectory once, on all cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.engine.backends import Done, Emitted, create
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.engine.signals import StopRequest
from sweep.engine.work import Failure, TrajectoryWork
from sweep.training.training import RunResult

__all__ = ["retrain", "trajectories"]


def trajectories(cells: Sequence[Cell]) -> list[Trajectory]:
    """Return the trainings that the cells need."""
    if not cells:
        return []
    return Plan(tuple(cells), (), len(cells), "", cells[0].spec.base).trajectories()


def retrain(
    needed: Sequence[Trajectory], stop: StopRequest
) -> Iterator[tuple[int, RunResult | Failure]]:
    """Yield the index of each cell with its result, in the order in which they are passed.

    Parameters
    ----------
    needed
        What to train; the cells' indices are distinct.

    Raises
    ------
    Interrupted
        A signal asked the command to end; every worker is gone by then.
    """
    safe = all(one.spec.trainer.thread_safe for one in needed)
    with create("threads" if safe else "processes") as backend:
        for key, one in enumerate(needed):
            backend.submit(key, TrajectoryWork(one.spec, one.stops, None))
        left = [{cell.index: cell for cell in one.cells} for one in needed]
        for event in backend.events():
            stop.check()
            if isinstance(event, Emitted) and isinstance(event.value, RunResult):
                for cell in list(left[event.key].values()):
                    if cell.spec.iters == event.value.iters:
                        del left[event.key][cell.index]
                        yield cell.index, event.value
            elif isinstance(event, Done) and event.error is not None:
                for index in left[event.key]:
                    yield index, Failure(event.error, event.traceback)
