"""The built-in trainer: backpropagation on the full batch, in a compiled kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.training.abreast import Abreast
from sweep.training.network import Network

if TYPE_CHECKING:
    from sweep.training.data import Data

__all__ = ["ALGORITHM", "Backprop"]

ALGORITHM = "2"
"""Part of every signature; changes when any bit of a result may change."""

Array = npt.NDArray[np.float64]


class Backprop:
    """Train a network on its data from the first weights on, forward only.

    One trajectory of Abreast, alone.

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
    """

    thread_safe = True
    shareable = True

    def __init__(
        self, network: Network, data: Data, *, lr: float, rule: str, seed: int = 0
    ) -> None:
        self._all = Abreast([network], data, lrs=[lr], rule=rule)
        self._lane = self._all.items[0]

    def advance(self, iterations: int) -> Array:
        """Train on; return the errors after each update, shape (iterations,).

        From the first step on that is not finite the errors are NaN.
        """
        errors: Array = self._all.advance(iterations)[0]
        return errors

    def error(self) -> float:
        """Return the error now."""
        return self._lane.error()

    def weights(self) -> dict[str, float | Array]:
        """Return the weights now, as Network.named."""
        return self._lane.weights()

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on from here; not once it diverged."""
        return self._lane.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in a fresh trainer."""
        self._lane.restore(state)
        self._all.resume()

    @property
    def flat(self) -> Array:
        """Return the weights now in the order of Network.names; they are not to be changed."""
        return self._lane.flat

    @property
    def stalled_at(self) -> int | None:
        """The first step whose update changes no bit of any weight, once the trainer is there.

        Every later step equals it.
        """
        return self._lane.stalled_at

    @property
    def diverged_at(self) -> int | None:
        """The first step at which a weight, an output or the error is not finite, once passed.

        The weights stay as they are there.
        """
        return self._lane.diverged_at
