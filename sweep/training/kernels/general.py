"""The kernel for a network of any size, with its matrix products in BLAS.

Samples go through in blocks that stay in the processor's cache, in their order, so that
memory does not grow with the data. Compiled by kernel.py; nothing here runs as Python.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from sweep.training.kernels.exponential import exp, sigmoid

__all__ = ["ACTIVATION_CODES", "RULE_CODES", "general_kernel"]

BLOCK_ROWS = 512
"""Samples of one block. Part of the bits: sums run block by block."""

ACTIVATION_CODES = {"sigmoid": 0, "tanh": 1, "relu": 2, "identity": 3, "softmax": 4}
RULE_CODES = {"fixed_bias": 0, "gradient": 1, "notebook": 2}
SIGMOID, TANH, RELU, IDENTITY, SOFTMAX = range(5)
FIXED_BIAS, GRADIENT, NOTEBOOK = range(3)

compiled = njit(nogil=True, error_model="numpy")


@compiled
def activate(code: Any, z: Any) -> None:
    """Replace the sums `z`, shape (rows, neurons), by the outputs; softmax has its own."""
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
def add_biases(z: Any, b: Any) -> None:
    """Add the biases `b`, shape (1,) or (neurons,), to each row of `z`."""
    for row in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[row, j] += b[j] if b.size > 1 else b[0]


@compiled
def output_error(code: Any, z: Any, t: Any) -> float:
    """Replace the last layer's sums `z` by its outputs, and the targets `t` by a - t.

    Return the error of these rows, not averaged.
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
def matrix(flat: Any, start: Any, rows: Any, columns: Any) -> Any:
    """Return the matrix that lies in `flat` from `start` on."""
    return flat[start : start + rows * columns].reshape(rows, columns)


@compiled
def copy(source: Any, start: Any, target: Any, count: Any) -> None:
    """Copy `count` numbers of the matrix `source`, from flat position `start`, to `target`."""
    flat = source.reshape(-1)
    for i in range(count):
        target[i] = flat[start + i]


@compiled
def add_product(a: Any, d: Any, moves: Any, product: Any) -> None:
    """Add dE/dW = a^T d to the flat `moves`, through the scratch matrix `product`."""
    np.dot(a.T, d, out=product)
    flat = product.reshape(-1)
    for i in range(flat.size):
        moves[i] += flat[i]


def general_kernel(
    layers: Any,
    codes: Any,
    shared: Any,
    rule: Any,
    state: Any,
    inputs: Any,
    targets: Any,
    rate: Any,
    errors: Any,
) -> None:
    """Do one round for each element of `errors`, as kernel_source.kernel_source tells.

    `layers` and `codes` (ACTIVATION_CODES, one a weight layer) are int64; `rule` is one of
    RULE_CODES.
    """
    depth = codes.size
    samples = inputs.shape[0]
    block = min(samples, BLOCK_ROWS)
    # Where each layer's outputs start in `outputs`, its matrix and its biases in the state.
    output_at = np.zeros(depth + 2, np.int64)
    matrix_at = np.zeros(depth + 1, np.int64)
    bias_at = np.zeros(depth + 1, np.int64)
    widest = largest = 0
    for k in range(depth + 1):
        output_at[k + 1] = output_at[k] + block * layers[k]
        widest = max(widest, layers[k])
        if k < depth:
            matrix_at[k + 1] = matrix_at[k] + layers[k] * layers[k + 1]
            largest = max(largest, layers[k] * layers[k + 1])
    bias_at[0] = matrix_at[depth]
    for k in range(depth):
        bias_at[k + 1] = bias_at[k] + (1 if shared else layers[k + 1])
    outputs = np.empty(output_at[depth + 1])
    above = np.empty(block * widest)
    product = np.empty(largest)
    moves = np.empty(state.size)
    for step in range(errors.size):
        moves[:] = 0.0
        error = 0.0
        for first in range(0, samples, block):
            rows = min(block, samples - first)
            copy(inputs, first * layers[0], outputs, rows * layers[0])
            for k in range(depth):
                a = matrix(outputs, output_at[k], rows, layers[k])
                w = matrix(state, matrix_at[k], layers[k], layers[k + 1])
                z = matrix(outputs, output_at[k + 1], rows, layers[k + 1])
                np.dot(a, w, out=z)
                add_biases(z, state[bias_at[k] : bias_at[k + 1]])
                if k < depth - 1:
                    activate(codes[k], z)
            up = matrix(above, 0, rows, layers[depth])
            copy(targets, first * layers[depth], above, rows * layers[depth])
            error += output_error(codes[depth - 1], z, up)
            for k in range(depth - 1, -1, -1):
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
        errors[step] = error / samples
        for i in range(state.size):
            state[i] -= rate * moves[i]
