"""Write the source of a kernel for one small network: every scalar a local, no loop but needed.

For a network of the notebook's size the time of an iteration is the latency of one chain of
dependent operations, so the weights live in registers, sums are balanced trees, each learning
rate is multiplied in off the chain, and a layer's sigmoids go through one vector: as one
after the other they would not fit into the processor's window. The same text trains many
trajectories side by side, a vector lane each. The order of operations is part of the
result's bits: a change here is a new ``ALGORITHM`` in backprop.py.

Scalars are named as `w{layer}_{from}_{to}`, `b{layer}_{to}` (shared: `b{layer}`), outputs
`a{layer}_{neuron}` (layer 0: the inputs), derivatives by the sum `d{layer}_{neuron}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweep.training.kernels.spec import GROUP, KernelSpec

__all__ = ["ALONE", "SIDE_BY_SIDE", "Access", "KernelSpec", "kernel_source"]


@dataclass(frozen=True)
class Access:
    """How a kernel reads and writes its arrays: one number at a time, or LANES of them.

    Nothing else differs between the two, so that a trajectory has the same bits in both: for
    one trajectory the sigmoids of a layer are computed `grouped`, each as it would be alone.
    """

    read: str
    write: str
    write_error: str
    grouped: bool


ALONE = Access(
    read="{array}[{at}]",
    write="{array}[{at}] = {value}",
    write_error="errors[0, step] = error",
    grouped=True,
)
SIDE_BY_SIDE = Access(
    read="read({array}, {at})",
    write="write({array}, {at}, {value})",
    write_error="write_column(errors, step, error)",
    grouped=False,
)


def kernel_source(spec: KernelSpec, name: str, access: Access = ALONE) -> str:
    """Return the source of ``name(state, inputs, targets, rates, errors)`` for `spec`.

    The function does one round for each column of `errors`, shape (1, n): forward pass, the
    error of the state before the update into `errors`, backward pass, update of all scalars.
    `state` is flat, weights first, and changed in place; `rates`, shape (1,), is the learning
    rate divided by the number of samples.

    With `access` SIDE_BY_SIDE there are LANES trajectories: `state` holds the first scalar of
    each of them, then the second ones, `rates` has shape (LANES,), `errors` (LANES, n).
    """
    scalars = list(_scalars(spec))
    lines = ["rate = " + access.read.format(array="rates", at=0), "zero = rate - rate"]
    for at, scalar in enumerate(scalars):
        lines.append(f"{scalar} = " + access.read.format(array="state", at=at))
    if spec.single:
        lines += [*_sample(spec, "0"), *(f"r0_{i} = rate * a0_{i}" for i in _units(spec, 0))]
    else:
        lines += ["rows = inputs.shape[0]", "count = float(rows)"]
    lines += ["for step in range(errors.shape[1]):"]
    rounds = _single_round(spec, access) if spec.single else _full_round(spec, scalars, access)
    lines += _indented([*rounds, access.write_error])
    for at, scalar in enumerate(scalars):
        lines.append(access.write.format(array="state", at=at, value=scalar))
    head = f"def {name}(state, inputs, targets, rates, errors):"
    return "\n".join([head, *_indented(lines)]) + "\n"


def _single_round(spec: KernelSpec, access: Access) -> list[str]:
    lines = [*_forward(spec, access), f"error = {_error(spec)}", *_backward(spec)]
    for layer in range(1, len(spec.layers) - 1):
        lines += [f"r{layer}_{i} = rate * a{layer}_{i}" for i in _units(spec, layer)]
    for layer, i, j in _weights(spec):
        lines.append(f"w{layer}_{i}_{j} -= r{layer - 1}_{i} * d{layer}_{j}")
    lines += [f"{bias} -= rate * {sum_}" for bias, sum_ in _bias_sums(spec)]
    return lines


def _full_round(spec: KernelSpec, scalars: Sequence[str], access: Access) -> list[str]:
    biases = dict(_bias_sums(spec))
    moving = [scalar for scalar in scalars if scalar[0] == "w" or scalar in biases]
    sample = [*_sample(spec, "row"), *_forward(spec, access), f"error += {_error(spec)}"]
    sample += _backward(spec)
    for layer, i, j in _weights(spec):
        sample.append(f"g_w{layer}_{i}_{j} += a{layer - 1}_{i} * d{layer}_{j}")
    sample += [f"g_{bias} += {sum_}" for bias, sum_ in biases.items()]
    return [
        "error = zero",
        *(f"g_{scalar} = zero" for scalar in moving),
        "for row in range(rows):",
        *_indented(sample),
        "error = error / count",
        *(f"{scalar} -= rate * g_{scalar}" for scalar in moving),
    ]


def _forward(spec: KernelSpec, access: Access) -> Iterator[str]:
    for layer in range(1, len(spec.layers)):
        for j in _units(spec, layer):
            products = [f"a{layer - 1}_{i} * w{layer}_{i}_{j}" for i in _units(spec, layer - 1)]
            yield f"z{layer}_{j} = {_tree([*products, _bias(spec, layer, j)])}"
        yield from _activate(spec, layer, access)


def _activate(spec: KernelSpec, layer: int, access: Access) -> Iterator[str]:
    name = spec.activations[layer - 1]
    sums = [f"z{layer}_{j}" for j in _units(spec, layer)]
    if name == "softmax":
        yield f"top = {sums[0]}"
        yield from (f"top = greater({z}, top, {z}, top)" for z in sums[1:])
        for j, z in enumerate(sums):
            yield f"s{j} = {z} - top"
            yield f"e{j} = exp(s{j})"
        yield f"total = {_tree([f'e{j}' for j in _units(spec, layer)])}"
    if name == "sigmoid" and access.grouped and len(sums) > 1:
        for first in range(0, len(sums), GROUP):
            group = sums[first : first + GROUP]
            yield f"group = sigmoid(pack(({', '.join(group)},)))"
            yield from (f"a{layer}_{first + at} = lane(group, {at})" for at in range(len(group)))
        return
    for j, z in enumerate(sums):
        value = {
            "sigmoid": f"sigmoid({z})",
            "tanh": f"tanh({z})",
            "relu": f"greater(0.0, {z}, 0.0, {z})",
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
        "relu": f"greater({a}, 0.0, {above}, 0.0)",
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
