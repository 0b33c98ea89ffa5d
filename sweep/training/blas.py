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
"""Environment variables that the libraries read when they are loaded."""


def hold_blas() -> None:
    """Limit loaded libraries in this thread to one thread, and those loaded later."""
    import threadpoolctl  # late: 30 ms that only a user's own trainer needs

    os.environ.update(ONE_THREAD)
    threadpoolctl.threadpool_limits(1)
