"""The signature of a kernel, and all that its code depends on."""

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
"""Inputs and targets, C-contiguous, one row per sample."""

Kernel = Callable[[Array, Array, Integers, Integers, Array, Array], None]
"""``kernel(state, rates, rows, bounds, errors, validation_errors)`` trains one round per step.

A round writes the error of the state over all training samples to `errors` and that over the
validation samples to `validation_errors`, then updates all scalars.

state
    Shape (scalars, width), in the order of Network.names; updated in place.
rates
    Learning rates, shape (width,); an update takes the mean over its samples.
rows, bounds
    With mini-batches: the update of step k uses samples ``rows[bounds[k]:bounds[k + 1]]``.
    Other kernels use all samples and ignore both.
errors, validation_errors
    Shape (width, steps), with equal strides; the latter is not written without validation samples.
"""

LANES = 8
"""Trajectories of one vector kernel: 512 bits, split on narrower processors."""

SMALL_SINGLE, SMALL_MANY = 64, 32
"""Most scalars of a network with a generated kernel, for one sample and for several.

Beyond, compiling takes longer than it saves. With several samples the general kernel has less
overhead per sample.
"""


@dataclass(frozen=True)
class KernelSpec:
    """Everything that a kernel's code depends on."""

    layers: tuple[int, ...]
    size: int  # the number of scalars
    activations: tuple[str, ...]
    shared: bool  # one bias for all neurons of a layer
    rule: str
    single: bool  # exactly one sample, whose inputs are kept in registers
    batched: bool = False  # an update takes a mini-batch
    validated: bool = False  # validation errors are computed

    @property
    def small(self) -> bool:
        """Whether the kernel is generated, and so can train LANES trajectories at once."""
        return self.size <= (SMALL_SINGLE if self.single else SMALL_MANY)


def kernel_spec(
    network: Network, samples: int, rule: str, *, batched: bool = False, validated: bool = False
) -> KernelSpec:
    """Return the specification for a network, a number of samples and a rule."""
    own = network.layers, network.size, network.activations, network.bias == "shared"
    return KernelSpec(*own, rule, samples == 1, batched, validated)
