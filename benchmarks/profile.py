"""Where the time goes that is left: seconds of each library's own code, by the profiler.

    python -m benchmarks.profile [--runs 200]

command     `python -m sweep -m` with so many short runs: composing, planning, training, drawing;
recording   the process beside it: what the store of SQLite costs, run by run;
report      `python -m sweep.report` of that sweep.

The profiler makes Python slower, by about half, and compiled code not: read the shares.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.overhead import ROOT, rates
from sweep.config.settings import Tracking
from sweep.tracking import results
from sweep.tracking.entities import Point
from sweep.tracking.session import Session

SHOWN = 9


def library(file: str) -> str:
    """Return whose code a file holds."""
    if file.startswith(str(ROOT)):
        return "sweep"
    for mark in ("site-packages/", "dist-packages/"):
        if mark in file:
            return file.split(mark)[1].partition("/")[0].removesuffix(".py")
    if file.startswith("<frozen importlib"):
        return "imports"
    return "built-in functions" if file == "~" else "Python's library"


def show(title: str, profile: pstats.Stats) -> None:
    """Print the shares of the libraries, the largest first."""
    own: Counter[str] = Counter()
    # What pstats has read: (file, line, name) -> calls, recursive ones, own seconds, all, callers.
    for (file, _, name), (_, _, seconds, _, _) in profile.stats.items():  # type: ignore[attr-defined]
        waits = file == "~" and any(word in name for word in ("acquire", "SimpleQueue", "sleep"))
        own["waiting" if waits else library(file)] += seconds
    total = sum(own.values())
    print(f"\n{title}: {total:.1f} s under the profiler")
    for name, seconds in own.most_common(SHOWN):
        print(f"  {name:<24}{seconds:8.2f} s {100 * seconds / total:5.0f} %")


def profiled(arguments: list[str], folder: Path) -> pstats.Stats:
    """Run a module of ours under the profiler in a process of its own."""
    result = folder / "profile"
    command = [sys.executable, "-m", "cProfile", "-o", str(result), "-m", *arguments]
    env = {"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)}
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return pstats.Stats(str(result))


def recording(runs: int, folder: Path) -> pstats.Stats:
    """Record runs as the process beside a sweep does, with 46 values and four files each."""
    session, tracking = (
        Session(lambda: False, os.getpid()),
        Tracking(kind="local", outputs=folder),
    )
    session.open_store(tracking)
    sweep_id = "20260101-000000-aaaa"
    session.start_sweep(sweep_id, {"cells": []}, {})
    points = [Point("error", 0.5 / (step + 1), step) for step in range(20)]
    points += [Point(f"weights/w{number}", 0.3) for number in range(26)]
    files = dict.fromkeys(("config.yaml", "curve.parquet", "thresholds.json", "weights.json"), b"-")
    tags = {f"sweep.tag{number}": "-" * 50 for number in range(4)}
    params = {f"param{number}": "-" for number in range(7)}
    profile = cProfile.Profile()
    profile.enable()
    for key in range(runs):
        own = {**tags, "sweep.id": sweep_id, "sweep.cell": str(key)}
        record = results.RunRecord(
            tracking.name, key, f"run {key}", params, own, 1, 2, "completed", tuple(points)
        )
        session.finish_runs([results.write(folder / "results", record, files)])
    profile.disable()
    session.close()
    return pstats.Stats(profile)


def main() -> None:
    """Profile the three and print their shares."""
    parser = argparse.ArgumentParser(description="Where the time goes, library by library.")
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        show(f"command, {runs} runs", profiled(["sweep", *rates(runs)], folder))
        show(f"report of {runs} runs", profiled(["sweep.report"], folder))
        show(f"recording {runs} runs", recording(runs, folder / "store"))


if __name__ == "__main__":
    main()
