"""Generate the kernel of one small network: unrolled, with all scalars in registers.

The latency of the chain of dependent operations bounds the speed of a small network. So sums are
balanced trees, the learning rate is multiplied outside the chain, and the sigmoids of a layer are
one vector, as separate ones exceed the processor's reorder window. The order of operations
determines bits: a change needs a new ``ALGORITHM`` in backprop.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.training.kernels.code import DOUBLE, INTEGER, Code, Value, Variable
from sweep.training.kernels.exponential import exp, greater, sigmoid
from sweep.training.kernels.spec import Kernel, KernelSpec, Samples

GROUP = 4
"""Neurons of a single trajectory whose sigmoids are computed in one vector."""

ARGUMENTS = {
    "state": "floats",
    "rates": "floats",
    "inputs": "floats",
    "targets": "floats",
    "samples": "int",
    "rows": "ints",
    "bounds": "ints",
    "validation_inputs": "floats",
    "validation_targets": "floats",
    "validation_samples": "int",
    "steps": "int",
    "errors": "floats",
    "validation_errors": "floats",
    "stride": "int",
}

Values = npt.NDArray[np.object_]
"""An array of `Value`, with elementwise operators."""

Layers = list[tuple[Values, Values]]
"""The matrix and the biases of each layer."""


def generated_kernel(
    spec: KernelSpec, width: int, training: Samples, validation: Samples | None
) -> Kernel:
    """Return the kernel of `width` trajectories of a small network."""
    function = _compiled(spec, width)
    samples = (*(array.ctypes.data for array in training), len(training[0]))
    held_out: tuple[int, ...] = (0, 0, 0)
    if validation:
        held_out = (*(array.ctypes.data for array in validation), len(validation[0]))

    def kernel(*arrays: Any) -> None:
        *inputs, errors, validation_errors = arrays
        assert all(array.flags.c_contiguous for array in (*inputs, *errors, *validation_errors))
        pointers = [array.ctypes.data for array in arrays]
        steps, stride = errors.shape[1], errors.strides[0] // errors.itemsize
        function(*pointers[:2], *samples, *pointers[2:4], *held_out, steps, *pointers[4:], stride)

    kernel.samples = training, validation  # type: ignore[attr-defined]  # keeps them allocated
    return kernel


@functools.cache
def _compiled(spec: KernelSpec, width: int) -> Callable[..., None]:
    """Compile the function of ARGUMENTS (see Kernel); `stride` separates rows of `errors`."""
    code = Code(width, ARGUMENTS)
    state = [Variable(code, code.load("state", INTEGER(at))) for at in range(spec.size)]
    rate = code.load("rates", INTEGER(0))
    samples, held_out = code.arguments["samples"], code.arguments["validation_samples"]
    stride = code.arguments["stride"]
    only = _sample(code, spec, "", INTEGER(0)) if spec.single else None
    with code.loop(INTEGER(0), code.arguments["steps"]) as step:
        layers = _layers(spec, [scalar.get() for scalar in state])
        if spec.validated:
            error = _mean_error(code, spec, layers, "validation_", held_out)
            code.scatter("validation_errors", step, stride, error)
        if only:
            outputs, error = _forward(spec, layers, *only)
            for scalar, (a, d) in zip(state, _slopes(spec, layers, outputs, only[1]), strict=True):
                if d:
                    scalar.set(scalar.get() - (rate * a if a else rate) * d)
        else:
            error = _update(code, spec, state, layers, step, rate)
        if spec.batched:
            error = _mean_error(code, spec, layers, "", samples)
        code.scatter("errors", step, stride, error)
    for at, scalar in enumerate(state):
        code.store("state", INTEGER(at), scalar.get())
    return code.compile()


def _update(
    code: Code, spec: KernelSpec, state: list[Variable], layers: Layers, step: Any, rate: Value
) -> Value:
    """Generate an update by several samples; return their mean error before it."""
    begin, end = INTEGER(0), code.arguments["samples"]
    if spec.batched:
        begin = code.element("bounds", step)
        end = code.element("bounds", code.builder.add(step, INTEGER(1)))
    total = Variable(code, code.constant(0.0))
    sums = [Variable(code, code.constant(0.0)) for _ in state]
    with code.loop(begin, end) as at:
        row = code.element("rows", at) if spec.batched else at
        inputs, targets = _sample(code, spec, "", row)
        outputs, error = _forward(spec, layers, inputs, targets)
        total.set(total.get() + error)
        moving = []
        for at, (a, d) in enumerate(_slopes(spec, layers, outputs, targets)):
            if d:
                sums[at].set(sums[at].get() + (a * d if a else d))
                moving.append(at)
    count = code.as_float(code.builder.sub(end, begin))
    for at in moving:
        state[at].set(state[at].get() - rate / count * sums[at].get())
    return total.get() / count


def _mean_error(code: Code, spec: KernelSpec, layers: Layers, which: str, count: Any) -> Value:
    """Generate the mean error of the training samples, or of the ``validation_`` ones."""
    total = Variable(code, code.constant(0.0))
    with code.loop(INTEGER(0), count) as row:
        _, error = _forward(spec, layers, *_sample(code, spec, which, row))
        total.set(total.get() + error)
    return total.get() / code.as_float(count)


def _sample(code: Code, spec: KernelSpec, which: str, row: Any) -> tuple[Values, Values]:
    def numbers(array: str, count: int) -> Values:
        first = code.builder.mul(row, INTEGER(count))
        pointers = [code.builder.add(first, INTEGER(at)) for at in range(count)]
        values = [code.spread(code.element(which + array, pointer)) for pointer in pointers]
        return np.array(values, dtype=object)

    return numbers("inputs", spec.layers[0]), numbers("targets", spec.layers[-1])


def _layers(spec: KernelSpec, flat: list[Value]) -> Layers:
    """Return scalars in the order of Network.names by layer; shared biases once per neuron."""
    left = iter(flat)
    sizes = list(zip(spec.layers[:-1], spec.layers[1:], strict=True))
    weights = [np.array([[next(left) for _ in range(to)] for _ in range(n)]) for n, to in sizes]
    biases = [
        np.array([next(left)] * to if spec.shared else [next(left) for _ in range(to)])
        for _, to in sizes
    ]
    return list(zip(weights, biases, strict=True))


def _forward(
    spec: KernelSpec, layers: Layers, inputs: Values, targets: Values
) -> tuple[list[Values], Value]:
    """Return the outputs of each layer, inputs first, and the error of one sample."""
    outputs = [inputs]
    for (weights, biases), activation in zip(layers, spec.activations, strict=True):
        sums = _tree([*(outputs[-1][:, np.newaxis] * weights), biases])
        if activation == "softmax":
            shares, error = _softmax(sums, targets)
            return [*outputs, shares], error
        outputs.append(_activated(activation, sums))
    off = outputs[-1] - targets
    return outputs, _tree(0.5 * off * off)


def _activated(activation: str, sums: Values) -> Values:
    if activation == "identity":
        return sums
    if activation == "sigmoid" and len(sums) > 1 and sums[0].result.type == DOUBLE:
        found: list[Value] = []
        for first in range(0, len(sums), GROUP):
            group = list(sums[first : first + GROUP])
            found += sigmoid(Value.joined(group + group[:1] * (GROUP - len(group)))).lanes()
        return np.array(found[: len(sums)])
    functions: dict[str, Callable[[Value], Value]] = {
        "sigmoid": sigmoid,
        "tanh": lambda z: z.call("tanh"),
        "relu": lambda z: greater(-z, 0.0, 0.0, z),
    }
    return np.array([functions[activation](z) for z in sums])


def _softmax(sums: Values, targets: Values) -> tuple[Values, Value]:
    """Return the outputs and their cross-entropy, -sum t log(o), by log-sum-exp."""
    top = functools.reduce(lambda top, z: greater(z, top, z, top), sums)
    below = sums - top
    powers = np.array([exp(z) for z in below])
    total = _tree(powers)
    log = total.call("log")
    return powers / total, _tree(targets * np.array([log - z for z in below]))


def _slopes(
    spec: KernelSpec, layers: Layers, outputs: list[Values], targets: Values
) -> list[tuple[Value | None, Value | None]]:
    """Return for each scalar two factors whose product is the derivative for its update.

    The first is None for a bias, both are None for a bias that does not move.
    """
    above = outputs[-1] - targets
    deltas: list[Values] = []  # dE/dz of each layer
    for layer in range(len(layers) - 1, -1, -1):
        delta = _chain(spec.activations[layer], above, outputs[layer + 1])
        deltas.insert(0, delta)
        if layer:
            above = _tree((delta * layers[layer][0]).T)
    weights = [
        (a, d) for below, delta in zip(outputs, deltas, strict=False) for a in below for d in delta
    ]
    return [*weights, *((None, d) for d in _bias_slopes(spec, deltas))]


def _chain(activation: str, above: Values, a: Values) -> Values:
    """Return dE/dz, given `above` = dE/da and the outputs `a` (softmax: `above` is dE/dz)."""
    if activation == "sigmoid":
        above = above * (a * (1.0 - a))
    elif activation == "tanh":
        above = above * (1.0 - a * a)
    elif activation == "relu":
        pairs = zip(above, a, strict=True)
        above = np.array([one.where_greater(0.0, up, 0.0) for up, one in pairs])
    return above


def _bias_slopes(spec: KernelSpec, deltas: list[Values]) -> Iterator[Value | None]:
    if spec.rule == "notebook":
        yield from (None, _tree(deltas[0]))  # b2 moves by the derivative of b1
        return
    for delta in deltas:
        slopes = [_tree(delta)] if spec.shared else delta
        yield from slopes if spec.rule == "gradient" else [None] * len(slopes)


def _tree(terms: Any) -> Any:
    """Return the sum of `terms` as a balanced tree: the shortest chain of additions."""
    if len(terms) == 1:
        return terms[0]
    half = (len(terms) + 1) // 2
    return _tree(terms[:half]) + _tree(terms[half:])
