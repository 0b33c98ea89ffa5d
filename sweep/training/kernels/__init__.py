"""Compiled kernels: generated ones for small networks, a general one for any network."""

from __future__ import annotations

import threading

from sweep.training.kernels.spec import Kernel, KernelSpec, Samples

_lock = threading.Lock()  # threads that need the same kernel compile it once


def load_kernel(
    spec: KernelSpec, width: int, training: Samples, validation: Samples | None
) -> Kernel:
    """Return the compiled kernel for `width` trajectories, 1 unless `spec` is small."""
    with _lock:
        if spec.small:
            from sweep.training.kernels.generated import generated_kernel  # loads LLVM

            return generated_kernel(spec, width, training, validation)
        from sweep.training.kernels.general import general_kernel  # loads numba

        return general_kernel(spec, training, validation)
