"""How fast training itself is: beside C at -O3, and beside a loop in Python and NumPy.

    python -m benchmarks.kernel [alone] [python] [rates] [compile] [--rounds 5] [--json F]

alone     nanoseconds an iteration of one run, its curve kept, over those of the loop in C;
python    the notebook's way, a NumPy call for each number, over one run of ours;
rates     64 learning rates through the engine, on all cores and on one, over C that trains
          them one after the other on one core;
compile   seconds until a kernel is there: those of a small network, which are never cached, and
          the one of a large network, the first time and from numba's cache.

Peers take turns in one process, so that whatever else the machine does falls on all; each
figure is the median of the rounds, with the smallest and the largest behind it. What one
thread does is measured by the time that it had a processor, all else by the clock. The loop
in C is notebook_loop.c; where no compiler is, what needs it is left out with a word.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sweep.config.run import run_spec
from sweep.config.spec import RunSpec
from sweep.engine.batches import batches
from sweep.engine.driver import Driver
from sweep.engine.executors import create
from sweep.engine.plan import Cell, Plan
from sweep.training.advance import Training
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.history import History, RunResult
from sweep.training.network import Network
from sweep.training.surroundings import Failure

ROOT = Path(__file__).resolve().parents[1]
CHOICES = {"network": "notebook", "data": "notebook", "trainer": "backprop"}
SLICE = 2**20
"""Iterations of one call into C, so that it needs no more memory than we do."""


def configuration(lr: float, iters: int) -> RunSpec:
    """Return a run of the notebook's network."""
    plain = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())
    groups = {
        group: yaml.safe_load((ROOT / "conf" / group / f"{option}.yaml").read_text())
        for group, option in {**CHOICES, "tracking": "local"}.items()
    }
    del plain["defaults"], plain["hydra"]
    return run_spec({**plain, **groups, "lr": lr, "iters": iters}, CHOICES, ROOT)


def notebook() -> tuple[Network, Data]:
    """Return the notebook's network and sample."""
    spec = configuration(0.1, 1)
    return spec.network, spec.data()


def train(network: Network, data: Data, lr: float, iterations: int) -> RunResult:
    """Train one run, its curve kept."""
    batch = Backprop([network], data, lrs=[lr], rule="notebook")
    (result,) = History([iterations]).add(Training(batch, [[iterations]]).advance().parts[0])
    return result


