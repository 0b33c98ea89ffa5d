"""Recording through MLflow's server on PostgreSQL, as `scripts/server` brings it up.

    python -m benchmarks.server [writers] [clients] [--rounds 3] [--json F]

writers   milliseconds that one more run costs (from sweeps of 25 and 125), with one writer
          and with as many as the program uses, and in SQLite beside them;
clients   eight clients at once, 125 runs each: seconds, milliseconds a run, and a count of
          what is in the store afterwards: every cell once.

Whole processes, each a client with a folder of its own; the server is started for the
benchmark alone, on the loopback. Each figure is the median of the rounds, with the smallest
and the largest behind it; the clients are measured once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweep.engine.executors import available_cpus
from sweep.tracking.runs import UPLOADS

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "server"
CLIENTS = 8
RUNS = 125

PROGRAM = """
import runpy, sys
from sweep.tracking import runs
runs.UPLOADS = int(sys.argv.pop(1))
runpy.run_module("sweep", run_name="__main__", alter_sys=True)
"""
"""The application with another number of writers, which is no setting of it."""


@contextmanager
def running_server() -> Iterator[Mapping[str, str]]:
    """Start the server; yield the environment of its users; stop it and remove what it kept."""
    folder = tempfile.mkdtemp(prefix="sweep-server-", dir="/tmp")  # short: a socket lies in it
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    begin = 'eval "$("$0" start --folder "$1" --port "$2")" && env -0'
    try:
        shown = subprocess.run(
            ["bash", "-c", begin, SCRIPT, folder, port], stdout=subprocess.PIPE, check=True
        ).stdout.decode()
        yield dict(line.split("=", 1) for line in shown.split("\0") if line)
    finally:
        subprocess.run([SCRIPT, "stop", "--folder", folder], check=True)
        shutil.rmtree(folder)


class Bench:
    """Runs clients in folders of their own and collects rows for the table."""

    def __init__(self, folder: Path, env: Mapping[str, str], rounds: int) -> None:
        self.folder = folder
        self.env = {**env, "PYTHONPATH": str(ROOT)}
        self.rounds = rounds
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, values: Sequence[float], unit: str) -> None:
        """Add a row: median, smallest and largest."""
        row = {"what": what, "median": statistics.median(values), "unit": unit}
        self.rows.append({**row, "min": min(values), "max": max(values)})
        print(
            f"{what:<48}{row['median']:9.2f} {unit:<3} "
            f"({min(values):.2f} to {max(values):.2f}, {len(values)} rounds)",
            flush=True,
        )

    def start(self, runs: int, experiment: str, writers: int | None) -> subprocess.Popen[bytes]:
        """Start a sweep of so many short runs; `writers` is None for SQLite."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        words = ["-m", f"lr=range(0.001,{(runs + 0.5) / 1000},0.001)", "iters=50"]
        if writers is not None:
            words += ["tracking=server", f"tracking.experiment={experiment}"]
        command = [sys.executable, "-c", PROGRAM, str(writers or UPLOADS), *words]
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(command, cwd=folder, env=self.env, stdout=log, stderr=log)

    def took(self, runs: int, writers: int | None) -> float:
        """Return the seconds of one sweep."""
        began = time.perf_counter()
        ended(self.start(runs, f"writers-{writers}", writers))
        return time.perf_counter() - began

    def writers(self) -> None:
        """Measure what one more run costs; the ways take turns."""
        costs: dict[int | None, list[float]] = {1: [], UPLOADS: [], None: []}
        for writers in costs:
            self.took(1, writers)
        for _ in range(self.rounds):
            for writers, found in costs.items():
                small, large = (self.took(runs, writers) for runs in (25, 125))
                found.append(1000 * (large - small) / 100)
        for writers, found in costs.items():
            where = "in SQLite" if writers is None else f"on the server, writers: {writers}"
            self.add(f"one more run {where}", found, "ms")

    def clients(self) -> None:
        """Measure many clients at once, and count what they left.

        Raises
        ------
        RuntimeError
            A cell is missing, or there twice.
        """
        began = time.perf_counter()
        for client in [self.start(RUNS, "clients", UPLOADS) for _ in range(CLIENTS)]:
            ended(client)
        seconds = time.perf_counter() - began
        counts = self.finished("clients")
        if len(counts) != CLIENTS * RUNS or set(counts.values()) != {1}:
            raise RuntimeError(
                f"{len(counts)} cells are stored, the most frequent: {counts.most_common(3)}."
            )
        self.add(f"{CLIENTS} clients at once, {RUNS} runs each", [seconds], "s")
        self.add("the same, a run", [1000 * seconds / len(counts)], "ms")
        print(f"Every one of {len(counts)} cells is in the store once.")

    def finished(self, experiment: str) -> Counter[tuple[str, str]]:
        """Count the finished runs of each cell: sweep and name."""
        from mlflow import MlflowClient

        names = [name for name in self.env if name.startswith("MLFLOW_TRACKING_")]
        os.environ.update({name: self.env[name] for name in names})
        client = MlflowClient(self.env["MLFLOW_TRACKING_URI"])
        found = client.get_experiment_by_name(experiment)
        assert found is not None
        counts: Counter[tuple[str, str]] = Counter()
        token = None
        while token is None or token:
            page = client.search_runs(
                [found.experiment_id],
                "tags.`sweep.role` = 'run' and attributes.status = 'FINISHED'",
                max_results=1000,
                page_token=token,
            )
            counts.update((run.data.tags["sweep.id"], run.info.run_name) for run in page)
            token = page.token or ""
        return counts


def ended(client: subprocess.Popen[bytes]) -> None:
    """Wait for a client.

    Raises
    ------
    RuntimeError
        It failed; what it printed is in the file `log` of its folder.
    """
    if client.wait():
        raise RuntimeError(f"{client.args!r} ended with {client.returncode}.")


PARTS: dict[str, Callable[[Bench], None]] = {"writers": Bench.writers, "clients": Bench.clients}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts that are asked for and print the table."""
    parser = argparse.ArgumentParser(description="Recording through a server on PostgreSQL.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the table to this file as well")
    options = parser.parse_args(arguments)
    postgres = shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not postgres or not all(map(find_spec, ("flask_wtf", "psycopg", "uvloop"))):
        print("Left out: it needs PostgreSQL and pip install 'sweep[server]'.")
        return
    print(f"{platform.machine()}, {available_cpus()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder, running_server() as env:
        bench = Bench(Path(folder), env, options.rounds)
        for part in options.parts or PARTS:
            PARTS[part](bench)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=1))


if __name__ == "__main__":
    main()
