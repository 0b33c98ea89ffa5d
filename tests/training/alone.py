"""Train one trajectory by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from sweep.training.advance import Training
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.history import History, RunResult
from sweep.training.network import Network
from sweep.training.protocol import Batch


def train(
    batch: Batch, cuts: Sequence[int], *, max_seconds: float = math.inf
) -> Iterator[RunResult]:
    """Train a batch of one trajectory in this process; yield a result at each cut point."""
    training = Training(batch, [cuts], None, [max_seconds])
    yield from History(cuts).add(training.advance().parts[0])


class Alone:
    """`Backprop` for one network, with the attributes of its only item."""

    def __init__(self, network: Network, data: Data, *, lr: float, rule: str, **options: Any):
        self.trainer = Backprop([network], data, lrs=[lr], rule=rule, **options)
        self.item = self.trainer.items[0]
        self.values = self.trainer.now()

    def advance(self, iterations: int) -> Any:
        """Return the errors, shape (iterations,)."""
        self.values = self.trainer.advance(iterations)
        return self.values.errors[0]

    def validation_errors(self) -> Any:
        """Return the validation errors of the last advance, shape (iterations,)."""
        return None if self.values.validation is None else self.values.validation[0]

    def restore(self, state: Any) -> None:
        self.trainer.restore([state])

    @property
    def flat(self) -> Any:
        """Return the weights in the order of Network.names."""
        return self.item.state()["weights"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.item, name)
