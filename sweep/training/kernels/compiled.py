"""Compile kernels with numba; numba is imported only when one is needed.

A small network gets a kernel written for it (source.py); any other runs in one general
kernel that sends its matrix products through BLAS. Both do the same for each element of
``errors``: forward pass, the error before the update, backward pass, update.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import threading
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import numpy.typing as npt
from numba import float64, int64, types
from threadpoolctl import ThreadpoolController

from sweep.training.kernels import exponential, lanes
from sweep.training.kernels.general import ACTIVATION_CODES, RULE_CODES, general_kernel
from sweep.training.kernels.source import ALONE, SIDE_BY_SIDE, Access, kernel_source
from sweep.training.kernels.spec import KernelSpec

__all__ = [
    "Kernel",
    "compile_kernel",
    "hold_blas_to_one_thread",
    "load_kernel",
    "load_lanes_kernel",
]

Array = npt.NDArray[np.float64]
Kernel = Callable[[Array, Array, Array, Array, Array], None]
"""``kernel(state, inputs, targets, rates, errors)``: see source.py."""

SAMPLES = types.Array(float64, 2, "C", readonly=True)
SIZES = types.Array(int64, 1, "C", readonly=True)

_lock = threading.Lock()  # two threads that need the same kernel compile it once


def load_kernel(spec: KernelSpec) -> Kernel:
    """Return the compiled kernel for one trajectory, from the cache where there is one."""
    with _lock:
        return _load_kernel(spec)


def load_lanes_kernel(spec: KernelSpec) -> Kernel:
    """Return the compiled kernel for LANES trajectories side by side, for a `written` spec."""
    with _lock:
        return _written_kernel(spec, SIDE_BY_SIDE)


@functools.cache
def _load_kernel(spec: KernelSpec) -> Kernel:
    if spec.written:
        return _written_kernel(spec, ALONE)
    general = _general_kernel()
    layers = np.array(spec.layers, dtype=np.int64)
    codes = np.array([ACTIVATION_CODES[name] for name in spec.activations], dtype=np.int64)
    rule = RULE_CODES[spec.rule]

    def kernel(state: Array, inputs: Array, targets: Array, rates: Array, errors: Array) -> None:
        general(layers, codes, spec.shared, rule, state, inputs, targets, rates[0], errors[0])

    return kernel


@functools.cache
def _written_kernel(spec: KernelSpec, access: Access) -> Kernel:
    source = kernel_source(spec, "kernel", access)
    scope: dict[str, Any] = {
        name: getattr(room, name) for room in (lanes, exponential) for name in room.__all__
    }
    # The code says that it comes from this module: numba keeps its cache beside the file, and
    # imports the module when it loads a kernel from there.
    scope["__name__"] = __name__
    exec(compile(source, __file__, "exec"), scope)
    signature = types.void(float64[::1], SAMPLES, SAMPLES, float64[::1], float64[:, :])
    kernel: Kernel = compile_kernel(scope["kernel"], signature, source)
    return kernel


@functools.cache
def _general_kernel() -> Callable[..., None]:
    hold_blas_to_one_thread()
    signature = types.void(
        SIZES, SIZES, types.boolean, int64, float64[::1], SAMPLES, SAMPLES, float64, float64[::1]
    )
    source = inspect.getsource(importlib.import_module(general_kernel.__module__))
    general: Callable[..., None] = compile_kernel(general_kernel, signature, source)
    return general


def compile_kernel(function: Any, signature: Any, source: str) -> Any:
    """Compile `function` for one signature, with numba's cache where one can be had.

    numba's cache is safe among processes only as long as one file name stands for one piece
    of machine code: between its index and its data it takes no lock. So the name holds a
    digest of everything that the code depends on.
    """
    processor = (llvmlite.binding.get_host_cpu_name(), numba.__version__)
    inlined = [inspect.getsource(room) for room in (lanes, exponential)]
    digest = hashlib.sha256(repr((source, inlined, processor)).encode()).hexdigest()[:16]
    function.__qualname__ = f"{function.__name__}_{digest}"
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(signature, cache=True, **options)(function)
    except Exception:
        # No folder can be written, the disk is full, a cache file is damaged: numba raises
        # many types for these. A fault of the code itself comes again here.
        return numba.njit(signature, **options)(function)


def hold_blas_to_one_thread() -> None:
    """Hold every BLAS of this process to one thread: its bits may depend on their number."""
    importlib.import_module("scipy.linalg.cython_blas")  # the one that numba calls
    ThreadpoolController().limit(limits=1, user_api="blas")
