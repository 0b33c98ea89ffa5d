"""Estimate the duration and the disk space of a sweep."""

from __future__ import annotations

import json
import math
import time
import timeit
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.engine.batches import COST, batches
from sweep.engine.executors import available_cpus
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.training.curve import LAST_STEP, kept_steps
from sweep.training.trainers import build_batch

CALIBRATION_SECONDS = 0.05
"""Minimum length of the measurement; a slow network trains two iterations."""

START_SECONDS = 2.4
REPORT_SECONDS = 0.8
RUN_SECONDS = 0.025
"""Seconds to start, to report, and to record a run in SQLite, by `python -m benchmarks.overhead`.

They are scaled by the duration of the loop of `pace_of`, which was PACE_SECONDS there.
"""

SERVER_RUN_SECONDS = 0.075
"""Seconds to record a run through a server, by `python -m benchmarks.server`."""

PACE_SECONDS = 0.0093

LONGEST = 10**300
"""Iterations of a longer trajectory are estimated as so many: a float ends at 1.8e308."""

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
    """The current speed of this machine."""

    training: float  # seconds per iteration and scalar of the network
    python: float  # duration of Python code, relative to the machine of this module's figures


def estimate(
    plan: Plan,
    cells: Sequence[Cell],
    workers: int,
    *,
    pace: Pace | None = None,
    server: bool = False,
    elsewhere: bool = False,
    report: bool = True,
    max_seconds: float | None = None,
) -> Estimate | None:
    """Estimate training and recording `cells`; `pace` is measured if None.

    Return None with a user's trainer: it is not tried, as it may be slow or have side effects.

    `server`, `elsewhere` and `report` are whether runs are recorded through a server, train on
    other machines, and get a report; a trajectory trains for at most `max_seconds`.
    """
    if not all(cell.spec.trainer.built_in for cell in cells):
        return None
    trajectories = plan.trajectories(cells)
    pace = pace or pace_of(trajectories)
    busy = [0.0] * max(1, workers)  # seconds of each worker; an idle one takes the next batch
    tasks = batches(trajectories, workers) if plan.shared else [(one,) for one in trajectories]
    for batch in tasks:
        iterations = min(LONGEST, max(trajectory.stops[-1] for trajectory in batch))
        seconds = pace.training * batch[0].spec.network.size * iterations
        seconds = min(max_seconds or math.inf, seconds * (COST if len(batch) > 1 else 1))
        busy[busy.index(min(busy))] += seconds
    record = pace.python * (SERVER_RUN_SECONDS if server else RUN_SECONDS) * len(cells)
    # Training and recording share the CPUs.
    shared = ((0.0 if elsewhere else sum(busy)) + record) / available_cpus()
    start = pace.python * (START_SECONDS + (REPORT_SECONDS if report else 0.0))
    size = disk_bytes(cells) - (0 if report else REPORT_BYTES)
    return Estimate(start + max(*busy, record, shared), size)


def disk_bytes(cells: Sequence[Cell]) -> int:
    """Estimate the bytes on disk of the runs of `cells`, with a report."""
    runs = Counter(cell.spec.iters for cell in cells)
    points = sum(count * len(kept_steps(min(iters, LAST_STEP))) for iters, count in runs.items())
    return int(REPORT_BYTES + RUN_BYTES * len(cells) + POINT_BYTES * points)


def pace_of(trajectories: Sequence[Trajectory]) -> Pace:
    """Measure this machine's speed; training is measured on the longest of `trajectories`."""

    def loop() -> None:
        for number in range(600):
            json.loads(json.dumps({str(key): [key, number] for key in range(20)}))

    python = min(timeit.repeat(loop, number=1, repeat=5)) / PACE_SECONDS
    if not trajectories:
        return Pace(0.0, python)
    spec = max(trajectories, key=lambda trajectory: trajectory.stops[-1]).spec
    trainer = build_batch([spec])
    trainer.advance(1)  # may compile code
    count, seconds = 1, 0.0
    while seconds < CALIBRATION_SECONDS:
        began = time.perf_counter()
        trainer.advance(count)
        seconds = time.perf_counter() - began
        count *= 4
    return Pace(4 * seconds / count / spec.network.size, python)
