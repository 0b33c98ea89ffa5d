"""Compiled training: a kernel written for a small network, and one for a network of any size."""

from __future__ import annotations

from sweep.training.kernels.spec import Kernel, KernelSpec, Samples

__all__ = ["load_kernel"]


def load_kernel(
    spec: KernelSpec, width: int, training: Samples, validation: Samples | None
) -> Kernel:
    """Return the compiled kernel for `width` trajectories, 1 unless `spec` is small."""
    if spec.small:
        from sweep.training.kernels.generated import generated_kernel  # late: it loads LLVM

        return generated_kernel(spec, width, training, validation)
    from sweep.training.kernels.general import general_kernel  # late: it loads numba

    return general_kernel(spec, training, validation)
