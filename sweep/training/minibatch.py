"""The built-in trainer with a batch size: each update takes a few samples.

An iteration is one update. The error after it is taken over all samples, not over those of
the update: it costs one forward pass over the data, no more than a full-batch iteration does,
and the curve, its best step and its thresholds mean the same whatever the batch size.

Which samples an update takes follows from the seed and the update's number alone: nothing
has to be remembered, and the cut between two slices changes no bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.checks import number, whole
from sweep.errors import ConfigError
from sweep.training.network import Network, check_fit, check_rule

if TYPE_CHECKING:
    from sweep.training.data import Data

__all__ = ["MiniBatch", "epoch_order"]

ORDERED = 2**20
"""Samples whose order is made at once: what a call into the kernel may hold."""

SHUFFLE = 0x73687566
"""Tells the generators of the shuffles from those of weights and splits, of the same seed."""

Array = npt.NDArray[np.float64]


@lru_cache(maxsize=8)
def epoch_order(seed: int, epoch: int, samples: int) -> npt.NDArray[np.int64]:
    """Return the order of the samples in an epoch, shape (samples,), from these numbers alone."""
    order = np.random.default_rng([SHUFFLE, seed, epoch]).permutation(samples)
    order.setflags(write=False)
    return order


class MiniBatch:
    """Train a network by batches of its samples, forward only.

    Parameters
    ----------
    network, data, lr, rule, seed
        As for Backprop; `seed` is for the order of the samples.
    batch_size
        Samples of one update, at least 1; the last update of an epoch takes what is left.
        An update moves by the mean over its samples.
    shuffle
        Whether each epoch has an order of its own; else it is that of the data.

    Raises
    ------
    ConfigError
        The rule has no meaning for the network, or the data does not fit it.

    Attributes
    ----------
    diverged_at
        The first step at which a weight or the error is not finite, once passed; the weights
        stay as they are there.
    """

    thread_safe = True
    shareable = True

    def __init__(
        self,
        network: Network,
        data: Data,
        *,
        lr: float,
        rule: str,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        from sweep.training.kernels.batches import (  # late: numba
            load_batch_kernel,
            load_error_kernel,
        )
        from sweep.training.kernels.spec import KernelSpec

        if number(lr, "lr") <= 0:
            raise ConfigError(f"lr is {lr!r}: it must be above 0.")
        check_rule(network, rule)
        check_fit(network, data.inputs, data.targets)
        self._network = network
        self._samples = _contiguous(data.inputs), _contiguous(data.targets)
        self._rate = float(lr)
        self._seed = seed
        self._size = min(whole(batch_size, "batch_size", least=1), len(data.inputs))
        self._shuffle = shuffle
        spec = KernelSpec(
            layers=network.layers,
            activations=network.activations,
            shared=network.bias == "shared",
            loss=network.loss,
            rule=rule,
            single=len(data.inputs) == 1,
        )
        self._kernel = load_batch_kernel(spec)
        self._step = 0
        self._state = network.flat()
        self._error = load_error_kernel(spec)(self._state, *self._samples)
        self.diverged_at: int | None = None if np.isfinite(self._error) else 0

    def advance(self, iterations: int) -> Array:
        """Train on; return the errors after each update, shape (iterations,).

        From the first step on that is not finite the errors are NaN.
        """
        errors = np.full(iterations, np.nan)
        done = 0
        while done < iterations and self.diverged_at is None:
            done += self._epochs(errors[done:])
        self._step += iterations - done
        if iterations:
            self._error = float(errors[-1])
        return errors

    def error(self) -> float:
        """Return the error now, over all samples."""
        return self._error

    def weights(self) -> dict[str, float | Array]:
        """Return the weights now, as Network.named."""
        return self._network.replace(self._state).named()

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on from here."""
        return {"step": self._step, "weights": self._state.copy(), "error": self._error}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in a fresh trainer."""
        self._step = int(state["step"])
        self._state = np.array(state["weights"])
        self._error = float(state["error"])

    @property
    def flat(self) -> Array:
        """Return the weights now in the order of Network.names; they are not to be changed."""
        return self._state

    def _epochs(self, errors: Array) -> int:
        """Do the updates of as many epochs as are ordered at once; return how many updates."""
        samples = len(self._samples[0])
        updates = -(-samples // self._size)
        epoch, first = divmod(self._step, updates)
        count = min(-(-(first + len(errors)) // updates), max(1, ORDERED // samples))
        orders = np.array([self._order(epoch + at) for at in range(count)])
        errors = errors[: count * updates - first]
        done = self._kernel(
            self._state, *self._samples, self._rate, orders, self._size, first, errors
        )
        if done < len(errors):
            errors[done:] = np.nan
            self.diverged_at = self._step + done + 1
        self._step += len(errors)
        return len(errors)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        samples = len(self._samples[0])
        return epoch_order(self._seed, epoch, samples) if self._shuffle else np.arange(samples)


def _contiguous(array: Array) -> Array:
    return np.ascontiguousarray(array, dtype=np.float64)
