"""The kernels for updates by a few samples at a time, and for the error over other samples.

The pieces, and with them the bits of each sum, are those of the general kernel; the samples of
an update are gathered in the order that they are named in. An update is followed by the error
over all samples, so that the error curve means the same as with the full batch.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import float64, int64, njit, types

from sweep.training.kernels import general
from sweep.training.kernels.compiled import SAMPLES, SIZES, compile_kernel, hold_blas_to_one_thread
from sweep.training.kernels.general import (
    ACTIVATION_CODES,
    BLOCK_ROWS,
    GRADIENT,
    NOTEBOOK,
    RULE_CODES,
    activate,
    add_biases,
    add_product,
    add_sums,
    copy,
    derive,
    matrix,
    output_error,
)
from sweep.training.kernels.spec import KernelSpec

__all__ = ["BatchKernel", "ErrorKernel", "load_batch_kernel", "load_error_kernel"]

Array = npt.NDArray[np.float64]

ErrorKernel = Callable[[Array, Array, Array], float]
"""``kernel(state, inputs, targets)`` returns the error of a state, averaged over samples."""

BatchKernel = Callable[..., int]
"""See batch_kernel, without its first four arguments."""

compiled = njit(nogil=True, error_model="numpy")


@compiled
def places(layers: Any, shared: Any, block: Any) -> Any:
    """Return where each layer's outputs, matrix and biases start; the last is their end."""
    depth = layers.size - 1
    output_at = np.zeros(depth + 2, np.int64)
    matrix_at = np.zeros(depth + 1, np.int64)
    bias_at = np.zeros(depth + 1, np.int64)
    for k in range(depth + 1):
        output_at[k + 1] = output_at[k] + block * layers[k]
    for k in range(depth):
        matrix_at[k + 1] = matrix_at[k] + layers[k] * layers[k + 1]
    bias_at[0] = matrix_at[depth]
    for k in range(depth):
        bias_at[k + 1] = bias_at[k] + (1 if shared else layers[k + 1])
    return output_at, matrix_at, bias_at


@compiled
def forward(
    layers: Any, codes: Any, at: Any, state: Any, outputs: Any, targets: Any, rows: Any
) -> float:
    """Send the `rows` inputs that `outputs` begins with through all layers.

    The flat `targets` of these rows become a - t. Return their error, not averaged.
    """
    output_at, matrix_at, bias_at = at
    depth = codes.size
    error = 0.0
    for k in range(depth):
        a = matrix(outputs, output_at[k], rows, layers[k])
        w = matrix(state, matrix_at[k], layers[k], layers[k + 1])
        z = matrix(outputs, output_at[k + 1], rows, layers[k + 1])
        np.dot(a, w, out=z)
        add_biases(z, state[bias_at[k] : bias_at[k + 1]])
        if k < depth - 1:
            activate(codes[k], z)
        else:
            error = output_error(codes[k], z, matrix(targets, 0, rows, layers[depth]))
    return error


@compiled
def backward(
    layers: Any,
    codes: Any,
    rule: Any,
    at: Any,
    state: Any,
    outputs: Any,
    above: Any,
    product: Any,
    rows: Any,
    moves: Any,
) -> None:
    """Add the derivatives of these rows to `moves`; `above` begins with their a - t."""
    output_at, matrix_at, bias_at = at
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


@compiled
def whole_error(
    layers: Any,
    codes: Any,
    at: Any,
    state: Any,
    inputs: Any,
    targets: Any,
    outputs: Any,
    above: Any,
    block: Any,
) -> Any:
    """Return the error over all samples, averaged, block by block in their order."""
    samples = inputs.shape[0]
    wide = layers[codes.size]
    error = 0.0
    for first in range(0, samples, block):
        rows = min(block, samples - first)
        copy(inputs, first * layers[0], outputs, rows * layers[0])
        copy(targets, first * wide, above, rows * wide)
        error += forward(layers, codes, at, state, outputs, above, rows)
    return error / samples


def error_kernel(
    layers: Any, codes: Any, shared: Any, state: Any, inputs: Any, targets: Any
) -> Any:
    """Return the error of `state` over the samples, averaged."""
    block = min(inputs.shape[0], BLOCK_ROWS)
    at = places(layers, shared, block)
    outputs = np.empty(at[0][-1])
    above = np.empty(block * layers[-1])
    return whole_error(layers, codes, at, state, inputs, targets, outputs, above, block)


