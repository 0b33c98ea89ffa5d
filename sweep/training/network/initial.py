"""Layers, activations and initial weights, given or drawn by a named scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.checks import invalid_value, number, table, vector
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


def activation_names(activation: str | Sequence[str], count: int) -> tuple[str, ...]:
    """Return `count` names from one name for all, or from a list with one per weight layer."""
    names = [activation] * count if isinstance(activation, str) else activation
    if len(names) != count:
        advice = f"give one name, or a list of {count}, one a weight layer"
        raise MisfitError(invalid_value("network.activation", activation, advice))
    return tuple(names)


def check_softmax(names: Sequence[str], loss: str) -> None:
    """Raise MisfitError unless softmax is used only in the last layer, and with cross-entropy."""
    if "softmax" in names[:-1]:
        advice = "softmax can stand only in the last layer"
        raise MisfitError(invalid_value("network.activation", list(names), advice))
    if (names[-1] == "softmax") != (loss == "cross_entropy"):
        advice = f"the last activation is {names[-1]}; softmax and cross_entropy go together only"
        raise MisfitError(invalid_value("network.loss", loss, advice))


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
        if isinstance(values, (Sequence, np.ndarray)) == shared and not isinstance(values, str):
            raise MisfitError(invalid_value(what, values, f"give {kind}, or write {DRAW}"))
        array = np.array([number(values, what)]) if shared else vector(values, what)
        if len(array) != (1 if shared else size):
            raise MisfitError(
                f"{what} has {len(array)} numbers, "
                f"but layers {list(layers)} need {size}: write {DRAW}."
            )
        vectors.append(array)
    return vectors


def drawn_weights(
    init: Mapping[str, Any], layers: Sequence[int], *, shared: bool, seed: int
) -> tuple[list[Array], list[Array]]:
    """Draw weights layer by layer with `seed`; every bias is ``init.bias`` (default 0).

    Raises ConfigError if there is no scheme, or the scheme does not have an option of `init`.
    """
    scheme = init.get("scheme")
    if scheme is None:
        advice = f"choose one of {', '.join(SCHEMES)}"
        raise ConfigError(invalid_value("network.init.scheme", scheme, advice))
    options = {"bias": 0.0, **SCHEMES[scheme]}
    for name, value in init.items():
        key = f"network.init.{name}"
        if name not in ("scheme", *options):
            has = f"scheme={scheme} takes only {', '.join(options)}; leave it out by {key}=null"
            raise ConfigError(invalid_value(key, value, has))
    options |= {name: float(init[name]) for name in options if name in init}
    if scheme == "uniform" and not 0 < options["high"] - options["low"] < float("inf"):
        advice = f"it must be below network.init.high={options['high']}, by less than 1.8e308"
        raise ConfigError(invalid_value("network.init.low", options["low"], advice))
    rng = np.random.default_rng(seed)
    shapes = zip(layers[:-1], layers[1:], strict=True)
    try:
        weights = [_draw(rng, shape, scheme, options) for shape in shapes]
    except (MemoryError, OverflowError, ValueError) as error:
        advice = "its weights do not fit into memory; use smaller layers"
        raise ConfigError(invalid_value("network.layers", list(layers), advice)) from error
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
        raise ConfigError(invalid_value(what, values, f"give a list, {kind}"))
    if len(values) != count:
        raise MisfitError(f"{what} has {len(values)} entries: {count} are needed, {kind}.")
