"""What a user waits for, beside a straightforward Hydra + MLflow + pandas program.

    python -m benchmarks.overhead [PART ...] [--rounds 3] [--large] [--json FILE]

grid      the default grid with its report, warm: the peer's seconds over ours;
runs      milliseconds that one more run costs: from sweeps of 12 and 400 (--large: 2000, too);
growth    the same from 100 to 2000 runs (--large: to 5000), with the seconds until the first
          line of output;
memory    of the command and of the recorder process for it, from run 100 to run 2000
          (--large: 5000);
sharing   ten linearly spaced iteration counts: independent runs over shared trajectories;
estimate  what a sweep said it would take over what it took, for sweeps of several kinds;
report    seconds of `python -m sweep.report` for 12 and 500 runs (--large: 5000).

Both programs run as whole processes that take turns; each figure is the median of the
rounds, with the smallest and the largest behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parents[1]
OURS = [sys.executable, "-m", "sweep"]
PEER = [sys.executable, "-m", "benchmarks.peer.program"]


class Took(NamedTuple):
    """A process that ended: seconds to its end and to its first line, and what it printed."""

    seconds: float
    first_line: float
    output: str


def run(command: Sequence[str], folder: Path) -> Took:
    """Run a command in `folder` and measure it.

    Raises
    ------
    RuntimeError
        It failed.
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        first_line = time.perf_counter() - started
        rest = process.stdout.read()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{list(command)} failed:\n{(first + rest).decode()}")
    return Took(seconds, first_line, (first + rest).decode())


