"""The built-in trainer: backpropagation in a compiled kernel, one or several trajectories.

An iteration is one update, by all samples or by a batch of them. The error after it is taken
over all samples, so the curve, its best step and its thresholds mean the same whatever the
batch size. Which samples an update takes follows from the seed and the update's number alone.

What a trajectory does depends on its own start and rate alone, to the bit: alone or beside
others, in any slices, with validation samples or without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.checks import number
from sweep.errors import ConfigError
from sweep.training.batches import Batches
from sweep.training.kernels import load_kernel
from sweep.training.kernels.spec import LANES, kernel_spec
from sweep.training.network import Network, check_fit, check_rule
from sweep.training.protocol import Batch

if TYPE_CHECKING:
    from sweep.training.data import Data

__all__ = ["ALGORITHM", "Backprop", "Item"]

ALGORITHM = "3"
"""Part of every signature; changes when any bit of a result may change."""

PART = 2**17
"""Most iterations after which is seen whether a trajectory stalled or diverged."""

Array = npt.NDArray[np.float64]


class Item:
    """One of the trajectories of a trainer, at the trainer's step.

    Attributes
    ----------
    step
        The iterations that are done.
    stalled_at
        The first step whose update changes no bit of any weight, once it is passed; every
        later step equals it. None with a batch size, where the next batch may change one.
    diverged_at
        The first step at which a weight, an output or the error is not finite, once it is
        passed; the weights stay as they are there.
    """

    def __init__(self, network: Network, *, validated: bool) -> None:
        self._network = network
        self._validated = validated
        self._flat = network.flat()
        self._error = np.nan
        self._other = np.nan
        self._others: Array = np.empty(0)
        self.step = 0
        self.stalled_at: int | None = None
        self.diverged_at: int | None = None
        self.left = False

    @property
    def moving(self) -> bool:
        """Whether a step that is not known yet is needed."""
        return self.stalled_at is None and self.diverged_at is None and not self.left

    def error(self) -> float:
        """Return the error now; NaN once it diverged."""
        return self._error

    def weights(self) -> dict[str, float | Array]:
        """Return the weights now, as Network.named."""
        return self._network.replace(self._flat).named()

    def validation_errors(self) -> Array | None:
        """Return this item's row of Backprop.validation_errors."""
        return self._others if self._validated else None

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on from here; not once it diverged."""
        stalled = -1 if self.stalled_at is None else self.stalled_at
        return {"step": self.step, "weights": self._flat.copy(), "stalled_at": stalled}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state; Backprop.resume then goes on from it."""
        self._flat = self._network.replace(np.asarray(state["weights"], dtype=np.float64)).flat()
        self.step = int(state["step"])
        stalled = int(state.get("stalled_at", -1))
        self.stalled_at = None if stalled < 0 else stalled


