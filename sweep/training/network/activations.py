"""Activations, each with its derivative side by side, in plain NumPy.

A derivative is written by the activation's own output `a`, as backpropagation has it at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.checks import one_of
from sweep.errors import ConfigError, MisfitError

__all__ = ["ACTIVATIONS", "Activation", "activation_names", "check_softmax"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    """One activation.

    Attributes
    ----------
    output
        From the weighted sums z to the outputs a, shape (samples, neurons) both.
    slope
        From the outputs a to da/dz, same shape.
    """

    output: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def _sigmoid(z: Array) -> Array:
    # exp(-z) may become infinite, and 1 / inf is the right 0: no branch is needed.
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-z))


def _softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


ACTIVATIONS = {
    "sigmoid": Activation(_sigmoid, lambda a: a * (1.0 - a)),
    "tanh": Activation(np.tanh, lambda a: 1.0 - a * a),
    "relu": Activation(lambda z: np.maximum(z, 0.0), lambda a: (a > 0.0).astype(np.float64)),
    "identity": Activation(lambda z: z, np.ones_like),
    # Softmax stands only before cross-entropy, where dE/dz = a - t: its slope cancels.
    "softmax": Activation(_softmax, np.ones_like),
}
"""Every activation by its name."""


def activation_names(activation: Any, count: int) -> tuple[str, ...]:
    """Return `count` names from one name for all, or from a list, one a weight layer."""
    names = [activation] * count if isinstance(activation, str) else activation
    if not isinstance(names, Sequence) or len(names) != count:
        raise ConfigError(
            f"network.activation is {activation!r}: it must be one name, or a list of {count}, "
            "one a weight layer."
        )
    return tuple(one_of(name, ACTIVATIONS, "network.activation") for name in names)


def check_softmax(names: Sequence[str], loss: str) -> None:
    """Raise ConfigError unless softmax and cross-entropy stand together, in the last layer."""
    if "softmax" in names[:-1]:
        raise MisfitError(
            f"network.activation is {list(names)}: softmax can stand only in the last layer."
        )
    if (names[-1] == "softmax") != (loss == "cross_entropy"):
        raise MisfitError(
            f"network.loss is {loss!r} with the last activation {names[-1]!r}: softmax and "
            "cross_entropy go together or not at all."
        )
