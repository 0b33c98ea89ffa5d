"""Which samples each update of a mini-batch training takes."""

from __future__ import annotations

import sys
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sweep.checks import whole

__all__ = ["Batches", "epoch_order"]

ORDERED = 2**20
"""Samples whose order is made at once; those of one update, at least."""

SHUFFLE = 0x73687566
"""Tells the generators of the shuffles from those of weights and splits, of the same seed."""

Integers = npt.NDArray[np.int64]
NONE: Integers = np.empty(0, dtype=np.int64)


@lru_cache(maxsize=8)
def epoch_order(seed: int, epoch: int, samples: int) -> Integers:
    """Return the order of the samples in an epoch, shape (samples,), from these numbers alone."""
    order = np.random.default_rng([SHUFFLE, seed, epoch]).permutation(samples)
    order.setflags(write=False)
    return order


class Batches:
    """The samples of each update, which follow from the seed and the update's number alone.

    So nothing has to be remembered, and the cut between two slices changes no bit. See Backprop
    for the parameters.

    Attributes
    ----------
    full
        Whether each update takes all samples.
    most
        Updates whose samples are to be asked for at once, at most.

    Raises
    ------
    ConfigError
        The size is no whole number of at least 1.
    """

    def __init__(self, samples: int, size: int | None, *, seed: int, shuffle: bool) -> None:
        self._samples, self._seed, self._shuffle = samples, seed, shuffle
        self._size = samples if size is None else whole(size, "batch_size", least=1)
        self.full = self._size >= samples
        self.most = sys.maxsize if self.full else max(1, ORDERED // self._size)

    def rows(self, first: int, count: int) -> tuple[Integers, Integers]:
        """Return rows and bounds, as a kernel takes them, of `count` updates from `first` on."""
        if self.full or not count:
            return NONE, NONE
        updates = -(-self._samples // self._size)  # of an epoch; the last takes what is left
        epochs = range(first // updates, -(-(first + count) // updates))
        epoch, update = np.divmod(np.arange(first, first + count + 1), updates)
        bounds = (epoch - epochs[0]) * self._samples + update * self._size
        return np.concatenate([self._order(epoch) for epoch in epochs]), bounds

    def _order(self, epoch: int) -> Integers:
        if self._shuffle:
            return epoch_order(self._seed, epoch, self._samples)
        return np.arange(self._samples)
