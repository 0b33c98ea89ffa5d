"""What a kernel is compiled for, and how many numbers go side by side in one; plain values."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GROUP", "LANES", "KernelSpec"]

LANES = 8
"""Trajectories side by side: 512 bits, which narrower machines take in two or four parts."""

GROUP = 4
"""Neurons of one trajectory whose activations are computed at once."""

WRITTEN_SINGLE, WRITTEN_MANY = 64, 32
"""Up to this many scalars a network gets a kernel of its own, for one sample and for several.

Beyond it the compiler takes longer than is won; with several samples the general kernel
spreads its overhead over them.
"""


@dataclass(frozen=True)
class KernelSpec:
    """What a kernel is compiled for; everything else is an argument of it.

    Attributes
    ----------
    layers
        Neurons of each layer, the inputs first.
    activations
        One name a weight layer.
    shared
        Whether a layer's neurons share one bias.
    loss
        ``squared_error`` or ``cross_entropy``.
    rule
        How biases move: ``notebook``, ``gradient`` or ``fixed_bias``.
    single
        Whether there is exactly one sample, whose inputs then are locals too.
    """

    layers: tuple[int, ...]
    activations: tuple[str, ...]
    shared: bool
    loss: str
    rule: str
    single: bool

    @property
    def size(self) -> int:
        """The number of scalars."""
        weights = sum(a * b for a, b in zip(self.layers[:-1], self.layers[1:], strict=True))
        return weights + (len(self.layers) - 1 if self.shared else sum(self.layers[1:]))

    @property
    def written(self) -> bool:
        """Whether there is a kernel for this network alone, which also trains side by side."""
        return self.size <= (WRITTEN_SINGLE if self.single else WRITTEN_MANY)
