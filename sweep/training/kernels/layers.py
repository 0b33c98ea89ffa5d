"""Forward and backward pass of a network of any size, compiled by numba.

A network is a tuple: layer sizes, activations (ACTIVATION_CODES), the rule (RULE_CODES), and the
offsets of each layer's outputs, matrix and biases in their flat arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload, register_jitable

from sweep.training.kernels.exponential import exp, greater, power_of_two, sigmoid, terms

__all__ = ["ACTIVATION_CODES", "RULE_CODES", "backward", "forward", "inlined"]

ACTIVATION_CODES = {"sigmoid": 0, "tanh": 1, "relu": 2, "identity": 3, "softmax": 4}
RULE_CODES = {"fixed_bias": 0, "gradient": 1, "notebook": 2}
SIGMOID, TANH, RELU, IDENTITY, SOFTMAX = range(5)
FIXED_BIAS, GRADIENT, NOTEBOOK = range(3)

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
    register_jitable(forceinline=True, nogil=True, error_model="numpy")(function)


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
        for i in range(dz.size):
            dz[i] = da[i]


@compiled
def add_sums(d: Any, moves: Any) -> None:
    """Add dE/db of one layer to `moves`, shape (1,) for a shared bias or (neurons,)."""
    for row in range(d.shape[0]):
        for j in range(d.shape[1]):
            moves[j if moves.size > 1 else 0] += d[row, j]


@compiled
def add_product(a: Any, d: Any, moves: Any, product: Any) -> None:
    """Add dE/dW = a^T d to the flat `moves`, using the scratch matrix `product`."""
    np.dot(a.T, d, out=product)
    flat = product.reshape(-1)
    for i in range(flat.size):
        moves[i] += flat[i]


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
        part = matrix(product, 0, layers[k], layers[k + 1])
        add_product(a, d, moves[matrix_at[k] : matrix_at[k + 1]], part)
        if k > 0:
            np.dot(d, w.T, out=matrix(above, 0, rows, layers[k]))
        if rule == GRADIENT:
            add_sums(d, moves[bias_at[k] : bias_at[k + 1]])
        elif rule == NOTEBOOK and k == 0:
            add_sums(d, moves[bias_at[1] : bias_at[2]])
