"""What runs in a slot: a worker, and what training code may have left behind in its process."""

from __future__ import annotations

import sys

from sweep.training.advance import Worker
from sweep.training.surroundings import environment
from sweep.training.task import Failure, SliceResult, Task

__all__ = ["SlotWorker"]


class SlotWorker(Worker):
    """A worker that leaves MLflow's active run when a training of a user's own has ended."""

    def advance(self, task: Task) -> SliceResult | Failure | None:
        """Advance a task; see Worker."""
        reply = super().advance(task)
        if not self.busy:
            self._leave()
        return reply

    def close(self) -> None:
        """End the training under way."""
        super().close()
        self._leave()

    def _leave(self) -> None:
        if self.environment and "mlflow" in sys.modules:
            from sweep.tracking import active

            with environment(self.environment):
                active.leave(self.environment)
            self.environment = {}