class Backprop(Batch):
    """Train trajectories of one kind of network on the same data, forward only.

    A small network trains up to LANES trajectories in one vector kernel, which takes about as
    long as two of them alone.

    Parameters
    ----------
    networks
        The initial weights of each trajectory; they are equal in all else.
    data
        The samples: `inputs` and `targets` are trained on; with `validation_inputs` and
        `validation_targets` the error over these is computed at each step as well.
    lrs
        The learning rate of each trajectory, > 0.
    rule
        How biases move: one of network.RULES.
    seed
        For the order of the samples, if there is a batch size.
    batch_size
        Samples of one update, at least 1; the last update of an epoch takes what is left. An
        update moves by the mean over its samples. None takes all.
    shuffle
        Whether each epoch has an order of its own; else it is that of the data.

    Raises
    ------
    ConfigError
        The rule has no meaning for the network, the data does not fit it, or a rate or the
        batch size is no such number.

    Attributes
    ----------
    items
        The trajectories, in the order of `networks`.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        data: Data,
        *,
        lrs: Sequence[float],
        rule: str,
        seed: int = 0,
        batch_size: int | None = None,
        shuffle: bool = True,
    ) -> None:
        for lr in lrs:
            if number(lr, "lr") <= 0:
                raise ConfigError(f"lr is {lr!r}: it must be above 0.")
        check_rule(networks[0], rule)
        training = _samples(networks[0], data.inputs, data.targets)
        self._validated = data.validation_inputs is not None
        validation = None
        if data.validation_inputs is not None and data.validation_targets is not None:
            validation = _samples(networks[0], data.validation_inputs, data.validation_targets)
        self._batches = Batches(len(data.inputs), batch_size, seed=seed, shuffle=shuffle)
        spec = kernel_spec(
            networks[0],
            len(data.inputs),
            rule,
            batched=not self._batches.full,
            validated=self._validated,
        )
        self._width = LANES if spec.small and len(networks) > 1 else 1
        self._kernel = load_kernel(spec, self._width, training, validation)
        self.items = [Item(network, validated=self._validated) for network in networks]
        # Groups of `width` share a kernel; lanes left over repeat the first trajectory.
        self._order = [*range(len(networks))] + [0] * (-len(networks) % self._width)
        self._rates = np.array([float(lrs[at]) for at in self._order]).reshape(-1, self._width)
        self.resume()

    def resume(self) -> None:
        """Go on from where the items are: at one step, the first or one restored."""
        (self._step,) = {item.step for item in self.items}
        flats = np.array([self.items[at]._flat for at in self._order])
        start = np.ascontiguousarray(
            flats.reshape(-1, self._width, flats.shape[1]).transpose(0, 2, 1)
        )
        # The state kept is always that of the next step: a round takes the error of a state
        # and then updates it. So its work is used once, and a stall is seen without training.
        self._ahead = start.copy()
        errors, others = self._room(1)
        self._train(range(len(start)), self._step, errors, others)
        for at in range(len(self.items)):
            self._look(at, start, errors, others)
        self._report(errors, others)

    def advance(self, iterations: int) -> Array:
        """Train all on; return the errors after each update, shape (items, iterations).

        From the first step on that is not finite an item's errors are NaN. Those of an item
        that is left say nothing.
        """
        errors, others = self._room(iterations)
        most = min(PART, self._batches.most)
        for first in range(0, iterations, most):
            self._advance(errors[..., first : first + most], others[..., first : first + most])
        return self._report(errors, others)

    def validation_errors(self) -> Array | None:
        """Return those at each step of the last advance, shape (items, iterations).

        Before any advance that of the first step, shape (items, 1); NaN once an item diverged;
        None without validation samples.
        """
        return np.array([item._others for item in self.items]) if self._validated else None

    def leave(self, at: int) -> None:
        """Train an item no further than it takes for the others: nobody needs more of it."""
        self.items[at].left = True

    def _room(self, steps: int) -> tuple[Array, Array]:
        """Return room for errors and validation errors, shape (groups, width, steps)."""
        shape = *self._rates.shape, steps
        return np.empty(shape), np.empty(shape if self._validated else (*shape[:2], 0))

    def _advance(self, errors: Array, others: Array) -> None:
        """Train on for each step of `errors`, at least one, and fill it."""
        steps = errors.shape[2]
        moving = [at for at, item in enumerate(self.items) if item.moving]
        groups = sorted({at // self._width for at in moving})
        before = self._ahead.copy()
        self._train(groups, self._step + 1, errors[..., :-1], others[..., :-1])
        state = self._ahead.copy()
        self._train(groups, self._step + steps, errors[..., -1:], others[..., -1:])
        if steps > 1 and any(self._end(at, state, errors) for at in moving):
            # An item ends within: train each half by itself, down to the very step.
            self._ahead = before
            half = steps // 2
            self._advance(errors[..., :half], others[..., :half])
            self._advance(errors[..., half:], others[..., half:])
            return
        self._step += steps
        for at, item in enumerate(self.items):
            item.step = self._step
            if at in moving:
                self._look(at, state, errors, others)
            else:
                group, lane = divmod(at, self._width)
                errors[group, lane] = item._error
                others[group, lane] = item._other

    def _train(self, groups: Sequence[int], update: int, errors: Array, others: Array) -> None:
        """Do a round for each step of `errors`; the first one's update is number `update`."""
        rows, bounds = self._batches.rows(update, errors.shape[2])
        for at in groups:
            self._kernel(self._ahead[at], self._rates[at], rows, bounds, errors[at], others[at])

    def _end(self, at: int, state: Array, errors: Array) -> str:
        """Return how an item ended at or before the last step of `errors`, which `state` is of."""
        group, lane = divmod(at, self._width)
        flat = state[group, :, lane]
        # What is not finite in a weight stays so.
        if not (np.isfinite(errors[group, lane]).all() and np.isfinite(flat).all()):
            return "diverged"
        ahead = self._ahead[group, :, lane]
        # To the bit: 0.0 is not -0.0.
        return "stalled" if self._batches.full and flat.tobytes() == ahead.tobytes() else ""

    def _look(self, at: int, state: Array, errors: Array, others: Array) -> None:
        """See where an item is at the last step of `errors`, which `state` is of."""
        item, (group, lane) = self.items[at], divmod(at, self._width)
        end = self._end(at, state, errors)
        if end == "diverged":
            item.diverged_at = self._step
            errors[group, lane, -1] = np.nan
            others[group, lane, -1:] = np.nan
        elif end == "stalled" and item.stalled_at is None:
            item.stalled_at = self._step
        item._flat = state[group, :, lane].copy()
        item._error = float(errors[group, lane, -1])
        if self._validated:
            item._other = float(others[group, lane, -1])

    def _report(self, errors: Array, others: Array) -> Array:
        """Return errors, shape (items, steps); give each item its validation errors."""
        for at, item in enumerate(self.items):
            item._others = others[divmod(at, self._width)]
        return errors.reshape(len(self._order), -1)[: len(self.items)]


def _samples(network: Network, inputs: Array, targets: Array) -> tuple[Array, Array]:
    check_fit(network, inputs, targets)
    first, second = (np.ascontiguousarray(a, dtype=np.float64) for a in (inputs, targets))
    return first, second
