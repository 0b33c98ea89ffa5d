"""Estimate what a sweep will take, before anything is written: seconds and bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.curve import FULL_CURVE
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.trainers import build_trainer

__all__ = ["Estimate", "calibrate", "estimate"]

CALIBRATION_SECONDS = 0.2
"""Aim for the training that a calibration does; a slow trainer does one iteration."""

RUN_SECONDS = 0.025
START_SECONDS = 3.5
"""Recording a run, and everything around the runs: loading, the store, the report.

Measured on two cores with SQLite: `python benchmarks/overhead.py` prints both.
"""

RUN_BYTES = 25_000
POINT_BYTES = 6.5
REPORT_BYTES = 1_200_000
"""What a run takes in the database and in small files, a point of its curve, and the report."""


@dataclass(frozen=True)
class Estimate:
    """What a sweep will take: wall-clock seconds and bytes on disk."""

    seconds: float
    bytes: int


def estimate(plan: Plan, cells: Sequence[Cell], workers: int) -> Estimate:
    """Return what training and recording `cells` will take on `workers` workers."""
    trajectories = plan.trajectories(cells)
    return Estimate(
        START_SECONDS + RUN_SECONDS * len(cells) + _training_seconds(trajectories, workers),
        disk_bytes(cells),
    )


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
    trainer = build_trainer(trajectory.spec)
    started = time.perf_counter()
    trainer.advance(1)
    seconds = time.perf_counter() - started
    if seconds > CALIBRATION_SECONDS and not trajectory.spec.trainer.built_in:
        return seconds  # a slow trainer is not asked twice
    count, seconds = 1, 0.0
    while seconds < CALIBRATION_SECONDS / 10:
        count = max(count, min(count * 10, int(count * CALIBRATION_SECONDS / max(seconds, 1e-9))))
        started = time.perf_counter()
        trainer.advance(count)
        seconds = time.perf_counter() - started
    return seconds / count


def _training_seconds(trajectories: Sequence[Trajectory], workers: int) -> float:
    """Return the time of the busiest worker if each takes the next trajectory when it is free."""
    if not trajectories:
        return 0.0
    longest = max(trajectories, key=lambda trajectory: trajectory.stops[-1])
    per_iteration = calibrate(longest)
    busy = [0.0] * max(1, workers)
    for trajectory in trajectories:
        first = busy.index(min(busy))
        busy[first] += per_iteration * trajectory.stops[-1]
    return max(busy)
