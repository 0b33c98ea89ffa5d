"""End a training where its error reaches a target, or its validation error improves no more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.training.curve import Points
from sweep.training.protocol import (
    Batch,
    TrainerError,
    checked_error,
    checked_state,
    resumable,
    snapshot,
)

__all__ = ["Stopping"]

Values = npt.NDArray[np.float64]


class Stopping(Batch):
    """A batch of one trajectory that ends by itself, at a step that depends on its curve alone.

    A trainer that can be continued is taken back to the very step; any other one does a single
    iteration a call.

    Parameters
    ----------
    batch
        Fresh at step 0.
    error
        The training ends at the first step whose error is not above this.
    patience
        It ends at the first step that comes so many steps after the best validation error.

    Attributes
    ----------
    best
        With `patience`, the weights at the first step with the smallest validation error.

    Raises
    ------
    TrainerError
        With `patience`, the trainer has no validation errors.
    """

    def __init__(
        self, batch: Batch, *, error: float | None = None, patience: int | None = None
    ) -> None:
        (self._trainer,) = self.items = batch.items
        self._batch = batch
        self._target = -math.inf if error is None else error
        self._patience = patience
        self._rewinds = resumable(self._trainer)
        self._validation = batch.validation_errors()
        self._curves = dict(batch.curves())
        self._step = self._best_step = 0
        self._least = math.inf
        self.savable = patience is None  # else the best weights would have to be saved, too
        if patience is not None and self._validation is None:
            raise TrainerError(
                f"stop.patience={patience}: the trainer has no validation errors; give it some, or "
                "leave this key out."
            )
        if patience is not None and self._validation is not None:
            self._improve(self._validation[0].tolist(), 0)
            self.best = snapshot(self._trainer)
        self.stopped = checked_error(self._trainer) <= self._target

    def advance(self, iterations: int) -> Values:
        """Train; return the errors, shape (1, n), fewer than asked for where it ends."""
        calls = [iterations] if self._rewinds else [1] * iterations
        errors, validation = [np.empty(0)], [np.empty(0)]
        curves: dict[str, Points] = {}
        for count in calls:
            some, others = self._advance(count)
            errors.append(some)
            if others is not None:
                validation.append(others)
            for name, (steps, values) in self._batch.curves().items():
                there, before = curves.get(name, (steps[:0], values[:0]))
                curves[name] = np.append(there, steps), np.append(before, values)
            if self.stopped:
                break
        if self._validation is not None:
            self._validation = np.concatenate(validation)[np.newaxis]
        self._curves = curves
        return np.concatenate(errors)[np.newaxis]

    def validation_errors(self) -> Values | None:
        """Return those of the last advance, shape (1, n)."""
        return self._validation

    def curves(self) -> Mapping[str, Points]:
        """Return the points of further curves, of the last advance."""
        return self._curves

    def resume(self) -> None:
        """Continue from the trainer's state."""
        self._batch.resume()

    def leave(self, at: int) -> None:
        """Train no further."""
        self._batch.leave(at)

    def close(self) -> None:
        """Close the trainer."""
        self._batch.close()

    def _advance(self, count: int) -> tuple[Values, Values | None]:
        """Train on; end at the step that the curve tells, with the best weights up to it."""
        before = checked_state(self._trainer) if self._rewinds else {}
        (errors,) = self._batch.advance(count)
        others = self._batch.validation_errors()
        reached = np.flatnonzero(errors <= self._target)
        end = int(reached[0]) + 1 if len(reached) else None
        best = None
        if self._patience is not None and others is not None:
            best, late = self._improve(others[0, :end].tolist(), self._step + 1)
            end = late or end
        at, stop = len(errors), len(errors) if end is None else end
        if best is not None:
            at = self._at(before, at, best)
            self.best = snapshot(self._trainer)
        self._at(before, at, stop)
        self.stopped = end is not None or self._batch.stopped
        self._step += stop
        return errors[:stop], None if others is None else others[0, :stop]

    def _at(self, state: Mapping[str, Any], at: int, wanted: int) -> int:
        """Take the trainer, `at` iterations after a state, to another count; return that."""
        if wanted != at:
            self._trainer.restore(state)
            self._batch.resume()
            self._batch.advance(wanted)
        return wanted

    def _improve(self, values: list[float], first: int) -> tuple[int | None, int | None]:
        """Follow the validation errors from step `first` on.

        Returns
        -------
        After how many of them the best one came, and after how many the patience ended.
        """
        best = None
        for at, value in enumerate(values):
            if value < self._least:
                self._least, self._best_step, best = value, first + at, at + 1
            elif self._patience is not None and first + at - self._best_step >= self._patience:
                return best, at + 1
        return best, None
