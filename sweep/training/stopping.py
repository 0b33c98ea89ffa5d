"""Early stopping: at a target error, or when the validation error stops improving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.training.curve import joined_points
from sweep.training.protocol import (
    Batch,
    StepValues,
    TrainerError,
    checked_state,
    resumable,
    snapshot,
)

OWN = "sweep.stopping/"
"""Prefix of what early stopping adds to a trainer's state."""


class Stopping(Batch):
    """A batch of one trajectory that stops early, at a step that depends only on its curve.

    A trainer with `state` and `restore` is rewound to that step; any other one trains a single
    iteration per call. It stops at the first step with an error of at most `error`, or `patience`
    steps after the smallest validation error; `best` then holds the weights of its first step.
    Raises TrainerError if `patience` is given and the trainer has no validation errors.
    """

    def __init__(
        self, batch: Batch, *, error: float | None = None, patience: int | None = None
    ) -> None:
        (self._trainer,) = self.items = batch.items
        self._batch = batch
        self._target = -math.inf if error is None else error
        self._patience = patience
        self._rewinds = resumable(self._trainer)
        self._step = self._best_step = 0
        self._least = math.inf
        self._failure: Exception | None = None
        first = batch.now()
        self._first = replace(first, stopped=bool(first.errors[0, 0] <= self._target))
        if patience is not None:
            if first.validation is None:
                raise TrainerError(
                    f"stop.patience={patience}: the trainer has no validation errors; give it "
                    "some, or leave this key out."
                )
            self._least = float(np.fmin(first.validation[0, 0], math.inf))
            self.best = snapshot(self._trainer)

    def now(self) -> StepValues:
        return self._first

    def state_of(self, at: int) -> dict[str, npt.NDArray[Any]] | None:
        """Return the trainer's state; with `patience` also the best weights and their step."""
        state = self._batch.state_of(at)
        if state is not None and self.best is not None:
            own = {"steps": [self._step, self._best_step], "least": self._least}
            own |= {f"best/{name}": value for name, value in self.best.items()}
            state |= {OWN + name: np.array(value) for name, value in own.items()}
        return state

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        (state,) = states
        self._batch.restore([{name: state[name] for name in state if not name.startswith(OWN)}])
        if self.best is not None:
            self._step, self._best_step = map(int, state[f"{OWN}steps"])
            self._least = float(state[f"{OWN}least"])
            arrays = {name: np.asarray(state[f"{OWN}best/{name}"]) for name in self.best}
            self.best = {n: array if array.ndim else float(array) for n, array in arrays.items()}

    def close(self) -> None:
        self._batch.close()

    def advance(self, iterations: int) -> StepValues:
        """Train; return the values up to the step where the training stops.

        If a trainer that is not rewound raises after some of them, the next call raises.
        """
        if self._failure is not None:
            raise self._failure
        if self._rewinds:
            return self._advance(iterations)
        found = [self._advance(1)]
        try:
            while len(found) < iterations and not found[-1].stopped:
                found.append(self._advance(1))
        except Exception as error:
            self._failure = error
        return _joined(found)

    def _advance(self, iterations: int) -> StepValues:
        """Train, then rewind to the step where the training stops, if it is among these."""
        before = checked_state(self._trainer) if self._rewinds else {}
        values = self._batch.advance(iterations)
        (errors,), validation = values.errors, values.validation
        at = len(errors)
        ends = [*np.flatnonzero(errors <= self._target)[:1] + 1]
        if self._patience is not None and validation is not None:
            steps = self._step + 1 + np.arange(at)
            improved = validation[0] < np.fmin.accumulate([self._least, *validation[0]])[:-1]
            last = np.maximum.accumulate(np.where(improved, steps, self._best_step))
            ends += [*np.flatnonzero(steps - last >= self._patience)[:1] + 1]
            better = np.flatnonzero(improved[: min(ends, default=at)])
            if len(better):
                best = int(better[-1])
                self._best_step, self._least = self._step + 1 + best, float(validation[0, best])
                self._move(before, at, best + 1)
                at, self.best = best + 1, snapshot(self._trainer)
        stop = int(min(ends, default=len(errors)))
        self._move(before, at, stop)
        self._step += stop
        if not ends:
            return values
        kept = None if validation is None else validation[:, :stop]
        return replace(values, errors=values.errors[:, :stop], validation=kept, stopped=True)

    def _move(self, state: Mapping[str, Any], at: int, wanted: int) -> None:
        """Move the trainer from `at` to `wanted` iterations after a state."""
        if wanted != at:
            self._batch.restore([state])
            self._batch.advance(wanted)


def _joined(steps: Sequence[StepValues]) -> StepValues:
    """Return the values of consecutive steps as one object."""
    validation = [values.validation for values in steps if values.validation is not None]
    return StepValues(
        np.concatenate([values.errors for values in steps], axis=1),
        np.concatenate(validation, axis=1) if validation else None,
        joined_points([values.named for values in steps]),
        stopped=steps[-1].stopped,
    )
