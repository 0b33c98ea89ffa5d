"""The specification and the interface of a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sweep.training.network import Network

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Samples = tuple[Array, Array]
"""Inputs and targets, C-contiguous, a row a sample."""

Kernel = Callable[[Array, Array, Integers, Integers, Array, Array], None]
"""``kernel(state, rates, rows, bounds, errors, validation_errors)`` does a round for each step.

A round: the error of the state over all training samples into `errors`, that over the
validation samples into `validation_errors`, then an update of all scalars.

state
    Shape (scalars, width), in the order of Network.names; updated in place.
rates
    Learning rates, shape (width,); an update takes the mean over its samples.
rows, bounds
    For a batched kernel: the update of step k is by the samples
    ``rows[bounds[k]:bounds[k + 1]]``. Other kernels take all samples and ignore them.
errors, validation_errors
    Shape (width, steps), both with the same strides; without validation samples the latter
    is not written.
"""

LANES = 8
"""Trajectories of one vector kernel: 512 bits; narrower processors split them."""

SMALL_SINGLE, SMALL_MANY = 64, 32
"""Most scalars of a network with a generated kernel, for one sample and for several.

Beyond it compiling takes longer than it saves; with several samples the general kernel
amortises its overhead.
"""


@dataclass(frozen=True)
class KernelSpec:
    """All that a kernel's code depends on; the rest is passed as arguments."""

    layers: tuple[int, ...]
    activations: tuple[str, ...]
    shared: bool  # one bias for all neurons of a layer
    rule: str
    single: bool  # exactly one sample, whose inputs are kept in registers
    batched: bool = False  # an update takes a mini-batch
    validated: bool = False  # validation errors are computed

    @property
    def size(self) -> int:
        """The number of scalars."""
        weights = sum(a * b for a, b in zip(self.layers[:-1], self.layers[1:], strict=True))
        return weights + (len(self.layers) - 1 if self.shared else sum(self.layers[1:]))

    @property
    def small(self) -> bool:
        """Whether the kernel is generated; only then it may train LANES at once."""
        return self.size <= (SMALL_SINGLE if self.single else SMALL_MANY)


def kernel_spec(
    network: Network, samples: int, rule: str, *, batched: bool = False, validated: bool = False
) -> KernelSpec:
    """Return the specification for a network, a number of samples and a rule."""
    shared, single = network.bias == "shared", samples == 1
    return KernelSpec(network.layers, network.activations, shared, rule, single, batched, validated)
