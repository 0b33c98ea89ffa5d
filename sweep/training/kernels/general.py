"""The kernel for a network of any size, with matrix products by BLAS, compiled by numba.

Samples are processed in blocks that fit the processor's cache, so memory does not grow with the
data.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba import float64, int64, njit, types
from threadpoolctl import ThreadpoolController

from sweep.training.kernels import exponential
from sweep.training.kernels import layers as layer_code
from sweep.training.kernels.layers import ACTIVATION_CODES, RULE_CODES, backward, forward, inlined
from sweep.training.kernels.spec import Kernel, KernelSpec, Samples

__all__ = ["general_kernel"]

BLOCK_ROWS = 512
"""Samples of one block. It determines bits, as sums run block by block."""

ALL, BATCH, VALIDATION = range(3)

FLOATS, INTS = types.Array(float64, 1, "C"), types.Array(int64, 1, "C", readonly=True)
SAMPLES = types.Array(float64, 2, "C", readonly=True)

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

_lock = threading.Lock()  # so that two threads compile it once


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
    network: Any,
    scratch: Any,
    state: Any,
    rate: Any,
    samples: Any,
    every: Any,
    rows: Any,
    bounds: Any,
    held_out: Any,
    held_out_rows: Any,
    errors: Any,
    validation_errors: Any,
) -> None:
    """Do one round for each element of `errors`; see spec.Kernel."""
    moves = scratch[-1]
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
                what, chosen, learn = held_out, held_out_rows, False
            error = summed_error(network, scratch, state, what, chosen, learn)
            if turn == ALL:
                errors[step] = error / every.size
            elif turn == VALIDATION and held_out_rows.size > 0:
                validation_errors[step] = error / held_out_rows.size
        for i in range(state.size):
            state[i] -= rate / count * moves[i]


tuple_of: Any = types.Tuple  # untyped in numba
SIGNATURE = types.void(
    *(tuple_of([INTS, INTS, int64, INTS, INTS, INTS]), tuple_of([FLOATS] * 4), FLOATS, float64),
    *(tuple_of([SAMPLES] * 2), INTS, INTS, INTS),
    *(tuple_of([SAMPLES] * 2), INTS, FLOATS, FLOATS),
)


def general_kernel(spec: KernelSpec, training: Samples, validation: Samples | None) -> Kernel:
    """Return the kernel of one trajectory of any network.

    It limits BLAS to one thread in this process, as bits depend on the number of threads.
    """
    with _lock:
        function = _compiled()
    held_out = validation or (training[0][:0], training[1][:0])
    every, held_out_rows = np.arange(len(training[0])), np.arange(len(held_out[0]))
    layers = np.array(spec.layers)
    block = min(max(every.size, held_out_rows.size), BLOCK_ROWS)
    areas = layers[:-1] * layers[1:]
    biases = np.ones_like(layers[1:]) if spec.shared else layers[1:]
    output_at, matrix_at, bias_at = (
        np.concatenate([[0], np.cumsum(sizes)]) for sizes in (block * layers, areas, biases)
    )
    codes = np.array([ACTIVATION_CODES[name] for name in spec.activations])
    network = layers, codes, RULE_CODES[spec.rule], output_at, matrix_at, bias_at + matrix_at[-1]
    sizes = output_at[-1], block * layers.max(), areas.max(), spec.size
    scratch = tuple(np.empty(size) for size in sizes)

    def kernel(*arrays: Any) -> None:
        state, rates, rows, bounds, errors, validation_errors = arrays
        first = network, scratch, state.reshape(-1), rates[0], training, every
        function(*first, rows, bounds, held_out, held_out_rows, errors[0], validation_errors[0])

    return kernel


@functools.cache
def _compiled() -> Callable[..., None]:
    """Return the compiled `train`, from numba's cache where possible.

    That cache takes no lock between its index and its data. It is safe among processes if each
    file name stands for one machine code, so the name has a digest of all the code depends on.
    """
    importlib.import_module("scipy.linalg.cython_blas")  # the one that numba calls
    ThreadpoolController().limit(limits=1, user_api="blas")
    rooms = exponential, layer_code, sys.modules[__name__]
    made_from = [inspect.getsource(room) for room in rooms]
    made_from += [numba.__version__, llvmlite.__version__, llvmlite.binding.get_host_cpu_name()]
    made_from += [llvmlite.binding.get_host_cpu_features().flatten()]
    train.__qualname__ = "train_" + hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]
    try:
        return njit(SIGNATURE, cache=True, **OPTIONS)(train)
    except Exception:
        # numba raises many types for a read-only folder, a full disk and a damaged file. An
        # error in the code itself is raised again here.
        return njit(SIGNATURE, **OPTIONS)(train)
