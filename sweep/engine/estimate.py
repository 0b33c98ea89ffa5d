"""Estimate what a sweep will take, before anything is written: seconds and bytes."""

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
"""Aim for one of the trainings of a calibration; a slow user's trainer does one iteration."""

RUN_SECONDS = 0.020
HANDLE_SECONDS = 0.012
START_SECONDS = 2.4
REPORT_SECONDS = 0.8
"""Recording a run in SQLite, handling it in the command, and what comes before and after.

Measured (`python -m benchmarks.overhead`) where PACE_SECONDS were; elsewhere, or where others
keep the machine busy, all of it takes as much longer as the same loop does.
"""

SERVER_RUN_SECONDS = 0.075
"""Recording a run through a server: `python -m benchmarks.server`."""

PACE_SECONDS = 0.0093

RUN_BYTES = 25_000
POINT_BYTES = 6.5
REPORT_BYTES = 1_200_000
"""What a run takes in the database and in small files, a point of its curve, and the report."""


@dataclass(frozen=True)
class Estimate:
    """What a sweep will take: wall-clock seconds and bytes on disk."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Pace:
    """How fast this machine is here and now.

    training: seconds of an iteration for each unit of a network's size; see NetworkSpec.size.
    python: how many times longer Python takes than where this module's figures are from.
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
    """Return what training and recording `cells` will take on `workers` workers.

    Parameters
    ----------
    pace
        Measured for a moment where it is not given.
    server, elsewhere
        Whether runs are recorded through a server, and trained on other machines.
    max_seconds
        What ends a training that lasts longer.
    """
    trajectories = plan.trajectories(cells)
    pace = pace or pace_of(trajectories)
    cpus = available_cpus()
    works = batches(trajectories, workers) if plan.shared else [(one,) for one in trajectories]
    busy = _training_seconds(works, workers, pace, max_seconds or math.inf)
    record = (SERVER_RUN_SECONDS if server else RUN_SECONDS) * pace.python * len(cells)
    handle = HANDLE_SECONDS * pace.python * len(cells)
    # Training, recording and the command itself go on side by side, on as many CPUs.
    shared = ((0.0 if elsewhere else sum(busy)) + record + handle) / cpus
    seconds = max([*busy, record, handle, shared])
    return Estimate(pace.python * (START_SECONDS + REPORT_SECONDS) + seconds, disk_bytes(cells))


def single_estimate(spec: RunSpec, max_seconds: float | None) -> Estimate:
    """Return what a single run will take: there is no report."""
    cell = Cell(0, (), {}, spec)
    trajectory = Trajectory((cell,))
    pace = pace_of([trajectory])
    (busy,) = _training_seconds([(trajectory,)], 1, pace, max_seconds or math.inf)
    seconds = pace.python * (START_SECONDS + RUN_SECONDS) + busy
    return Estimate(seconds, disk_bytes([cell]) - REPORT_BYTES)


def pace_of(trajectories: Sequence[Trajectory]) -> Pace:
    """Measure the pace of this machine, with the longest of `trajectories` to train."""

    def loop() -> None:
        for number in range(600):
            json.loads(json.dumps({str(key): [key, number] for key in range(20)}))

    training = 0.0
    if trajectories:
        longest = max(trajectories, key=lambda trajectory: trajectory.stops[-1])
        training = calibrate(longest) / longest.spec.network.size
    return Pace(training, _typical_seconds(loop) / PACE_SECONDS)


def disk_bytes(cells: Sequence[Cell]) -> int:
    """Return about what the runs of `cells` will take on disk."""
    points = sum(_points(cell.spec.iters) for cell in cells)
    return int(REPORT_BYTES + RUN_BYTES * len(cells) + POINT_BYTES * points)


def _points(iters: int) -> int:
    """Return about how many points the stored curve of a run has; see curve.kept_steps."""
    thinned = math.log(iters / FULL_CURVE) * 500 if iters > FULL_CURVE else 0
    return min(iters, FULL_CURVE) + int(thinned) + 1


def calibrate(trajectory: Trajectory) -> float:
    """Train a trajectory for a moment and return its seconds for an iteration.

    The first call into a trainer may compile it and is not counted.
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
    """Return the median of five times: one moment may fall to another process."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _training_seconds(
    works: Sequence[Sequence[Trajectory]], workers: int, pace: Pace, longest: float
) -> list[float]:
    """Return the seconds of each worker if it takes the next work when it is free."""
    busy = [0.0] * max(1, workers)
    for bundle in works:
        iterations = max(trajectory.stops[-1] for trajectory in bundle)
        alone = pace.training * bundle[0].spec.network.size * iterations
        busy[busy.index(min(busy))] += min(longest, alone * (COST if len(bundle) > 1 else 1))
    return busy
