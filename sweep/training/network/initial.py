"""Layers, activations and initial weights, given or drawn by a named scheme."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.checks import integer, known_keys, number, one_of, table, vector
from sweep.errors import ConfigError, MisfitError

Array = npt.NDArray[np.float64]

DRAW = "network.init.scheme=xavier to draw them in place of those given"
"""Advice in messages where given values do not fit the layers."""

SCHEMES: Mapping[str, Mapping[str, float]] = {
    "uniform": {"low": -0.5, "high": 0.5},
    "normal": {"mean": 0.0, "std": 0.1},
    "xavier": {},
    "glorot": {},
    "he": {},
}
"""The options of each scheme except ``bias``, with their defaults."""


def layer_sizes(layers: Any) -> tuple[int, ...]:
    """Return the sizes of at least two layers, inputs first."""
    if not isinstance(layers, Sequence) or isinstance(layers, str) or len(layers) < 2:
        raise ConfigError(
            f"network.layers is {layers!r}: it must be a list of at least two sizes, as [4, 3, 2]."
        )
    return tuple(integer(n, f"network.layers[{at}]", least=1) for at, n in enumerate(layers))


def activation_names(activation: Any, count: int, known: Collection[str]) -> tuple[str, ...]:
    """Return `count` names from one name for all, or from a list with one per weight layer."""
    names = [activation] * count if isinstance(activation, str) else activation
    if not isinstance(names, Sequence) or len(names) != count:
        raise ConfigError(
            f"network.activation is {activation!r}: it must be one name, or a list of {count}, "
            "one a weight layer."
        )
    return tuple(one_of(name, known, "network.activation") for name in names)


def check_softmax(names: Sequence[str], loss: str) -> None:
    """Raise MisfitError unless softmax is used only in the last layer, and with cross-entropy."""
    if "softmax" in names[:-1]:
        raise MisfitError(
            f"network.activation is {list(names)}: softmax can stand only in the last layer."
        )
    if (names[-1] == "softmax") != (loss == "cross_entropy"):
        raise MisfitError(
            f"network.loss is {loss!r} with the last activation {names[-1]!r}: softmax and "
            "cross_entropy go together or not at all."
        )


def given_weights(weights: Any, layers: Sequence[int]) -> list[Array]:
    """Return the given matrices, one per weight layer, one row per sending neuron."""
    shapes = list(zip(layers[:-1], layers[1:], strict=True))
    _check_count(weights, len(shapes), "network.weights", "one matrix a weight layer")
    matrices = []
    for at, (matrix, shape) in enumerate(zip(weights, shapes, strict=True)):
        array = table(matrix, f"network.weights[{at}]")
        if array.shape != shape:
            raise MisfitError(
                f"network.weights[{at}] has {array.shape[0]} rows of {array.shape[1]} numbers, "
                f"but layers {list(layers)} need {shape[0]} rows of {shape[1]}: write {DRAW}."
            )
        matrices.append(array)
    return matrices


def given_biases(biases: Any, layers: Sequence[int], *, shared: bool) -> list[Array]:
    """Return the given biases: one number per layer (shared), or one list per layer."""
    kind = "one number a weight layer" if shared else "one list a weight layer"
    _check_count(biases, len(layers) - 1, "network.biases", kind)
    vectors = []
    for at, (values, size) in enumerate(zip(biases, layers[1:], strict=True)):
        what = f"network.biases[{at}]"
        array = np.array([number(values, what)]) if shared else vector(values, what)
        if len(array) != (1 if shared else size):
            raise ConfigError(
                f"{what} has {len(array)} numbers, "
                f"but layers {list(layers)} need {size}: write {DRAW}."
            )
        vectors.append(array)
    return vectors


def drawn_weights(
    init: Any, layers: Sequence[int], *, shared: bool, seed: int
) -> tuple[list[Array], list[Array]]:
    """Draw weights layer by layer with `seed`; every bias is ``init.bias`` (default 0).

    Raises ConfigError if the scheme or an option is unknown, or a value is invalid.
    """
    if not isinstance(init, Mapping):
        raise ConfigError(f"network.init is {init!r}: it must be a mapping, as {{scheme: xavier}}.")
    if "scheme" not in init:
        raise ConfigError(f"network.init names no scheme: it must be one of {', '.join(SCHEMES)}.")
    scheme = one_of(init["scheme"], SCHEMES, "network.init.scheme")
    known_keys(init, ("scheme", "bias", *SCHEMES[scheme]), "network.init")
    options = {
        name: number(init.get(name, default), f"network.init.{name}")
        for name, default in {"bias": 0.0, **SCHEMES[scheme]}.items()
    }
    if scheme == "uniform" and not options["low"] < options["high"]:
        raise ConfigError(
            f"network.init.low is {options['low']!r}: it must lie below high, {options['high']!r}."
        )
    if scheme == "normal" and options["std"] <= 0:
        raise ConfigError(f"network.init.std is {options['std']!r}: it must be above 0.")
    rng = np.random.default_rng(seed)
    weights = [
        _draw(rng, shape, scheme, options) for shape in zip(layers[:-1], layers[1:], strict=True)
    ]
    return weights, [np.full(1 if shared else size, options["bias"]) for size in layers[1:]]


def _draw(
    rng: np.random.Generator, shape: tuple[int, int], scheme: str, options: Mapping[str, float]
) -> Array:
    if scheme == "uniform":
        return rng.uniform(options["low"], options["high"], shape)
    if scheme == "normal":
        return rng.normal(options["mean"], options["std"], shape)
    if scheme == "he":  # He et al. 2015, equation 10
        return rng.normal(0.0, float(np.sqrt(2.0 / shape[0])), shape)
    bound = float(np.sqrt(6.0 / sum(shape)))  # Glorot and Bengio 2010, equation 16
    return rng.uniform(-bound, bound, shape)


def _check_count(values: Any, count: int, what: str, kind: str) -> None:
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, (str, bytes)):
        raise ConfigError(f"{what} is {values!r}: it must be a list, {kind}.")
    if len(values) != count:
        raise ConfigError(f"{what} has {len(values)} entries: {count} are needed, {kind}.")
