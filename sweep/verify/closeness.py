"""When two numbers count as equal: to the bit, or on another kind of machine within a tolerance.

The tolerance is that of the numbers which must hold: errors by |sqrt(E) - sqrt(E')| <=
1e-9 sqrt(E') + 1e-13, weights within 1e-9 of their size. A step is read off the last bits of
an error, so on another machine it may be any step whose error is as near.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from sweep.training.history import RunResult

__all__ = ["Closeness", "Exact", "Near"]

RELATIVE = 1e-9
FLOOR = 1e-13

ERRORS = (
    "best_error",
    "best_validation_error",
    "error",
    "final_error",
    "final_validation_error",
    "initial_error",
    "validation_error",
)
"""The metrics that are errors; what a trainer of the user's own measures is none of them."""

Floats = npt.NDArray[np.float64]


class Closeness(ABC):
    """Decides whether a stored number and one that was trained again are the same."""

    @abstractmethod
    def metric(self, key: str, stored: float, trained: float) -> bool:
        """Tell whether two values of the metric `key` are the same."""

    @abstractmethod
    def errors(self, stored: Floats, trained: Floats) -> npt.NDArray[np.bool_]:
        """Tell for each pair of errors, shape (n,), whether they are the same."""

    @abstractmethod
    def weights(self, stored: Floats, trained: Floats) -> npt.NDArray[np.bool_]:
        """Tell for each pair of weights, of equal shape, whether they are the same."""

    @abstractmethod
    def threshold(self, k: int, stored: int | None, trained: int | None) -> bool:
        """Tell whether two first steps with an error <= 10^-k are the same."""

    @abstractmethod
    def step_may_differ(self, step: int, best_step: float | None) -> bool:
        """Tell whether `step` may be in one of two equal curves alone."""


class Exact(Closeness):
    """The same bits."""

    def metric(self, key: str, stored: float, trained: float) -> bool:
        """Tell whether two values are one (SQLite keeps no sign of a zero)."""
        return stored == trained

    def errors(self, stored: Floats, trained: Floats) -> npt.NDArray[np.bool_]:
        """Tell which pairs have the same bits."""
        return np.asarray(stored.view(np.int64) == trained.view(np.int64))

    def weights(self, stored: Floats, trained: Floats) -> npt.NDArray[np.bool_]:
        """Tell which pairs have the same bits."""
        return self.errors(stored, trained)

    def threshold(self, k: int, stored: int | None, trained: int | None) -> bool:
        """Tell whether the steps are one."""
        return stored == trained and type(stored) is type(trained)

    def step_may_differ(self, step: int, best_step: float | None) -> bool:
        """Tell that no step may."""
        return False


class Near(Closeness):
    """Within the tolerance.

    Parameters
    ----------
    result
        What was trained again: steps are judged by its curve.
    """

    def __init__(self, result: RunResult) -> None:
        self.result = result

    def metric(self, key: str, stored: float, trained: float) -> bool:
        """Tell whether two values are near; errors, steps and all others each in their way."""
        if key in ("error", "initial_error", "final_error", "best_error") or (
            key.endswith("validation_error")
        ):
            return self._near_error(stored, trained)
        if key == "final_error_log10":
            return self._near_error(_power(stored), _power(trained))
        if key == "best_step":
            return self._near_error(self._error_at(stored), self.result.best_error or 0.0)
        if key == "diverged_at":
            return abs(stored - trained) <= 1
        if key == "stalled_at":  # the step from which on not one bit changes: another machine's own
            return True
        return bool(self.weights(np.array([stored]), np.array([trained]))[0])

    def errors(self, stored: Floats, trained: Floats) -> npt.NDArray[np.bool_]:
        """Tell which pairs are near, by the distance of their roots."""
        ours, theirs = np.sqrt(np.abs(trained)), np.sqrt(np.abs(stored))
        signs = np.signbit(stored) == np.signbit(trained)
        near = np.abs(theirs - ours) <= RELATIVE * ours + FLOOR
        return np.asarray(near & (signs | (ours <= FLOOR)))

    def weights(self, stored: Floats, trained: Floats) -> npt.NDArray[np.bool_]:
        """Tell which pairs are near; NaN is near NaN and an infinity near itself."""
        with np.errstate(invalid="ignore"):
            near = np.abs(stored - trained) <= RELATIVE * np.abs(trained)
        near &= np.isfinite(trained)
        return np.asarray(near | (stored == trained) | (np.isnan(stored) & np.isnan(trained)))

    def threshold(self, k: int, stored: int | None, trained: int | None) -> bool:
        """Tell whether all errors between the two steps are near the level 10^-k."""
        if stored == trained:
            return True
        steps, errors = self.result.steps, self.result.errors
        ends = [step for step in (stored, trained) if step is not None]
        first, last = min(ends), max(ends) if len(ends) == 2 else int(steps[-1])
        between = errors[(steps >= first) & (steps <= last)]
        if not len(between):  # the curve is thinned here
            between = np.array([self._error_at(first)])
        level = np.full(len(between), float(f"1e-{k}"))
        return bool(self.errors(between, level).all())

    def step_may_differ(self, step: int, best_step: float | None) -> bool:
        """Tell whether it is the best step, which a thinned curve keeps beside its own."""
        return step in (best_step, self.result.best_step)

    def _near_error(self, stored: float, trained: float) -> bool:
        return bool(self.errors(np.array([stored]), np.array([trained]))[0])

    def _error_at(self, step: float) -> float:
        """Return the error at `step` or at the next kept step before it."""
        at = int(np.searchsorted(self.result.steps, step, side="right")) - 1
        return float(self.result.errors[max(at, 0)]) if step <= self.result.steps[-1] else math.inf


def _power(exponent: float) -> float:
    return 10.0**exponent if exponent < 309 else math.inf
