"""Trainers for the executors: they leave files behind, meet, hang, crash and start processes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

PATIENCE = 60.0


class Falling:
    """An error of lr / (1 + step), and the process and the build that gave it as metrics."""

    thread_safe = True
    built = 0

    def __init__(self, lr: float, folder: str = "") -> None:
        type(self).built += 1
        self.lr, self.folder, self.step = lr, Path(folder), 0

    def advance(self, iterations: int) -> Any:
        steps = self.step + np.arange(1.0, iterations + 1)
        self.step += iterations
        return self.lr / (1.0 + steps)

    def error(self) -> float:
        return self.lr / (1.0 + self.step)

    def weights(self) -> dict[str, float]:
        return {"w1": self.lr * self.step}

    def metrics(self) -> dict[str, float]:
        return {"pid": os.getpid(), "built": type(self).built}


class Slow(Falling):
    """Sleeps a hundredth of a second an iteration, so that a run has many slices."""

    def advance(self, iterations: int) -> Any:
        time.sleep(0.01 * iterations)
        return super().advance(iterations)


class Resumable(Slow):
    """Goes on from its state; notes in a file at which step each object began."""

    def state(self) -> dict[str, Any]:
        return {"step": self.step}

    def restore(self, state: Any) -> None:
        self.step = int(state["step"])
        (self.folder / f"{self.lr} from {self.step}").touch()


class Dying:
    """Mixed in: kills its worker at step 60, `lr` times if that is above 1, else always."""

    def advance(self, iterations: int) -> Any:
        if self.step < 60 <= self.step + iterations:  # type: ignore[attr-defined]
            deaths = len(list(self.folder.glob(f"{self.lr} died *")))  # type: ignore[attr-defined]
            if self.lr < 1 or deaths < self.lr:  # type: ignore[attr-defined]
                (self.folder / f"{self.lr} died {deaths}").touch()  # type: ignore[attr-defined]
                os.kill(os.getpid(), signal.SIGKILL)
        return super().advance(iterations)  # type: ignore[misc]


class DyingResumable(Dying, Resumable):
    """Its state brings it over the deaths."""


class DyingSlow(Dying, Slow):
    """Begins anew after each death."""


class Leaving(Falling):
    """Ends its worker process with an exit code."""

    def advance(self, iterations: int) -> Any:
        os._exit(7)


class Alone(Falling):
    """Kills its worker once, and then tells how many others trained beside it."""

    def advance(self, iterations: int) -> Any:
        mine = self.folder / f"{os.getpid()} {self.lr}.running"
        mine.touch()
        died = len(list(self.folder.glob("died *")))
        if self.lr > 1 and died < 2:
            (self.folder / f"died {died}").touch()
            mine.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        self.beside = len(list(self.folder.glob("*.running"))) - 1
        mine.unlink()
        return super().advance(iterations)

    def metrics(self) -> dict[str, float]:
        return {"beside": self.beside}


class Meeting(Falling):
    """Trains once three of its kind run at the same time."""

    def advance(self, iterations: int) -> Any:
        (self.folder / f"here {self.lr}").touch()
        wait_for_files(self.folder, "here *", 3)
        return super().advance(iterations)


class Family(Falling):
    """Starts a process, writes its own number and that, and never ends its first call."""

    def advance(self, iterations: int) -> Any:
        null = subprocess.DEVNULL  # a child of a thread outlives the command: no pipe is to wait
        words = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = subprocess.Popen(words, stdout=null, stderr=null)
        part = self.folder / f"{self.lr}.part"
        part.write_text(f"{os.getpid()} {child.pid}")
        part.rename(self.folder / f"{self.lr}.pids")
        time.sleep(600)


class Busy(Falling):
    """Writes its process's number, and never ends its first call."""

    def advance(self, iterations: int) -> Any:
        part = self.folder / f"{self.lr}.part"
        part.write_text(str(os.getpid()))
        part.rename(self.folder / f"{self.lr}.pids")
        time.sleep(600)


class Product(Falling):
    """Multiplies large matrices: sums whose order the number of BLAS threads would change."""

    def advance(self, iterations: int) -> Any:
        random = np.random.default_rng(7)
        values = random.standard_normal((257, 300))
        for shape in ((300, 700), (700, 900), (900, 50)):
            values = np.tanh(values @ random.standard_normal(shape))
        self.digest = int(hashlib.sha256(values.tobytes()).hexdigest()[:12], 16)
        return super().advance(iterations)

    def metrics(self) -> dict[str, float]:
        pools = threadpoolctl.threadpool_info()
        threads = {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}
        return {"digest": self.digest, "most_threads": max(threads)}


class Interrupting(Falling):
    """Sends Ctrl-C to itself; tells whether it leads a process group."""

    thread_safe = False

    def advance(self, iterations: int) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return super().advance(iterations)

    def metrics(self) -> dict[str, float]:
        return {"leads": os.getpgid(0) == os.getpid()}


class Exiting(Falling):
    """Raises what ends programs."""

    def advance(self, iterations: int) -> Any:
        raise SystemExit(3)


class Failing(Falling):
    """Raises."""

    def advance(self, iterations: int) -> Any:
        raise ValueError("lr is odd\nand this is the second line")


def wait_for_files(folder: Path, pattern: str, count: int) -> None:
    """Wait until so many files are there."""
    until = time.monotonic() + PATIENCE
    while len(list(folder.glob(pattern))) < count:
        if time.monotonic() > until:
            raise RuntimeError(f"{folder} never had {count} of {pattern}")
        time.sleep(0.01)


def until_closed(lr: float, folder: str) -> Iterator[float]:
    """Yield without end, and leave a file when the generator is closed."""
    try:
        while True:
            time.sleep(0.01)
            yield lr
    finally:
        Path(folder, f"{lr} closed").touch()
