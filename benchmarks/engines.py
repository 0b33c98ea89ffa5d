"""Every executor side by side, through the driver alone: no Hydra, no store.

    python -m benchmarks.engines [serial] [threads] [...] [--rounds 3] [--json F]

start-up     seconds from nothing until four trajectories of a quarter second are trained;
a second     eight trajectories of about a second each: efficiency against two ideal cores,
             that is the seconds that the serial backend takes over twice the seconds here;
tiny         milliseconds a task, for trajectories of one iteration.

Two workers each (serial has one). The backends take turns; each figure is the median of the
rounds, with the smallest and the largest behind it. An engine that is not installed is left
out with a word. Dask and Ray start clusters of their own on the loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.kernel import configuration
from sweep.engine.driver import Driver
from sweep.engine.executors import EXECUTORS, Executor, available_cpus, create
from sweep.engine.plan import Cell, Trajectory
from sweep.errors import ConfigError
from sweep.training.surroundings import Failure

WORKERS = 2
LONG = 8
TINY = 500


class Took(NamedTuple):
    """One executor in one round: seconds to start, for the long ones, and for the tiny ones."""

    start: float
    long: float
    tiny: float


def trajectories(count: int, iterations: int) -> list[Trajectory]:
    """Return trajectories of the notebook's network, at rates too small to saturate it."""
    rates = [1e-6 * (1 + number / count) for number in range(count)]
    specs = [configuration(rate, iterations) for rate in rates]
    return [Trajectory((Cell(at, (), {}, spec),)) for at, spec in enumerate(specs)]


def seconds(executor: Executor, given: Sequence[Trajectory]) -> float:
    """Train trajectories, each in a batch of its own, and return how long that took.

    Raises
    ------
    RuntimeError
        One of them failed.
    """
    began = time.perf_counter()
    for ended in Driver([(one,) for one in given], executor).outcomes():
        if ended is not None and isinstance(ended[1], Failure):
            raise RuntimeError(ended[1].sentence)
    return time.perf_counter() - began


def measure(name: str, long: int) -> Took:
    """Start an executor, measure it, and end it; `long` is the iterations of about a second.

    Raises
    ------
    ConfigError
        Its library is not installed.
    """
    began = time.perf_counter()
    with create(name, WORKERS) as executor:
        seconds(executor, trajectories(2 * WORKERS, max(1, long // 4)))
        start = time.perf_counter() - began
        tiny = trajectories(TINY, 1)
        return Took(start, seconds(executor, trajectories(LONG, long)), seconds(executor, tiny))


def iterations_of_a_second() -> int:
    """Return how many iterations take about a second on one core."""
    with create("serial") as executor:
        seconds(executor, trajectories(1, 1))  # compiles
        return int(4e6 / seconds(executor, trajectories(1, 4_000_000)))


def row(what: str, values: Sequence[float], unit: str) -> dict[str, Any]:
    """Return a row of the table: median, smallest and largest of the rounds."""
    median = statistics.median(values)
    print(
        f"{what:<44}{median:9.2f} {unit:<3} "
        f"({min(values):.2f} to {max(values):.2f}, {len(values)} rounds)",
        flush=True,
    )
    return {"what": what, "median": median, "unit": unit, "min": min(values), "max": max(values)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the backends that are asked for, or all, and print the table."""
    parser = argparse.ArgumentParser(description="Every executor side by side, without a store.")
    parser.add_argument("backends", nargs="*", choices=[[], *EXECUTORS], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the table to this file as well")
    options = parser.parse_args(arguments)
    names = ["serial", *(name for name in options.backends or EXECUTORS if name != "serial")]
    print(f"{platform.machine()}, {available_cpus()} cores, load {os.getloadavg()[0]:.1f}")
    long = iterations_of_a_second()
    took: dict[str, list[Took]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in list(took):
            try:
                took[name].append(measure(name, long))
            except ConfigError as error:
                print(error)
                del took[name]
    rows = []
    for name, rounds in took.items():
        pairs = zip(took["serial"], rounds, strict=True)
        efficiency = [100 * serial.long / (WORKERS * ours.long) for serial, ours in pairs]
        rows += [
            row(f"{name}: start-up", [one.start for one in rounds], "s"),
            row(f"{name}: {LONG} trajectories of a second", [one.long for one in rounds], "s"),
            row(f"{name}: efficiency on {WORKERS} ideal cores", efficiency, "%"),
            row(f"{name}: a tiny task", [1000 * one.tiny / TINY for one in rounds], "ms"),
        ]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
