"""The network in plain NumPy, the reference for tests of the compiled kernels.

Arrays have one row per sample; nothing is updated in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError, MisfitError
from sweep.training.network import initial

if TYPE_CHECKING:
    from sweep.training.data import Data

__all__ = ["NAMED_SCALARS", "RULES", "Network", "check_fit", "check_rule", "step"]

RULES = ("notebook", "gradient", "fixed_bias")
"""How biases move; see step."""

BLOCK = 10_000
"""Rows of a forward pass whose hidden outputs need not all be in memory."""

NAMED_SCALARS = 64
"""Networks up to this size have scalar weights by name, larger ones arrays (see named)."""

Array = npt.NDArray[np.float64]


def _sigmoid(z: Array) -> Array:
    # exp(-z) may overflow to infinity; 1 / inf = 0 is the correct result.
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-z))


def _softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "sigmoid": (_sigmoid, lambda a: a * (1.0 - a)),
    "tanh": (np.tanh, lambda a: 1.0 - a * a),
    "relu": (lambda z: np.maximum(z, 0.0), lambda a: (a > 0.0).astype(np.float64)),
    "identity": (lambda z: z, np.ones_like),
    # Softmax occurs only with cross-entropy, where dE/dz = a - t: its derivative cancels.
    "softmax": (_softmax, np.ones_like),
}
"""Functions from sums z to outputs a, and from a to da/dz, shape (samples, neurons)."""


@dataclass(frozen=True, eq=False)
class Network:
    """A fully connected network and its weights; all arrays are float64 and read-only.

    The loss is ``squared_error``, 1/2 sum (o - t)^2, or ``cross_entropy``, -sum t log(o), summed
    over outputs and averaged over samples.
    """

    layers: tuple[int, ...]  # neurons of each layer, inputs first
    activations: tuple[str, ...]  # one per weight layer
    bias: str  # "shared" by all neurons of a layer, or "per_neuron"
    loss: str
    weights: tuple[Array, ...]  # one per weight layer, shape (layers[i], layers[i + 1])
    biases: tuple[Array, ...]  # one per weight layer, shape (1,) if shared, else (layers[i + 1],)

    def __post_init__(self) -> None:
        for array in (*self.weights, *self.biases):
            array.setflags(write=False)

    @classmethod
    def build(
        cls,
        *,
        layers: Sequence[int],
        activation: str | Sequence[str] = "sigmoid",
        bias: str = "shared",
        loss: str = "squared_error",
        weights: Any = None,
        biases: Any = None,
        init: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> Network:
        """Build a network from values of the model `config.models.Network`.

        `activation` is one name for all weight layers, or a list with one per weight layer.
        `weights` and `biases` are initial values, or None to draw them with `seed` as `init`
        specifies; biases can be given together with `init`. Raises ConfigError if a weight or
        bias is no finite number, MisfitError if values do not fit together.
        """
        sizes = tuple(layers)
        names = initial.activation_names(activation, len(sizes) - 1)
        initial.check_softmax(names, loss)
        shared = bias == "shared"
        if weights is not None:
            matrices = initial.given_weights(weights, sizes)
            if biases is None:
                raise ConfigError("network has weights without biases: give one a weight layer.")
        elif init is not None:
            matrices, vectors = initial.drawn_weights(init, sizes, shared=shared, seed=seed)
        else:
            raise ConfigError("network has neither weights nor init: give one of them.")
        if biases is not None:
            vectors = initial.given_biases(biases, sizes, shared=shared)
        return cls(sizes, names, bias, loss, tuple(matrices), tuple(vectors))

    @property
    def size(self) -> int:
        """The number of scalars, weights and biases."""
        return sum(array.size for array in (*self.weights, *self.biases))

    @property
    def names(self) -> tuple[str, ...]:
        """The scalars' names in flat order: w1, w2, … row by row, then the biases."""
        weights = sum(matrix.size for matrix in self.weights)
        names = [f"w{at}" for at in range(1, weights + 1)]
        for layer, vector in enumerate(self.biases, start=1):
            if self.bias == "shared":
                names.append(f"b{layer}")
            else:
                names += [f"b{layer}_{j}" for j in range(1, len(vector) + 1)]
        return tuple(names)

    def flat(self) -> Array:
        """Return a copy of all scalars in the order of `names`, shape (size,)."""
        return np.concatenate([array.ravel() for array in (*self.weights, *self.biases)])

    def replace(self, flat: Array) -> Network:
        """Return the same network with other scalars, shape (size,), in the order of `names`."""
        arrays = (*self.weights, *self.biases)
        ends = np.cumsum([array.size for array in arrays])[:-1]
        parts = [
            part.reshape(array.shape).copy()
            for part, array in zip(np.split(flat, ends), arrays, strict=True)
        ]
        depth = len(self.weights)
        return replace(self, weights=tuple(parts[:depth]), biases=tuple(parts[depth:]))

    def named(self) -> dict[str, float | Array]:
        """Return the weights by name: scalars up to NAMED_SCALARS, else one array per layer."""
        if self.size <= NAMED_SCALARS:
            return dict(zip(self.names, self.flat().tolist(), strict=True))
        named: dict[str, float | Array] = {}
        for kind, arrays in (("weights", self.weights), ("biases", self.biases)):
            named |= {f"{kind}_{layer}": array for layer, array in enumerate(arrays, start=1)}
        return named

    def forward(self, inputs: Array) -> list[Array]:
        """Return the outputs of each weight layer, shape (samples, layers[i + 1]) each."""
        outputs = []
        a = inputs
        for matrix, vector, name in zip(self.weights, self.biases, self.activations, strict=True):
            a = ACTIVATIONS[name][0](a @ matrix + vector)
            outputs.append(a)
        return outputs

    def error(self, inputs: Array, targets: Array) -> float:
        """Return E, averaged over samples (see `loss`)."""
        if self.loss == "squared_error":
            off = self.forward(inputs)[-1] - targets
            return float(np.sum(0.5 * off * off) / len(inputs))
        hidden = [inputs, *self.forward(inputs)][-2]
        z = hidden @ self.weights[-1] + self.biases[-1]
        z = z - z.max(axis=1, keepdims=True)  # log(softmax(z)) without a logarithm of 0
        log_output = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return float(-np.sum(targets * log_output) / len(inputs))

    def classifies(self, targets: Array) -> bool:
        """Return whether targets are classes: shares of them, or 0 and 1 for one sigmoid."""
        binary = self.activations[-1] == "sigmoid" and targets.shape[1] == 1
        return self.loss == "cross_entropy" or (binary and bool(np.isin(targets, (0, 1)).all()))

    def accuracy(self, inputs: Array, targets: Array) -> float:
        """Return the share of samples whose largest output is that of the largest target.

        A single output is class 1 if it is at least 0.5, else class 0.
        """
        right = 0
        for first in range(0, len(inputs), BLOCK):
            rows = slice(first, first + BLOCK)
            chosen, wanted = (
                array >= 0.5 if array.shape[1] == 1 else array.argmax(axis=1)
                for array in (self.forward(inputs[rows])[-1], targets[rows])
            )
            right += int(np.count_nonzero(chosen == wanted))
        return right / len(inputs)

    def gradient(self, inputs: Array, targets: Array) -> Array:
        """Return dE/d(scalar) for every scalar in the order of `names`, shape (size,).

        Backpropagation (Rumelhart, Hinton and Williams 1986): with d = dE/dz of a layer,
        dE/dW = a^T d for the outputs a below, dE/db = sum d, and dE/da = d W^T.
        """
        outputs = [inputs, *self.forward(inputs)]
        above = (outputs[-1] - targets) / len(inputs)
        weights: list[Array] = []
        biases: list[Array] = []
        for layer in range(len(self.weights), 0, -1):
            d = above * ACTIVATIONS[self.activations[layer - 1]][1](outputs[layer])
            weights.insert(0, (outputs[layer - 1].T @ d).ravel())
            biases.insert(0, d.sum(keepdims=True)[0] if self.bias == "shared" else d.sum(axis=0))
            above = d @ self.weights[layer - 1].T
        return np.concatenate([*weights, *biases])


