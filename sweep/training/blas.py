"""Limit BLAS and OpenMP to one thread: the bits of a product depend on the number of threads."""

from __future__ import annotations

import os

ONE_THREAD = dict.fromkeys(
    (
        "BLIS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""Environment variables, read by the libraries when they are loaded."""


def hold_blas() -> None:
    """Limit libraries to one thread: those already loaded, in this thread, and those to come."""
    import threadpoolctl  # imported late: 30 ms, for users' trainers only

    os.environ.update(ONE_THREAD)
    threadpoolctl.threadpool_limits(1)
