"""Estimate the duration and the disk space of a sweep."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweep.config.spec import RunSpec
from sweep.engine.batches import COST, batches
from sweep.engine.executors import available_cpus
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.training.curve import FULL_CURVE
from sweep.training.trainers import build_batch

__all__ = ["Estimate", "Pace", "calibrate", "estimate", "pace_of", "single_estimate"]

CALIBRATION_SECONDS = 0.2
"""Length of one measurement; a slow user's trainer does one iteration."""

RUN_SECONDS = 0.020
HANDLE_SECONDS = 0.012
START_SECONDS = 2.4
REPORT_SECONDS = 0.8
"""Seconds to record a run in SQLite, to handle it in the command, to start and to report.

Measured by `python -m benchmarks.overhead` on the machine of PACE_SECONDS, and scaled by the time
that the loop of `pace_of` takes here and now.
"""

SERVER_RUN_SECONDS = 0.075
"""Seconds to record a run through a server, by `python -m benchmarks.server`."""

PACE_SECONDS = 0.0093

RUN_BYTES = 25_000
POINT_BYTES = 6.5
REPORT_BYTES = 1_200_000
"""Bytes of a run in the database and small files, of a curve point, and of the report."""


@dataclass(frozen=True)
class Estimate:
    """Wall-clock seconds and bytes on disk."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Pace:
    """The current speed of this machine.

    Attributes
    ----------
    training
        Seconds of an iteration, divided by the network's size.
    python
        Duration of Python code, relative to the machine of this module's figures.
    """

    training: float
    python: float


def estimate(
    plan: Plan,
    cells: Sequence[Cell],
    workers: int,
    *,
    pace: Pace | None = None,
    server: bool = False,
    elsewhere: bool = False,
    max_seconds: float | None = None,
) -> Estimate:
    """Estimate training and recording `cells` on `workers` workers.

    Parameters
    ----------
    pace
        The machine's speed; measured if None.
    server, elsewhere
        Whether runs are recorded through a server, and whether they train on other machines.
    max_seconds
        Limit of a run's training time.
    """
    trajectories = plan.trajectories(cells)
    pace = pace or pace_of(trajectories)
    cpus = available_cpus()
    tasks = batches(trajectories, workers) if plan.shared else [(one,) for one in trajectories]
    busy = _training_seconds(tasks, workers, pace, max_seconds or math.inf)
    record = (SERVER_RUN_SECONDS if server else RUN_SECONDS) * pace.python * len(cells)
    handle = HANDLE_SECONDS * pace.python * len(cells)
    # Training, recording and the command itself run in parallel on the CPUs.
    shared = ((0.0 if elsewhere else sum(busy)) + record + handle) / cpus
    seconds = max([*busy, record, handle, shared])
    return Estimate(pace.python * (START_SECONDS + REPORT_SECONDS) + seconds, disk_bytes(cells))


def single_estimate(spec: RunSpec, max_seconds: float | None) -> Estimate:
    """Estimate a single run, which has no report."""
    cell = Cell(0, (), {}, spec)
    trajectory = Trajectory((cell,))
    pace = pace_of([trajectory])
    (busy,) = _training_seconds([(trajectory,)], 1, pace, max_seconds or math.inf)
    seconds = pace.python * (START_SECONDS + RUN_SECONDS) + busy
    return Estimate(seconds, disk_bytes([cell]) - REPORT_BYTES)


def pace_of(trajectories: Sequence[Trajectory]) -> Pace:
    """Measure the speed of this machine, by training the longest of `trajectories`."""

    def loop() -> None:
        for number in range(600):
            json.loads(json.dumps({str(key): [key, number] for key in range(20)}))

    training = 0.0
    if trajectories:
        longest = max(trajectories, key=lambda trajectory: trajectory.stops[-1])
        training = calibrate(longest) / longest.spec.network.size
    return Pace(training, _typical_seconds(loop) / PACE_SECONDS)


def disk_bytes(cells: Sequence[Cell]) -> int:
    """Estimate the bytes on disk of the runs of `cells`."""
    points = sum(_points(cell.spec.iters) for cell in cells)
    return int(REPORT_BYTES + RUN_BYTES * len(cells) + POINT_BYTES * points)


def _points(iters: int) -> int:
    """Estimate the points of a run's stored curve; see curve.kept_steps."""
    thinned = math.log(iters / FULL_CURVE) * 500 if iters > FULL_CURVE else 0
    return min(iters, FULL_CURVE) + int(thinned) + 1


def calibrate(trajectory: Trajectory) -> float:
    """Train a trajectory briefly and return the seconds of an iteration.

    The first call of a trainer may compile code and is not counted.
    """
    trainer = build_batch([trajectory.spec])
    started = time.perf_counter()
    trainer.advance(1)
    seconds = time.perf_counter() - started
    count, seconds = 1, 0.0
    while seconds < CALIBRATION_SECONDS / 10:
        count = max(count, min(count * 10, int(count * CALIBRATION_SECONDS / max(seconds, 1e-9))))
        started = time.perf_counter()
        trainer.advance(count)
        seconds = time.perf_counter() - started
    if seconds < CALIBRATION_SECONDS:
        seconds = _typical_seconds(lambda: trainer.advance(count))
    return seconds / count


def _typical_seconds(action: Callable[[], object]) -> float:
    """Return the median of five times."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _training_seconds(
    tasks: Sequence[Sequence[Trajectory]], workers: int, pace: Pace, limit: float
) -> list[float]:
    """Return the training seconds of each worker; an idle one takes the next batch."""
    busy = [0.0] * max(1, workers)
    for batch in tasks:
        iterations = max(trajectory.stops[-1] for trajectory in batch)
        seconds = pace.training * batch[0].spec.network.size * iterations
        busy[busy.index(min(busy))] += min(limit, seconds * (COST if len(batch) > 1 else 1))
    return busy
