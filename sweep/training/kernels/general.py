"""The kernel for a network of any size, with matrix products by BLAS, compiled by numba.

A network is a tuple: layer sizes, activations and rule as numbers, and the offsets of each
layer's outputs, matrix and biases in their flat arrays. Samples are processed in blocks that fit
the processor's cache, so memory does not grow with the data.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba import float64, int64, njit, types
from numba.extending import overload, register_jitable
from threadpoolctl import ThreadpoolController

from sweep.training.kernels import exponential
from sweep.training.kernels.exponential import exp, greater, power_of_two, sigmoid, terms
from sweep.training.kernels.spec import Kernel, KernelSpec, Samples

BLOCK_ROWS = 512
"""Samples of one block. It determines bits, as sums run block by block."""

ACTIVATIONS = ("sigmoid", "tanh", "relu", "identity", "softmax")
SIGMOID, TANH, RELU, IDENTITY, SOFTMAX = range(5)
RULES = ("fixed_bias", "gradient", "notebook")
FIXED_BIAS, GRADIENT, NOTEBOOK = range(3)
ALL, BATCH, VALIDATION = range(3)

FLOATS, INTS = types.Array(float64, 1, "C"), types.Array(int64, 1, "C", readonly=True)
SAMPLES = types.Array(float64, 2, "C", readonly=True)

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

compiled = njit(nogil=True, error_model="numpy")
inlined = njit(inline="always")  # compiled as a part of its caller


@overload(greater)
def _greater(x: Any, y: Any, yes: Any, no: Any) -> Any:
    def choice(x: Any, y: Any, yes: Any, no: Any) -> Any:
        return yes if x > y else no

    return choice


@overload(power_of_two)
def _power_of_two(shifted: Any) -> Any:
    def bits(shifted: Any) -> Any:
        whole = np.float64(shifted).view(np.int64)
        return np.int64((whole << 52) + (1023 << 52)).view(np.float64)

    return bits


for function in (terms, exp, sigmoid):
    register_jitable(forceinline=True, **OPTIONS)(function)


@compiled
def matrix(flat: Any, start: Any, rows: Any, columns: Any) -> Any:
    """Return the matrix at offset `start` of `flat`."""
    return flat[start : start + rows * columns].reshape(rows, columns)


@compiled
def activate(code: Any, z: Any) -> None:
    """Replace the sums `z`, shape (rows, neurons), by the outputs; not for softmax."""
    flat = z.reshape(-1)
    if code == SIGMOID:
        for i in range(flat.size):
            flat[i] = sigmoid(flat[i])
    elif code == TANH:
        for i in range(flat.size):
            flat[i] = math.tanh(flat[i])
    elif code == RELU:
        for i in range(flat.size):
            flat[i] = 0.0 if flat[i] <= 0.0 else flat[i]


@compiled
def output_error(code: Any, z: Any, t: Any) -> float:
    """Replace the last layer's sums `z` by its outputs, and the targets `t` by a - t.

    Return the sum of the rows' errors.
    """
    error = 0.0
    if code == SOFTMAX:
        for row in range(z.shape[0]):
            top = z[row, 0]
            for j in range(1, z.shape[1]):
                top = z[row, j] if z[row, j] > top else top
            total = 0.0
            for j in range(z.shape[1]):
                total += exp(z[row, j] - top)
            for j in range(z.shape[1]):
                error += t[row, j] * (math.log(total) - (z[row, j] - top))
                z[row, j] = exp(z[row, j] - top) / total
                t[row, j] = z[row, j] - t[row, j]
        return error
    activate(code, z)
    for row in range(z.shape[0]):
        for j in range(z.shape[1]):
            t[row, j] = z[row, j] - t[row, j]
            error += 0.5 * t[row, j] * t[row, j]
    return error


@compiled
def derive(code: Any, da: Any, a: Any) -> None:
    """Replace the outputs `a` by dE/dz, where the flat `da` is dE/da (softmax: a - t already)."""
    dz = a.reshape(-1)
    if code == SIGMOID:
        for i in range(dz.size):
            dz[i] = da[i] * (dz[i] * (1.0 - dz[i]))
    elif code == TANH:
        for i in range(dz.size):
            dz[i] = da[i] * (1.0 - dz[i] * dz[i])
    elif code == RELU:
        for i in range(dz.size):
            dz[i] = da[i] if dz[i] > 0.0 else 0.0
    else:
        dz[:] = da[: dz.size]


@inlined
def forward(network: Any, state: Any, outputs: Any, targets: Any, rows: Any) -> float:
    """Compute `outputs`, which begins with the inputs of `rows` samples.

    The flat `targets` become a - t. Return the sum of the rows' errors.
    """
    layers, codes, _, output_at, matrix_at, bias_at = network
    depth = codes.size
    error = 0.0
    for k in range(depth):
        a = matrix(outputs, output_at[k], rows, layers[k])
        w = matrix(state, matrix_at[k], layers[k], layers[k + 1])
        z = matrix(outputs, output_at[k + 1], rows, layers[k + 1])
        b = state[bias_at[k] : bias_at[k + 1]]
        np.dot(a, w, out=z)
        for row in range(rows):
            for j in range(layers[k + 1]):
                z[row, j] += b[j] if b.size > 1 else b[0]
        if k < depth - 1:
            activate(codes[k], z)
        else:
            error = output_error(codes[k], z, matrix(targets, 0, rows, layers[depth]))
    return error


@inlined
def backward(
    network: Any, state: Any, outputs: Any, above: Any, rows: Any, product: Any, moves: Any
) -> None:
    """Add the derivatives of the rows to `moves`; `above` begins with their a - t."""
    layers, codes, rule, output_at, matrix_at, bias_at = network
    for k in range(codes.size - 1, -1, -1):
        a = matrix(outputs, output_at[k], rows, layers[k])
        w = matrix(state, matrix_at[k], layers[k], layers[k + 1])
        d = matrix(outputs, output_at[k + 1], rows, layers[k + 1])
        derive(codes[k], above, d)
        np.dot(a.T, d, out=matrix(product, 0, layers[k], layers[k + 1]))
        for i in range(layers[k] * layers[k + 1]):
            moves[matrix_at[k] + i] += product[i]
        if k > 0:
            np.dot(d, w.T, out=matrix(above, 0, rows, layers[k]))
        if rule == GRADIENT or (rule == NOTEBOOK and k == 0):
            to = k if rule == GRADIENT else 1
            first, shared = bias_at[to], bias_at[to + 1] - bias_at[to] == 1
            for row in range(rows):
                for j in range(layers[k + 1]):
                    moves[first if shared else first + j] += d[row, j]


@inlined
def summed_error(
    network: Any, scratch: Any, state: Any, samples: Any, rows: Any, learn: Any
) -> float:
    """Return the sum of errors of some rows of `samples`.

    With `learn` their derivatives are added to the last array of `scratch`.
    """
    layers = network[0]
    inputs, targets = samples
    outputs, above, product, moves = scratch
    error = 0.0
    for low in range(0, rows.size, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows.size - low)
        for at in range(count):
            row = rows[low + at]
            for i in range(layers[0]):
                outputs[at * layers[0] + i] = inputs[row, i]
            for j in range(layers[-1]):
                above[at * layers[-1] + j] = targets[row, j]
        error += forward(network, state, outputs, above, count)
        if learn:
            backward(network, state, outputs, above, count, product, moves)
    return error


def train(
    net: Any, work: Any, state: Any, rate: Any, training: Any, batches: Any, other: Any, out: Any
) -> None:
    """Do one round for each element of the errors; see kernels.Kernel."""
    (samples, every), (rows, bounds), (other_samples, other_rows) = training, batches, other
    errors, validation_errors = out
    moves = work[-1]
    for step in range(errors.size):
        moves[:] = 0.0
        count = every.size
        # One inlined call serves all passes over samples, to compile it only once.
        for turn in range(3):
            what, chosen, learn = samples, every, rows.size == 0
            if turn == BATCH:
                if rows.size == 0:
                    continue
                chosen, learn = rows[bounds[step] : bounds[step + 1]], True
                count = chosen.size
            elif turn == VALIDATION:
                what, chosen, learn = other_samples, other_rows, False
            error = summed_error(net, work, state, what, chosen, learn)
            if turn == ALL:
                errors[step] = error / every.size
            elif turn == VALIDATION and other_rows.size > 0:
                validation_errors[step] = error / other_rows.size
        for i in range(state.size):
            state[i] -= rate / count * moves[i]


tuple_of: Any = types.Tuple  # untyped in numba
CHOSEN = tuple_of([tuple_of([SAMPLES] * 2), INTS])
SIGNATURE = types.void(
    *(tuple_of([INTS, INTS, int64, INTS, INTS, INTS]), tuple_of([FLOATS] * 4), FLOATS, float64),
    *(CHOSEN, tuple_of([INTS] * 2), CHOSEN, tuple_of([FLOATS] * 2)),
)


def general_kernel(spec: KernelSpec, training: Samples, validation: Samples | None) -> Kernel:
    """Return the kernel of one trajectory of any network.

    It limits BLAS to one thread in this process, as bits depend on the number of threads.
    """
    function = _compiled()
    held_out = validation or (training[0][:0], training[1][:0])
    chosen, other = ((samples, np.arange(len(samples[0]))) for samples in (training, held_out))
    layers = np.array(spec.layers)
    block = min(max(chosen[1].size, other[1].size), BLOCK_ROWS)
    areas = layers[:-1] * layers[1:]
    biases = np.ones_like(layers[1:]) if spec.shared else layers[1:]
    output_at, matrix_at, bias_at = (
        np.concatenate([[0], np.cumsum(sizes)]) for sizes in (block * layers, areas, biases)
    )
    codes = np.array([ACTIVATIONS.index(name) for name in spec.activations])
    network = layers, codes, RULES.index(spec.rule), output_at, matrix_at, bias_at + matrix_at[-1]
    sizes = output_at[-1], block * layers.max(), areas.max(), spec.size
    scratch = tuple(np.empty(size) for size in sizes)

    def kernel(*arrays: Any) -> None:
        state, rates, rows, bounds, errors, validation_errors = arrays
        first = network, scratch, state.reshape(-1), rates[0], chosen
        function(*first, (rows, bounds), other, (errors[0], validation_errors[0]))

    return kernel


@functools.cache
def _compiled() -> Callable[..., None]:
    """Return the compiled `train`, from numba's cache where possible.

    That cache takes no lock between its index and its data. It is safe among processes if each
    file name stands for one machine code, so the name has a digest of all the code depends on.
    """
    importlib.import_module("scipy.linalg.cython_blas")  # the one that numba calls
    ThreadpoolController().limit(limits=1, user_api="blas")
    made_from = [inspect.getsource(part) for part in (exponential, sys.modules[__name__])]
    made_from += [numba.__version__, llvmlite.__version__, llvmlite.binding.get_host_cpu_name()]
    made_from += [llvmlite.binding.get_host_cpu_features().flatten()]
    train.__qualname__ = "train_" + hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]
    try:
        return njit(SIGNATURE, cache=True, **OPTIONS)(train)
    except Exception:
        # numba raises many types for a read-only folder, a full disk and a damaged file. An
        # error in the code itself is raised again here.
        return njit(SIGNATURE, **OPTIONS)(train)
