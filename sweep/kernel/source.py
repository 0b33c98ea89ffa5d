"""Write the source of a kernel for one small network: every scalar a local, no loop but needed.

For a network of the notebook's size the time of an iteration is the latency of one chain of
dependent operations, so the weights live in registers, sums are balanced trees and each
learning rate is multiplied in off the chain. The order of operations is part of the result's
bits: a change here is a new ``ALGORITHM`` in backprop.py.

Scalars are named as `w{layer}_{from}_{to}`, `b{layer}_{to}` (shared: `b{layer}`), outputs
`a{layer}_{neuron}` (layer 0: the inputs), derivatives by the sum `d{layer}_{neuron}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["KernelSpec", "kernel_source"]


@dataclass(frozen=True)
class KernelSpec:
    """What a kernel is compiled for; everything else is an argument of it.

    Attributes
    ----------
    layers
        Neurons of each layer, the inputs first.
    activations
        One name a weight layer.
    shared
        Whether a layer's neurons share one bias.
    loss
        ``squared_error`` or ``cross_entropy``.
    rule
        How biases move: ``notebook``, ``gradient`` or ``fixed_bias``.
    single
        Whether there is exactly one sample, whose inputs then are locals too.
    """

    layers: tuple[int, ...]
    activations: tuple[str, ...]
    shared: bool
    loss: str
    rule: str
    single: bool


def kernel_source(spec: KernelSpec, name: str) -> str:
    """Return the source of ``name(state, inputs, targets, rate, errors)`` for `spec`.

    The function does one round for each element of `errors`, shape (n,): forward pass, the
    error of the state before the update into `errors`, backward pass, update of all scalars.
    `state` is flat, weights first, and changed in place; `rate` is the learning rate divided
    by the number of samples.
    """
    scalars = list(_scalars(spec))
    lines = [f"{scalar} = state[{at}]" for at, scalar in enumerate(scalars)]
    if spec.single:
        lines += [*_sample(spec, "0"), *(f"r0_{i} = rate * a0_{i}" for i in _units(spec, 0))]
    else:
        lines += ["count = inputs.shape[0]"]
    lines += ["for step in range(errors.shape[0]):"]
    lines += _indented(_single_round(spec) if spec.single else _full_round(spec, scalars))
    lines += [f"state[{at}] = {scalar}" for at, scalar in enumerate(scalars)]
    head = f"def {name}(state, inputs, targets, rate, errors):"
    return "\n".join([head, *_indented(lines)]) + "\n"


def _single_round(spec: KernelSpec) -> list[str]:
    lines = [*_forward(spec), f"errors[step] = {_error(spec)}", *_backward(spec)]
    for layer in range(1, len(spec.layers) - 1):
        lines += [f"r{layer}_{i} = rate * a{layer}_{i}" for i in _units(spec, layer)]
    for layer, i, j in _weights(spec):
        lines.append(f"w{layer}_{i}_{j} -= r{layer - 1}_{i} * d{layer}_{j}")
    lines += [f"{bias} -= rate * {sum_}" for bias, sum_ in _bias_sums(spec)]
    return lines


def _full_round(spec: KernelSpec, scalars: Sequence[str]) -> list[str]:
    biases = dict(_bias_sums(spec))
    moving = [scalar for scalar in scalars if scalar[0] == "w" or scalar in biases]
    sample = [*_sample(spec, "row"), *_forward(spec), f"error += {_error(spec)}"]
    sample += _backward(spec)
    for layer, i, j in _weights(spec):
        sample.append(f"g_w{layer}_{i}_{j} += a{layer - 1}_{i} * d{layer}_{j}")
    sample += [f"g_{bias} += {sum_}" for bias, sum_ in biases.items()]
    return [
        "error = 0.0",
        *(f"g_{scalar} = 0.0" for scalar in moving),
        "for row in range(count):",
        *_indented(sample),
        "errors[step] = error / count",
        *(f"{scalar} -= rate * g_{scalar}" for scalar in moving),
    ]


def _forward(spec: KernelSpec) -> Iterator[str]:
    for layer in range(1, len(spec.layers)):
        for j in _units(spec, layer):
            products = [f"a{layer - 1}_{i} * w{layer}_{i}_{j}" for i in _units(spec, layer - 1)]
            yield f"z{layer}_{j} = {_tree([*products, _bias(spec, layer, j)])}"
        yield from _activate(spec, layer)


def _activate(spec: KernelSpec, layer: int) -> Iterator[str]:
    name = spec.activations[layer - 1]
    sums = [f"z{layer}_{j}" for j in _units(spec, layer)]
    if name == "softmax":
        yield f"top = {sums[0]}"
        yield from (f"top = {z} if {z} > top else top" for z in sums[1:])
        for j, z in enumerate(sums):
            yield f"s{j} = {z} - top"
            yield f"e{j} = exp(s{j})"
        yield f"total = {_tree([f'e{j}' for j in _units(spec, layer)])}"
    for j, z in enumerate(sums):
        value = {
            "sigmoid": f"1.0 / (1.0 + exp(-{z}))",
            "tanh": f"tanh({z})",
            "relu": f"0.0 if {z} <= 0.0 else {z}",
            "identity": z,
            "softmax": f"e{j} / total",
        }[name]
        yield f"a{layer}_{j} = {value}"


def _error(spec: KernelSpec) -> str:
    """Return the error of one sample: 1/2 sum (o - t)^2, or -sum t log(o) by the log-sum-exp."""
    outputs = _units(spec, len(spec.layers) - 1)
    if spec.loss == "cross_entropy":
        return _tree([f"t{j} * (log(total) - s{j})" for j in outputs])
    last = len(spec.layers) - 1
    off = [f"(a{last}_{j} - t{j})" for j in outputs]
    return _tree([f"0.5 * {o} * {o}" for o in off])


def _backward(spec: KernelSpec) -> Iterator[str]:
    last = len(spec.layers) - 1
    for layer in range(last, 0, -1):
        for j in _units(spec, layer):
            if layer == last:
                above = f"(a{last}_{j} - t{j})"
            else:
                up = layer + 1
                above = _tree([f"d{up}_{k} * w{up}_{j}_{k}" for k in _units(spec, up)])
            yield f"d{layer}_{j} = {_chain(spec.activations[layer - 1], above, f'a{layer}_{j}')}"


def _chain(activation: str, above: str, a: str) -> str:
    """Return the derivative by the sum from the one by the output `a` (softmax: already so)."""
    return {
        "sigmoid": f"{above} * ({a} * (1.0 - {a}))",
        "tanh": f"{above} * (1.0 - {a} * {a})",
        "relu": f"{above} if {a} > 0.0 else 0.0",
        "identity": above,
        "softmax": above,
    }[activation]


def _bias_sums(spec: KernelSpec) -> Iterator[tuple[str, str]]:
    """Yield each bias that moves and the derivative that moves it."""
    if spec.rule == "notebook":
        yield "b2", _tree([f"d1_{j}" for j in _units(spec, 1)])
    if spec.rule == "gradient":
        for layer in range(1, len(spec.layers)):
            derivatives = [f"d{layer}_{j}" for j in _units(spec, layer)]
            if spec.shared:
                yield f"b{layer}", _tree(derivatives)
            else:
                yield from ((f"b{layer}_{j}", d) for j, d in enumerate(derivatives))


def _sample(spec: KernelSpec, row: str) -> list[str]:
    inputs = [f"a0_{i} = inputs[{row}, {i}]" for i in _units(spec, 0)]
    return inputs + [f"t{j} = targets[{row}, {j}]" for j in _units(spec, len(spec.layers) - 1)]


def _scalars(spec: KernelSpec) -> Iterator[str]:
    yield from (f"w{layer}_{i}_{j}" for layer, i, j in _weights(spec))
    for layer in range(1, len(spec.layers)):
        biases = [_bias(spec, layer, j) for j in _units(spec, layer)]
        yield from biases[:1] if spec.shared else biases


def _weights(spec: KernelSpec) -> Iterator[tuple[int, int, int]]:
    for layer in range(1, len(spec.layers)):
        for i in _units(spec, layer - 1):
            yield from ((layer, i, j) for j in _units(spec, layer))


def _bias(spec: KernelSpec, layer: int, j: int) -> str:
    return f"b{layer}" if spec.shared else f"b{layer}_{j}"


def _units(spec: KernelSpec, layer: int) -> range:
    return range(spec.layers[layer])


def _tree(terms: Sequence[str]) -> str:
    """Return the sum of `terms` as a balanced tree: the shortest chain of additions."""
    if len(terms) == 1:
        return terms[0]
    half = (len(terms) + 1) // 2
    return f"({_tree(terms[:half])} + {_tree(terms[half:])})"


def _indented(lines: Sequence[str]) -> list[str]:
    return ["    " + line for line in lines]
