"""The samples of each mini-batch update."""

from __future__ import annotations

import sys
from functools import lru_cache

import numpy as np
import numpy.typing as npt

ORDERED = 2**20
"""Most sample indices generated at once, unless one update needs more."""

SHUFFLE = 0x73687566
"""Separates the random numbers of shuffles from those of weights and splits with equal seed."""

Integers = npt.NDArray[np.int64]
NONE: Integers = np.empty(0, dtype=np.int64)


@lru_cache(maxsize=8)
def epoch_order(seed: int, epoch: int, samples: int) -> Integers:
    """Return the order of the samples in an epoch, shape (samples,)."""
    order = np.random.default_rng([SHUFFLE, seed, epoch]).permutation(samples)
    order.setflags(write=False)
    return order


class Batches:
    """The samples of each update, a function of the seed and the update's number.

    There is no state, so slicing a training changes no bit. See Backprop for the parameters.
    `full`: whether each update takes all samples; `most`: upper limit of `count` in `rows`.
    """

    def __init__(self, samples: int, size: int | None, *, seed: int, shuffle: bool) -> None:
        self._samples, self._seed, self._shuffle = samples, seed, shuffle
        self._size = size or samples
        self.full = self._size >= samples
        self.most = sys.maxsize if self.full else max(1, ORDERED // self._size)

    def rows(self, first: int, count: int) -> tuple[Integers, Integers]:
        """Return rows and bounds (see spec.Kernel) of `count` updates from number `first` on."""
        if self.full or not count:
            return NONE, NONE
        updates = -(-self._samples // self._size)  # per epoch; the last one takes the rest
        epochs = range(first // updates, -(-(first + count) // updates))
        epoch, update = np.divmod(np.arange(first, first + count + 1), updates)
        bounds = (epoch - epochs[0]) * self._samples + update * self._size
        everything = np.arange(self._samples)
        orders = [
            epoch_order(self._seed, epoch, self._samples) if self._shuffle else everything
            for epoch in epochs
        ]
        return np.concatenate(orders), bounds
