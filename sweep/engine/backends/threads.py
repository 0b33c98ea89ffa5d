"""Works in the threads of this process: no start-up, nothing pickled, results not copied."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from sweep.engine.backends.pool import Pool, Run
from sweep.engine.backends.seam import Done, Emitted, Work, carry_out, limit_blas

__all__ = ["Threads"]


class Threads(Pool):
    """Each thread of the pool carries its works out itself."""

    def _worker(self) -> AbstractContextManager[Run]:
        limit_blas()  # OpenMP keeps its number of threads for each thread apart
        return nullcontext(self._run)

    def _run(self, key: int, work: Work) -> None:
        def emit(value: object) -> None:
            self._put(Emitted(key, value))

        self._put(Done(key, *carry_out(work, emit, self._stopping.is_set)))