def rates(runs: int) -> list[str]:
    """Return the axes of a sweep of `runs` runs: many learning rates, four iteration counts."""
    values = ",".join(f"{0.001 * (number + 1):.3f}" for number in range(runs // 4))
    return ["-m", f"lr={values}", "iters=1,10,100,1000"]


class Bench:
    """Runs both programs in folders of their own and collects rows for the table."""

    def __init__(self, folder: Path, rounds: int, large: bool) -> None:
        self.folder = folder
        self.rounds = rounds
        self.large = large
        self.rows: list[dict[str, Any]] = []

    def place(self, name: str) -> Path:
        """Return a new folder."""
        path = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        path.mkdir()
        return path

    def add(self, what: str, values: Sequence[float], unit: str = "") -> None:
        """Add a row: median, smallest and largest of the rounds."""
        row = {"what": what, "median": statistics.median(values), "unit": unit}
        self.rows.append({**row, "min": min(values), "max": max(values)})
        print(
            f"{what:<64}{row['median']:9.2f} {unit:<6} "
            f"({min(values):.2f} to {max(values):.2f}, {len(values)} rounds)",
            flush=True,
        )

    def grid(self) -> None:
        """Compare the default grid with report, each store warm by one run before."""
        ours, peer = self.place("ours"), self.place("peer")
        run([*OURS, "-m", "lr=0.1", "iters=1"], ours)
        run([*PEER, "-m", "lr=0.1", "iters=1"], peer)
        pairs = [
            (run([*OURS, "-m"], ours).seconds, run([*PEER, "-m"], peer).seconds)
            for _ in range(self.rounds)
        ]
        self.add("default grid with report, sweep", [a for a, _ in pairs], "s")
        self.add("default grid with report, peer", [b for _, b in pairs], "s")
        self.add("default grid with report, peer / sweep", [b / a for a, b in pairs], "x")

    def runs(self) -> None:
        """Compare what one more run costs, in sweeps of 12, 400 and, if large, 2000 runs."""
        sizes = (12, 400, 2000) if self.large else (12, 400)
        took = [
            {
                who: [run([*command, *rates(n)], self.place(who)).seconds for n in sizes]
                for who, command in (("sweep", OURS), ("peer", PEER))
            }
            for _ in range(self.rounds)
        ]
        for at, (small, large) in enumerate(zip(sizes, sizes[1:], strict=False)):
            costs = {
                who: [1000 * (one[who][at + 1] - one[who][at]) / (large - small) for one in took]
                for who in ("sweep", "peer")
            }
            for who, values in costs.items():
                self.add(f"one more run, {who} ({small} to {large})", values, "ms")
            ratios = [b / a for a, b in zip(costs["sweep"], costs["peer"], strict=True)]
            self.add(f"one more run, peer / sweep ({small} to {large})", ratios, "x")

    def growth(self) -> None:
        """Follow cost a run, memory and first line as sweeps grow."""
        sizes = (100, 400, 2000, 5000) if self.large else (100, 400, 2000)
        took = {size: run([*OURS, *rates(size)], self.place("ours")) for size in sizes}
        for size, one in took.items():
            self.add(f"{size} runs: all of it", [one.seconds], "s")
            self.add(f"{size} runs: to the first line", [one.first_line], "s")
        for small, large in zip(sizes, sizes[1:], strict=False):
            cost = 1000 * (took[large].seconds - took[small].seconds) / (large - small)
            self.add(f"one more run from {small} to {large}", [cost], "ms")

    def memory(self) -> None:
        """Follow the memory of a long sweep's two processes from run 100 on."""
        last = 5000 if self.large else 2000
        grown = [self._grown(100, last) for _ in range(self.rounds)]
        for at, who in enumerate(("the command", "the recorder process")):
            self.add(f"memory of {who} at run 100", [one[0][at] for one in grown], "MB")
            more = [after[at] - before[at] for before, after in grown]
            self.add(f"memory of {who}, from run 100 to {last}", more, "MB")

    def _grown(self, first: int, last: int) -> list[tuple[float, float]]:
        """Return the megabytes of both processes when so many runs are in the store."""
        folder, found = self.place("ours"), []
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [*OURS, *rates(last)], cwd=folder, env=env, stdout=subprocess.DEVNULL
        ) as process:
            command = psutil.Process(process.pid)
            for runs in (first, last):
                while _finished(folder / "outputs" / "mlflow.db") < runs:
                    if process.poll() is not None:
                        raise RuntimeError(f"the sweep ended before run {runs}")
                    time.sleep(0.05)
                (child,) = command.children()
                found.append((_megabytes(command), _megabytes(child)))
        return found

    def sharing(self) -> None:
        """Compare shared trajectories with independent runs, where training is what takes time."""
        counts = ",".join(str(5 * 10**7 * at) for at in range(1, 11))
        axes = ["-m", "lr=1e-7", f"iters={counts}"]  # so low that none stalls
        ratios = []
        for _ in range(self.rounds):
            shared = run([*OURS, *axes], self.place("ours")).seconds
            alone = run([*OURS, *axes, "hydra/launcher=basic"], self.place("ours")).seconds
            ratios.append(alone / shared)
        self.add("ten linear iteration counts, independent / shared", ratios, "x")

    def estimate(self) -> None:
        """Compare what sweeps say that they will take with what they take."""
        kinds = {
            "default grid": ["-m"],
            "400 short runs": rates(400),
            "30 learning rates": ["-m", "experiment=rates"],
            "four of 10^8 iterations": ["-m", "lr=1e-7,2e-7,3e-7,4e-7", "iters=100000000"],
            "two of 10^8 on processes": [
                *["-m", "lr=1e-7,2e-7", "iters=100000000", "hydra.launcher.backend=processes"]
            ],
        }
        for name, axes in kinds.items():
            ratios = []
            for _ in range(self.rounds):
                found = re.search(
                    r"Done in ([\d.]+) s \(estimated ([\d.]+) s\)",
                    run([*OURS, *axes], self.place("ours")).output,
                )
                assert found is not None, "a sweep says what it took and what was estimated"
                ratios.append(float(found[2]) / float(found[1]))
            self.add(f"estimated / took, {name}", ratios, "x")

    def report(self) -> None:
        """Measure the report of stored sweeps."""
        for size in (12, 500, 5000) if self.large else (12, 500):
            folder = self.place("ours")
            run([*OURS, *rates(size)], folder)
            command = [sys.executable, "-m", "sweep.report"]
            times = [run(command, folder).seconds for _ in range(self.rounds)]
            self.add(f"python -m sweep.report, {size} runs", times, "s")


def _finished(database: Path) -> int:
    """Return how many runs of a store are finished, read past MLflow."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            query = "SELECT count(*) FROM runs WHERE status = 'FINISHED'"
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 1e6)


PARTS: dict[str, Callable[[Bench], None]] = {
    "grid": Bench.grid,
    "runs": Bench.runs,
    "growth": Bench.growth,
    "memory": Bench.memory,
    "sharing": Bench.sharing,
    "estimate": Bench.estimate,
    "report": Bench.report,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts that are asked for and print the table."""
    parser = argparse.ArgumentParser(description="What a user waits for, beside a plain program.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="sweeps of 5000 runs too (minutes)")
    parser.add_argument("--json", type=Path, help="write the table to this file as well")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.rounds, options.large)
        for part in options.parts or PARTS:
            PARTS[part](bench)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=1))


if __name__ == "__main__":
    main()