def batch_kernel(
    layers: Any,
    codes: Any,
    shared: Any,
    rule: Any,
    state: Any,
    inputs: Any,
    targets: Any,
    rate: Any,
    orders: Any,
    size: Any,
    first: Any,
    errors: Any,
) -> Any:
    """Do an update, then take the error over all samples, for each element of `errors`.

    Parameters
    ----------
    rate
        The learning rate; an update takes the mean over its samples.
    orders
        The order of the samples in each epoch, int64, shape (epochs, samples).
    size, first
        Samples of one update, and the number of the first update, counted from the first of
        these epochs. An epoch's last update takes what is left.

    Returns
    -------
    How many updates were done before a weight or an error was not finite. The state then is
    the one with that value.
    """
    depth = codes.size
    samples = inputs.shape[0]
    block = min(samples, BLOCK_ROWS)
    at = places(layers, shared, block)
    outputs = np.empty(at[0][-1])
    above = np.empty(block * layers.max())
    largest = 0
    for k in range(depth):
        largest = max(largest, layers[k] * layers[k + 1])
    product = np.empty(largest)
    moves = np.empty(state.size)
    updates = (samples + size - 1) // size
    for step in range(errors.size):
        order = orders[(first + step) // updates]
        start = (first + step) % updates * size
        end = min(start + size, samples)
        moves[:] = 0.0
        for low in range(start, end, block):
            rows = min(block, end - low)
            for row in range(rows):
                chosen = order[low + row]
                for i in range(layers[0]):
                    outputs[row * layers[0] + i] = inputs[chosen, i]
                for j in range(layers[depth]):
                    above[row * layers[depth] + j] = targets[chosen, j]
            forward(layers, codes, at, state, outputs, above, rows)
            backward(layers, codes, rule, at, state, outputs, above, product, rows, moves)
        finite = True
        for i in range(state.size):
            state[i] -= rate / (end - start) * moves[i]
            finite = finite and np.isfinite(state[i])
        errors[step] = whole_error(layers, codes, at, state, inputs, targets, outputs, above, block)
        if not (finite and np.isfinite(errors[step])):
            return step
    return errors.size


@functools.cache
def load_error_kernel(spec: KernelSpec) -> ErrorKernel:
    """Return the compiled kernel for the error of a network of this shape over any samples."""
    kernel = _compiled_error_kernel()
    layers, codes = _described(spec)

    def error(state: Array, inputs: Array, targets: Array) -> float:
        return float(kernel(layers, codes, spec.shared, state, inputs, targets))

    return error


@functools.cache
def load_batch_kernel(spec: KernelSpec) -> BatchKernel:
    """Return the compiled kernel for updates by batches of a network of this shape."""
    return functools.partial(
        _compiled_batch_kernel(), *_described(spec), spec.shared, RULE_CODES[spec.rule]
    )


def _described(spec: KernelSpec) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    codes = [ACTIVATION_CODES[name] for name in spec.activations]
    return np.array(spec.layers, dtype=np.int64), np.array(codes, dtype=np.int64)


@functools.cache
def _compiled_error_kernel() -> Callable[..., float]:
    hold_blas_to_one_thread()
    signature = float64(SIZES, SIZES, types.boolean, float64[::1], SAMPLES, SAMPLES)
    kernel: Callable[..., float] = compile_kernel(error_kernel, signature, _source())
    return kernel


@functools.cache
def _compiled_batch_kernel() -> Callable[..., int]:
    hold_blas_to_one_thread()
    signature = int64(
        *(SIZES, SIZES, types.boolean, int64, float64[::1]),
        *(SAMPLES, SAMPLES, float64, types.Array(int64, 2, "C"), int64, int64, float64[::1]),
    )
    kernel: Callable[..., int] = compile_kernel(batch_kernel, signature, _source())
    return kernel


def _source() -> str:
    """Return all that the two kernels are made of."""
    here = inspect.getsource(inspect.getmodule(batch_kernel))  # type: ignore[arg-type]
    return inspect.getsource(general) + here