class Loop:
    """The loop in C.

    Raises
    ------
    FileNotFoundError
        There is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is None:
            raise FileNotFoundError("no C compiler (cc, gcc or clang) is here")
        library = folder / "notebook_loop.so"
        source = Path(__file__).with_name("notebook_loop.c")
        flags = ["-O3", "-shared", "-fPIC", "-o", str(library)]
        subprocess.run([compiler, *flags, str(source), "-lm"], check=True)
        self._train = ctypes.CDLL(str(library)).train
        self._errors = np.empty(SLICE)

    def seconds(
        self, lr: float, iterations: int, now: Callable[[], float] = time.thread_time
    ) -> float:
        """Train; return how long it took by the clock `now`."""
        network, data = notebook()
        weights = network.flat()
        arrays = (weights, data.inputs[0].copy(), data.targets[0].copy())
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        errors = self._errors.ctypes.data_as(ctypes.c_void_p)
        rate = ctypes.c_double(lr)
        started = now()
        for first in range(0, iterations, SLICE):
            count = ctypes.c_long(min(SLICE, iterations - first))
            self._train(*pointers, rate, count, errors)
        took = now() - started
        check(weights, lr, iterations)
        return took


def check(weights: np.ndarray, lr: float, iterations: int) -> None:
    """Raise unless these are the weights that ours come to: else the peer does other work."""
    if iterations > 10_000:
        return
    network, data = notebook()
    result = train(network, data, lr, iterations)
    ours = np.array(list(result.final_weights.values()))
    np.testing.assert_allclose(weights, ours, rtol=1e-9)


def by_hand() -> dict[str, Any]:
    """Return the notebook's program: a function `train(iterations, alpha)` on global numbers.

    Each number has a name, each derivative a statement, each sigmoid and square a call into
    NumPy, and the forward pass and the error are functions. It is written out here from the
    pattern that its statements follow.
    """
    network, data = notebook()
    names = [f"w{at}" for at in range(1, 19)] + ["b1", "b2"]
    space: dict[str, Any] = dict(zip(names, map(float, network.flat()), strict=True))
    space |= {f"x{at + 1}": value for at, value in enumerate(data.inputs[0].tolist())}
    space |= {f"t{at + 1}": value for at, value in enumerate(data.targets[0].tolist())}
    space["np"] = np
    hidden = [[f"w{3 * x + h + 1} * x{x + 1}" for x in range(4)] for h in range(3)]
    output = [[f"w{13 + 2 * h + o} * h{h + 1}" for h in range(3)] for o in range(2)]
    delta = [f"(o{o} - t{o}) * o{o} * (1 - o{o})" for o in (1, 2)]
    slopes = {f"w{13 + 2 * h + o}": f"{delta[o]} * h{h + 1}" for h in range(3) for o in range(2)}
    slopes["b2"] = " + ".join(delta)
    for h in range(3):
        slopes[f"h{h + 1}"] = " + ".join(f"{delta[o]} * w{13 + 2 * h + o}" for o in range(2))
    within = [f"dh{h} * h{h} * (1 - h{h})" for h in (1, 2, 3)]
    slopes |= {f"w{3 * x + h + 1}": f"{within[h]} * x{x + 1}" for x in range(4) for h in range(3)}
    slopes["b1"] = " + ".join(within)
    # The notebook's rule: b2 takes the derivative of b1, and b1 stays.
    moved = {**{name: name for name in names if name[0] == "w"}, "b2": "b1"}
    lines = [
        "def sigmoid(z):",
        "    return np.divide(1, 1 + np.exp(-z))",
        "def error(outputs, targets):",
        "    first, second = (np.square(outputs[at] - targets[at]) for at in (0, 1))",
        "    return 0.5 * (first + second)",
        "def forward(x1, x2, x3, x4):",
        *(f"    h{h + 1} = sigmoid({' + '.join([*hidden[h], 'b1'])})" for h in range(3)),
        *(f"    o{o + 1} = sigmoid({' + '.join([*output[o], 'b2'])})" for o in range(2)),
        "    return h1, h2, h3, o1, o2",
        "def train(iterations, alpha):",
        f"    global {', '.join(names)}",
        "    for _ in range(iterations):",
        "        h1, h2, h3, o1, o2 = forward(x1, x2, x3, x4)",
        "        e = error([o1, o2], [t1, t2])",
        *(f"        d{name} = {slope}" for name, slope in slopes.items()),
        *(f"        {name} = {name} - alpha * d{of}" for name, of in moved.items()),
    ]
    exec("\n".join(lines), space)
    return space


def seconds_in_python(lr: float, iterations: int) -> float:
    """Train in the notebook's way, number by number; return how long it took."""
    space = by_hand()
    started = time.thread_time()
    space["train"](iterations, lr)
    took = time.thread_time() - started
    names = [f"w{at}" for at in range(1, 19)] + ["b1", "b2"]
    check(np.array([space[name] for name in names]), lr, iterations)
    return took


def seconds_of_ours(lr: float, iterations: int) -> float:
    """Train one run, its curve kept; return how long it took."""
    network, data = notebook()
    started = time.thread_time()
    result = train(network, data, lr, iterations)
    took = time.thread_time() - started
    assert result.outcome == "completed" and result.stalled_at is None
    return took


def seconds_of_engine(rates: Sequence[float], iterations: int, workers: int) -> float:
    """Train many rates through the engine's batches; return how long it took."""
    specs = [configuration(lr, iterations) for lr in rates]
    cells = tuple(Cell(at, (), {"lr": spec.lr}, spec) for at, spec in enumerate(specs))
    trajectories = Plan(cells, (), len(cells), "", ROOT).trajectories()
    now = time.process_time if workers == 1 else time.perf_counter
    started = now()
    with create("threads", workers) as executor:
        for ended in Driver(batches(trajectories, workers), executor).outcomes():
            if ended is not None and isinstance(ended[1], Failure):
                raise RuntimeError(ended[1].sentence)
    return now() - started


LOAD = """
import sys, time
import numpy as np
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.network import Network
hidden, count = map(int, sys.argv[1:])
net = Network.build(layers=[4, hidden, 2], init={"scheme": "he"})
data = Data(np.ones((1, 4)), np.ones((1, 2)))
started = time.process_time()
Backprop([net] * count, data, lrs=[0.1] * count, rule="notebook")
print(time.process_time() - started)
"""


