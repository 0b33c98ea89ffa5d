"""Train the trajectories of a sweep on a backend and hand over each run as it is passed.

Training happens in the backend's workers; everything that touches the store happens in the
thread that iterates here, the one writer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweep.engine.backends import Backend, Done, Emitted, create
from sweep.engine.bundle import BundleWork, bundles
from sweep.engine.plan import Cell, Trajectory
from sweep.engine.sweep import Sweep
from sweep.engine.work import Failure, Progress, TrajectoryWork
from sweep.errors import ConfigError, SweepError
from sweep.training.training import CurvePart, RunResult

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
    SweepError
        The engine cannot be reached any more, or has no worker.
    """
    trajectories = sweep.plan.trajectories(cells)
    backend = _backend(cells, launcher)
    running: dict[int, _Running | _Bundle] = {}
    with backend:
        waiting = deque(enumerate(bundles(trajectories, _workers(backend))))

        def submit() -> None:
            key, bundle = waiting.popleft()
            works = [
                TrajectoryWork(
                    trajectory.spec,
                    trajectory.stops,
                    sweep.options.max_seconds,
                    sweep.checkpoint(trajectory.spec),
                )
                for trajectory in bundle
            ]
            members = [_Running(trajectory) for trajectory in bundle]
            running[key] = members[0] if len(members) == 1 else _Bundle(members)
            backend.submit(key, works[0] if len(works) == 1 else BundleWork(tuple(works)))

        def fill() -> None:
            # Asked each time: workers may have joined the engine, or left it.
            while waiting and len(running) < backend.capacity and not sweep.failed_fast:
                submit()

        fill()
        for event in backend.events():
            sweep.stop.check()
            sweep.heed()
            if event is not None:
                yield from running[event.key].take(sweep, event)
                if isinstance(event, Done):
                    del running[event.key]
            fill()


def _backend(cells: Sequence[Cell], launcher: Mapping[str, Any]) -> Backend:
    """Return the backend to use: threads give way to processes for a trainer that needs it."""
    name = str(launcher["backend"])
    if name == "threads" and not all(cell.spec.trainer.thread_safe for cell in cells):
        name = "processes"
    try:
        return create(name, launcher["workers"], launcher["options"])
    except ConfigError as error:  # all was well before the sweep began, so no refusal
        told = str(error).removesuffix(".")
        raise SweepError(f"{told}; then finish the sweep with resume=last.") from error


def _workers(backend: Backend) -> int:
    """Return how many works run at once: as many again are in flight, and wait beside them."""
    return max(1, backend.capacity // 2)


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


class _Bundle:
    """Trajectories that were handed to the backend as one work."""

    def __init__(self, members: Sequence[_Running]) -> None:
        self.members = members

    def take(
        self, sweep: Sweep, event: Emitted | Done
    ) -> Iterator[tuple[Cell, RunResult | Failure]]:
        """Yield what an event says of the trajectories' cells."""
        if isinstance(event, Done):
            for member in self.members:
                yield from member.take(sweep, event)
        else:
            value = event.value
            yield from self.members[value.position].take(sweep, Emitted(event.key, value.value))
