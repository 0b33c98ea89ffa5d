"""Train the trajectories of a sweep on a backend and hand over each run as it is passed.

Training happens in the backend's workers; everything that touches the store happens in the
thread that iterates here, the one writer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweep.engine.backends import Done, Emitted, create
from sweep.engine.plan import Cell, Trajectory
from sweep.engine.sweep import Sweep
from sweep.engine.work import Failure, Progress, TrajectoryWork
from sweep.training import CurvePart, RunResult

__all__ = ["execute"]


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
    """
    trajectories = sweep.plan.trajectories(cells)
    backend = create(_backend_name(cells, launcher), launcher["workers"], launcher["options"])
    waiting = deque(enumerate(trajectories))
    running: dict[int, _Running] = {}
    with backend:

        def submit() -> None:
            key, trajectory = waiting.popleft()
            running[key] = _Running(trajectory)
            work = TrajectoryWork(trajectory.spec, trajectory.stops, sweep.options.max_seconds)
            backend.submit(key, work)

        while waiting and len(running) < backend.capacity:
            submit()
        for event in backend.events():
            sweep.stop.check()
            if event is None:
                continue
            yield from running[event.key].take(sweep, event)
            if isinstance(event, Done):
                del running[event.key]
                if waiting and not sweep.failed_fast:
                    submit()


def _backend_name(cells: Sequence[Cell], launcher: Mapping[str, Any]) -> str:
    """Return the backend to use: threads give way to processes for a trainer that needs it."""
    name = str(launcher["backend"])
    safe = all(cell.spec.trainer.thread_safe for cell in cells)
    return "processes" if name == "threads" and not safe else name


class _Running:
    """A trajectory that was handed to the backend."""

    def __init__(self, trajectory: Trajectory) -> None:
        self.trajectory = trajectory
        self.open = {cell.index: cell for cell in trajectory.cells}
        self.iterations = 0
        self.counted = 0

    def take(
        self, sweep: Sweep, event: Emitted | Done
    ) -> Iterator[tuple[Cell, RunResult | Failure]]:
        """Yield what an event says of the trajectory's cells."""
        value = event.value if isinstance(event, Emitted) else event
        for cell in self.trajectory.cells:
            sweep.start(cell)
        if isinstance(value, Progress):
            # A worker that died begins again from step 0: count what is new alone.
            self.iterations = 0 if value.restarted else self.iterations + value.iterations
            if self.iterations > self.counted:
                sweep.progress.advance(self.iterations - self.counted)
                self.counted = self.iterations
        elif isinstance(value, CurvePart):
            for cell in self.open.values():
                sweep.show(cell, value)
        elif isinstance(value, RunResult):
            for cell in self.trajectory.cells:
                if cell.spec.iters == value.iters and cell.index in self.open:
                    del self.open[cell.index]
                    yield cell, value
        elif isinstance(value, Done) and value.error is not None:
            for cell in list(self.open.values()):
                del self.open[cell.index]
                yield cell, Failure(value.error, value.traceback)