class Bench:
    """Measures and collects rows for the table."""

    def __init__(self, folder: Path, rounds: int, iterations: int) -> None:
        self.folder = folder
        self.rounds = rounds
        self.iterations = iterations
        self.rows: list[dict[str, Any]] = []
        self.loop: Loop | None = None
        try:
            self.loop = Loop(folder)
        except FileNotFoundError as error:
            print(f"Without C: {error}.")
        seconds_of_ours(0.01, 10_000)

    def add(self, what: str, values: Sequence[float], unit: str) -> None:
        """Add a row: median, smallest and largest of the rounds."""
        row = {"what": what, "median": statistics.median(values), "unit": unit}
        self.rows.append({**row, "min": min(values), "max": max(values), "rounds": len(values)})
        print(
            f"{what:<52}{row['median']:10.3f} {unit:<6} ({min(values):.3f} to {max(values):.3f})",
            flush=True,
        )

    def alone(self) -> None:
        """Compare one run with C, by the iteration."""
        n, lr = self.iterations, 1e-6  # far from a stall: every iteration is trained
        if self.loop is not None:
            self.loop.seconds(0.05, 10_000)  # checks that it does the same
        ours, theirs = [], []
        for _ in range(self.rounds):
            ours.append(1e9 * seconds_of_ours(lr, n) / n)
            if self.loop is not None:
                theirs.append(1e9 * self.loop.seconds(lr, n) / n)
        self.add(f"one run of {n:.0e} iterations", ours, "ns")
        if theirs:
            self.add("the loop in C", theirs, "ns")
            self.add("one run / C", [a / b for a, b in zip(ours, theirs, strict=True)], "x")

    def python(self) -> None:
        """Compare one run with a loop in Python and NumPy."""
        n, ours, theirs = 10_000, [], []
        for _ in range(self.rounds):
            ours.append(1e9 * seconds_of_ours(1e-6, 1000 * n) / n / 1000)
            theirs.append(1e9 * seconds_in_python(0.05, n) / n)
        self.add("the loop in Python and NumPy", theirs, "ns")
        self.add("Python / one run", [b / a for a, b in zip(ours, theirs, strict=True)], "x")

    def rates(self) -> None:
        """Compare many learning rates with C, one after the other."""
        n, rates = 2_000_000, [1e-6 * (1 + at) for at in range(64)]
        cores = os.cpu_count() or 1
        seconds_of_engine(rates, 200_000, 1)  # compiled
        for workers, now in {1: time.process_time, cores: time.perf_counter}.items():
            ours, theirs = [], []
            for _ in range(self.rounds):
                ours.append(seconds_of_engine(rates, n, workers))
                if self.loop is not None:
                    theirs.append(sum(self.loop.seconds(lr, n, now) for lr in rates))
            self.add(f"64 rates x {n:.0e}, workers: {workers}", ours, "s")
            if theirs:
                self.add("the same one after the other in C", theirs, "s")
                ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
                self.add(f"64 rates / C, workers: {workers}", ratios, "x")

    def compile(self) -> None:
        """Measure how long the kernels take to be there, their libraries loaded with them."""
        kernels = {"for one run": (3, 1), "side by side": (3, 8), "of a large network": (40, 1)}
        for what, (hidden, count) in kernels.items():
            times: dict[str, list[float]] = {"the first time": [], "again": []}
            for at in range(self.rounds):
                cache = {"NUMBA_CACHE_DIR": str(self.folder / f"{hidden}-{count}-{at}")}
                env = {**os.environ, "PYTHONPATH": str(ROOT), **cache}
                for seconds in times.values():
                    command = [sys.executable, "-c", LOAD, str(hidden), str(count)]
                    done = subprocess.run(
                        command, env=env, check=True, capture_output=True, text=True
                    )
                    seconds.append(float(done.stdout))
            for when, seconds in times.items():
                self.add(f"kernel {what}, {when}", seconds, "s")


PARTS: dict[str, Callable[[Bench], None]] = {
    "alone": Bench.alone,
    "python": Bench.python,
    "rates": Bench.rates,
    "compile": Bench.compile,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts that are asked for and print the table."""
    parser = argparse.ArgumentParser(description="How fast training itself is.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=float, default=2e7, help="of one run")
    parser.add_argument("--json", type=Path, help="write the table to this file as well")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.rounds, int(options.iterations))
        for part in options.parts or PARTS:
            PARTS[part](bench)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
