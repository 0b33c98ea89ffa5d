"""Train specifications again, each shared trajectory once, on all cores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from sweep.engine.driver import Driver
from sweep.engine.events import Ended, Failure
from sweep.engine.executors import create
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.engine.signals import StopRequest
from sweep.tracking.active import scratch
from sweep.training.history import RunResult

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
    with TemporaryDirectory() as folder, create("threads", thread_safe=safe) as executor:

        def environment(one: Trajectory) -> Mapping[str, str]:
            """What a trainer of a user's own logs again goes to a store that is thrown away."""
            own = Path(folder, str(one.cells[0].index))
            return {} if one.spec.trainer.built_in else scratch(own)

        together = [(one,) for one in needed]
        for event in Driver(together, executor, environment=environment).events():
            stop.check()
            if isinstance(event, Ended):
                yield event.cell.index, event.outcome
