"""Milliseconds a job of the launcher alone, beside Hydra's own way, for a task that does nothing.

    python -m benchmarks.launcher [--jobs 100] [--rounds 5] [--json F]

Three ways take turns in one process, so that whatever else the machine does falls on all:

sweeper + basic       Hydra's basic sweeper and basic launcher: composed twice, errors told first;
basic                 the basic launcher alone: composed once;
checked + trajectory  ours, errors told first: every job checked, then launched.

Each sweep has its own folder, the default logging to console and file, and no ``.hydra``
files, as in our application. Printed: the median of each way and of its ratio to the first.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from sweep.cli.compose import Jobs

CONFIG = """
defaults: [{network: small}, _self_]
lr: 0.1
iters: 1
seed: 0
hydra: {output_subdir: null, sweep: {dir: out}}
"""
NETWORK = "layers: [4, 3, 2]\nactivation: sigmoid\nbiases: [0.5, 0.5]\n"


def nothing(config: DictConfig) -> None:
    """Do nothing, as a job."""


def rates(jobs: int) -> list[str]:
    """Return a different learning rate for each job."""
    return [f"0.{number:04d}" for number in range(1, jobs + 1)]


def by_hydra(hydra: Hydra, jobs: int) -> None:
    """Sweep with all that is Hydra's own."""
    axes = [f"lr={','.join(rates(jobs))}", "iters=7"]
    hydra.multirun("config", nothing, ["hydra/launcher=basic", *axes])


def by_launcher(hydra: Hydra, jobs: int, name: str) -> None:
    """Hand the jobs to a launcher; to ours when every one of them has been checked."""
    config = hydra.compose_config("config", [f"hydra/launcher={name}"], RunMode.MULTIRUN)
    context = HydraContext(hydra.config_loader, Callbacks(config))
    launcher = Plugins.instance().instantiate_launcher(context, nothing, config)
    overrides: Sequence[Sequence[str]] = [[f"lr={rate}", "iters=7"] for rate in rates(jobs)]
    if name == "trajectory":
        overrides = Jobs(hydra.config_loader, config, overrides)
        assert not overrides.check()
    launcher.launch(overrides, initial_job_idx=0)


WAYS: dict[str, Callable[[Hydra, int], None]] = {
    "sweeper + basic": by_hydra,
    "basic": lambda hydra, jobs: by_launcher(hydra, jobs, "basic"),
    "checked + trajectory": lambda hydra, jobs: by_launcher(hydra, jobs, "trajectory"),
}


@contextlib.contextmanager
def application(conf: Path) -> Iterator[Hydra]:
    """Give a new Hydra application in a folder of its own, and put everything back."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        initialize_config_dir(str(conf), "benchmark", version_base="1.3"),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra
        logging.shutdown()
        logging.getLogger().handlers.clear()


def measure(jobs: int, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds a job of each way, round by round."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder)
        (conf / "network").mkdir()
        (conf / "config.yaml").write_text(CONFIG, encoding="utf-8")
        (conf / "network" / "small.yaml").write_text(NETWORK, encoding="utf-8")
        for size in [2] + [jobs] * rounds:  # the first sweep of each way also loads modules
            for way, run in WAYS.items():
                with application(conf) as hydra:
                    started = time.perf_counter()
                    run(hydra, size)
                    found[way].append(1000 * (time.perf_counter() - started) / size)
    return {way: times[1:] for way, times in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Milliseconds a job of the launcher alone.")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the table to this file as well")
    options = parser.parse_args(arguments)
    found = measure(options.jobs, options.rounds)
    print(f"{options.jobs} jobs, {options.rounds} rounds, {os.cpu_count()} processors")
    (first, *_) = found
    rows = []
    for way, times in found.items():
        ratios = [a / b for a, b in zip(times, found[first], strict=True)]
        for what, values, unit in ((way, times, "ms a job"), (f"{way} / {first}", ratios, "x")):
            row = {"what": what, "median": statistics.median(values), "unit": unit}
            rows.append({**row, "min": min(values), "max": max(values)})
            print(
                f"{what:<42}{rows[-1]['median']:9.3f} {unit:<9}"
                f"({min(values):.3f} to {max(values):.3f})"
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
