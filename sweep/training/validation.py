"""The validation error beside the training: one more forward pass after each update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.training.backprop import Backprop
from sweep.training.minibatch import MiniBatch
from sweep.training.network import Network, check_fit

if TYPE_CHECKING:
    from sweep.training.data import Data

__all__ = ["Validated"]

Array = npt.NDArray[np.float64]


class Validated:
    """A built-in trainer that also tells the error over the samples kept back from training.

    It trains update by update, which changes no bit of what the trainer does alone.

    Parameters
    ----------
    trainer
        A fresh trainer of `network`.
    data
        Its `validation_inputs` and `validation_targets` are there.
    """

    thread_safe = True
    shareable = True

    def __init__(self, trainer: Backprop | MiniBatch, network: Network, data: Data) -> None:
        from sweep.training.kernels.batches import load_error_kernel  # late: it imports numba
        from sweep.training.kernels.spec import KernelSpec

        inputs, targets = data.validation_inputs, data.validation_targets
        assert inputs is not None and targets is not None
        check_fit(network, inputs, targets)
        self._trainer = trainer
        self._samples = np.ascontiguousarray(inputs), np.ascontiguousarray(targets)
        self._kernel = load_error_kernel(
            KernelSpec(
                layers=network.layers,
                activations=network.activations,
                shared=network.bias == "shared",
                loss=network.loss,
                rule="gradient",
                single=False,
            )
        )
        self._others = np.array([self._validation_error()])

    @property
    def stalled_at(self) -> int | None:
        """The trainer's own."""
        return getattr(self._trainer, "stalled_at", None)

    @property
    def diverged_at(self) -> int | None:
        """The trainer's own."""
        return self._trainer.diverged_at

    def advance(self, iterations: int) -> Array:
        """Train on; return the errors after each update, shape (iterations,)."""
        errors = np.empty(iterations)
        self._others = np.empty(iterations)
        for at in range(iterations):
            if self.stalled_at is not None or self.diverged_at is not None:
                errors[at:] = self._trainer.advance(iterations - at)
                self._others[at:] = self._validation_error()
                break
            errors[at] = self._trainer.advance(1)[0]
            self._others[at] = self._validation_error()
        return errors

    def error(self) -> float:
        """Return the error now, over the samples that are trained on."""
        return self._trainer.error()

    def weights(self) -> dict[str, float | Array]:
        """Return the weights now, as Network.named."""
        return self._trainer.weights()

    def validation_errors(self) -> Array:
        """Return those after each update of the last advance; before any, step 0's, shape (1,)."""
        return self._others

    def state(self) -> dict[str, Any]:
        """Return the trainer's own."""
        return self._trainer.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in a fresh trainer."""
        self._trainer.restore(state)
        self._others = np.array([self._validation_error()])

    def _validation_error(self) -> float:
        return self._kernel(self._trainer.flat, *self._samples)
