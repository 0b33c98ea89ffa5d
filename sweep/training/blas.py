"""BLAS and OpenMP on one thread: the sum in a matrix product depends on how many share it."""

from __future__ import annotations

import os

__all__ = ["ONE_THREAD", "hold_blas"]

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
"""What a library reads when it is loaded."""


def hold_blas() -> None:
    """Hold this process to one thread: libraries loaded now, in this thread, and those to come."""
    import threadpoolctl  # late: 30 ms that only a user's own trainer needs

    os.environ.update(ONE_THREAD)
    threadpoolctl.threadpool_limits(1)
