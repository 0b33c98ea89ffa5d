"""Trainers of the tests: plain arithmetic that lasts, hangs, fails or leaves the finite numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class Falling:
    """An error of lr / (1 + step): the base of the others, and good for nothing else."""

    thread_safe = True

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.step = 0

    def advance(self, iterations: int) -> npt.NDArray[np.float64]:
        steps = self.step + np.arange(1.0, iterations + 1)
        self.step += iterations
        return self.lr / (1.0 + steps)

    def error(self) -> float:
        return self.lr / (1.0 + self.step)

    def weights(self) -> dict[str, float]:
        return {"w1": self.lr * self.step}


class Lasting(Falling):
    """Takes `seconds` for each iteration, asleep."""

    def __init__(self, lr: float, seconds: float = 0.01) -> None:
        super().__init__(lr)
        self.seconds = seconds

    def advance(self, iterations: int) -> npt.NDArray[np.float64]:
        time.sleep(self.seconds * iterations)
        return super().advance(iterations)


class Held(Lasting):
    """Lasts, and waits for a file before its first step once lr is above 1."""

    def __init__(self, lr: float, until: str) -> None:
        super().__init__(lr, seconds=0.05)
        self.until = Path(until)

    def advance(self, iterations: int) -> npt.NDArray[np.float64]:
        while self.lr > 1 and not self.until.exists():
            time.sleep(0.05)
        return super().advance(iterations)


class Hanging(Falling):
    """Returns from its first steps and then never within a test, once lr is above 1."""

    def advance(self, iterations: int) -> npt.NDArray[np.float64]:
        if self.lr > 1 and self.step:
            time.sleep(3600)
        return super().advance(iterations)


class Failing(Falling):
    """Raises in its third iteration when lr is above 1."""

    def advance(self, iterations: int) -> npt.NDArray[np.float64]:
        if self.lr > 1 and self.step + iterations >= 3:
            raise ArithmeticError(f"lr {self.lr} is <too> much\nand this is the second line")
        return super().advance(iterations)


class Bursting(Falling):
    """Gives `value` (inf, -inf, nan, or a huge finite number) as the error of step `at`."""

    def __init__(self, lr: float, value: Any = "inf", at: int = 5) -> None:
        super().__init__(lr)
        self.value = float(value)
        self.at = at

    def advance(self, iterations: int) -> npt.NDArray[np.float64]:
        first = self.step + 1
        errors = super().advance(iterations)
        if first <= self.at < first + iterations:
            errors[self.at - first] = self.value
        return errors