def step(network: Network, inputs: Array, targets: Array, lr: float, rule: str) -> Network:
    """Return the network after one update; all derivatives are computed before anything moves.

    Weights move by -lr times their derivative. Biases move likewise (rule ``gradient``), not at
    all (``fixed_bias``), or as in the notebook's code (``notebook``): b2 by -lr dE/db1, b1 never.
    """
    moves = network.gradient(inputs, targets)
    biases = sum(vector.size for vector in network.biases)
    if rule == "notebook":
        moves[-2:] = 0.0, moves[-2]
    elif rule == "fixed_bias":
        moves[-biases:] = 0.0
    return network.replace(network.flat() - lr * moves)


def check_rule(network: Network, rule: str) -> None:
    """Raise MisfitError if `rule` does not apply to `network`."""
    if rule == "notebook" and (len(network.weights) != 2 or network.bias != "shared"):
        raise MisfitError(
            "rule=notebook: it moves b2 by the derivative of b1, so it needs exactly two "
            f"weight layers with shared biases, not layers {list(network.layers)} with bias "
            f"{network.bias}; use rule=gradient."
        )


def check_fit(network: Network, data: Data) -> None:
    """Raise MisfitError if the samples' sizes, or their class shares for softmax, do not fit."""
    for what, array, size in (
        ("inputs", data.inputs, network.layers[0]),
        ("targets", data.targets, network.layers[-1]),
    ):
        if array.shape[1] != size:
            raise MisfitError(
                f"data.{what} has {array.shape[1]} columns, but network.layers is "
                f"{list(network.layers)}: {size} are needed; network.layers=[auto,"
                f"{','.join(map(str, network.layers[1:-1] + ('auto',)))}] "
                "network.init.scheme=xavier takes what the data has."
            )
    for what, targets in (("targets", data.targets), ("validation", data.validation_targets)):
        if targets is None or network.loss != "cross_entropy":
            continue
        right = (targets >= 0).all(axis=1) & (abs(targets.sum(axis=1) - 1.0) <= 1e-9)
        if not right.all():
            raise MisfitError(
                f"data.{what} has a row with the targets {targets[~right][0].tolist()}: "
                "cross_entropy needs shares of the classes that sum to 1."
            )
