"""The built-in trainer: backpropagation on the full batch, in a compiled kernel.

The trainer always holds two states: the one of its step and the one an update further. A
kernel round takes the error of a state and then updates it, so each round's work is used
once, a stall is seen without training for it, and the cut between two slices changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sweep.checks import number
from sweep.errors import ConfigError
from sweep.network import Network, check_fit, check_rule

if TYPE_CHECKING:
    from sweep.data import Data

__all__ = ["ALGORITHM", "Backprop"]

ALGORITHM = "2"
"""Part of every signature; changes when any bit of a result may change."""

Array = npt.NDArray[np.float64]


class Backprop:
    """Train a network on its data from the first weights on, forward only.

    Parameters
    ----------
    network
        The network with its initial weights.
    data
        The samples; its `inputs` and `targets` are trained on, all at each iteration.
    lr
        Learning rate, > 0.
    rule
        How biases move: one of network.RULES.
    seed
        For shuffling; the full batch needs none.

    Raises
    ------
    ConfigError
        The rule has no meaning for the network, or the data does not fit it.

    Attributes
    ----------
    stalled_at
        The first step whose update changes no bit of any weight, once the trainer is there;
        every later step equals it.
    diverged_at
        The first step at which a weight, an output or the error is not finite, once passed;
        the weights stay as they are there.
    """

    thread_safe = True
    shareable = True

    def __init__(
        self, network: Network, data: Data, *, lr: float, rule: str, seed: int = 0
    ) -> None:
        from sweep.kernel.compiled import load_kernel  # late: it imports numba
        from sweep.kernel.source import KernelSpec

        if number(lr, "lr") <= 0:
            raise ConfigError(f"lr is {lr!r}: it must be above 0.")
        check_rule(network, rule)
        check_fit(network, data.inputs, data.targets)
        self._network = network
        self._inputs = np.ascontiguousarray(data.inputs, dtype=np.float64)
        self._targets = np.ascontiguousarray(data.targets, dtype=np.float64)
        samples = len(self._inputs)
        self._rates = np.array([float(lr) / samples])
        self._kernel = load_kernel(
            KernelSpec(
                layers=network.layers,
                activations=network.activations,
                shared=network.bias == "shared",
                loss=network.loss,
                rule=rule,
                single=samples == 1,
            )
        )
        self.stalled_at: int | None = None
        self.diverged_at: int | None = None
        self._step = 0
        self._state = network.flat()
        self._ahead = self._state.copy()
        self._error = float(self._train(self._ahead, 1)[0])
        if not np.isfinite(self._error):
            self.diverged_at = 0
        elif _same(self._state, self._ahead):
            self.stalled_at = 0

    def advance(self, iterations: int) -> Array:
        """Train on; return the errors after each update, shape (iterations,).

        From the first step on that is not finite the errors are NaN.
        """
        step = self._step
        self._step += iterations
        if self.diverged_at is not None:
            return np.full(iterations, np.nan)
        if self.stalled_at is not None or not iterations:
            return np.full(iterations, self._error)
        start = self._ahead.copy()
        errors = np.empty(iterations)
        self._train(self._ahead, iterations - 1, errors[:-1])
        self._state = self._ahead.copy()
        self._train(self._ahead, 1, errors[-1:])
        self._error = float(errors[-1])
        # Errors are never negative, so one maximum finds both NaN and infinity.
        if not (np.isfinite(errors.max()) and np.isfinite(self._state).all()):
            self._cut(start, step + 1, errors)
        elif _same(self._state, self._ahead):
            end = self._state
            at, _ = self._first(start, iterations - 1, lambda _, state: _same(state, end))
            self.stalled_at = step + 1 + at
        return errors

    def error(self) -> float:
        """Return the error now."""
        return self._error

    def weights(self) -> dict[str, float | Array]:
        """Return the weights now, as Network.named."""
        return self._network.replace(self._state).named()

    @property
    def flat(self) -> Array:
        """Return the weights now in the order of Network.names; they are not to be changed."""
        return self._state

    def _train(self, state: Array, rounds: int, errors: Array | None = None) -> Array:
        """Do `rounds` rounds on `state` in place; return the errors before each of them."""
        errors = np.empty(rounds) if errors is None else errors
        self._kernel(state, self._inputs, self._targets, self._rates, errors)
        return errors

    def _cut(self, start: Array, first: int, errors: Array) -> None:
        """Find where the slice from `start`, at step `first`, left the finite; cut it there."""
        bad = int(np.argmin(np.isfinite(errors))) if not np.isfinite(errors).all() else len(errors)

        def left(position: int, state: Array) -> bool:
            return position >= bad or not bool(np.isfinite(state).all())

        at, self._state = self._first(start, min(bad, len(errors) - 1), left)
        errors[at:] = np.nan
        self._error = float("nan")
        self.diverged_at = first + at

    def _first(
        self, start: Array, last: int, true: Callable[[int, Array], bool]
    ) -> tuple[int, Array]:
        """Return the first position in 0 … `last` with ``true(position, state)``, and its state.

        Once true it stays so, and it is so at `last`. Bisects, training from `start` again:
        the work of one slice.
        """
        if true(0, start):
            return 0, start
        low, high = 0, last
        while high - low > 1:
            middle = (low + high) // 2
            state = start.copy()
            self._train(state, middle - low)
            if true(middle, state):
                high = middle
            else:
                low, start = middle, state
        self._train(start, 1)
        return high, start


def _same(one: Array, other: Array) -> bool:
    """Tell whether two states are equal to the bit (0.0 is not -0.0)."""
    return bool(np.array_equal(one.view(np.int64), other.view(np.int64)))
