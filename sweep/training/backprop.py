"""The built-in trainer: backpropagation in a compiled kernel, one or several trajectories.

An iteration is one update, by all samples or by a mini-batch. The error after it is taken over
all samples, so the curve, its best step and its thresholds do not depend on the batch size. The
samples of an update follow from the seed and the update's number.

The bits of a trajectory depend on its own initial weights and rate only: not on the other
trajectories, the slices or the validation samples.
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
from sweep.training.protocol import Batch, StepValues

if TYPE_CHECKING:
    from sweep.training.data import Data

__all__ = ["ALGORITHM", "Backprop", "Item"]

ALGORITHM = "3"
"""Part of every signature; changes when any bit of a result may change."""

PART = 2**17
"""Iterations between two checks for stalled and diverged trajectories, at most."""

Array = npt.NDArray[np.float64]


class Item:
    """One trajectory of a trainer, at the trainer's step.

    Attributes
    ----------
    step
        The number of iterations done.
    stalled_at
        The first step whose update changes no bit of any weight; every later step equals it.
        None with a batch size, where the next batch may change one.
    diverged_at
        The first step at which a weight, an output or the error is not finite; the weights
        are those of this step.
    """

    def __init__(self, network: Network, data: Data) -> None:
        self._network = network
        self._data = data
        self.flat = network.flat()
        self._error = np.nan
        self._validation_error = np.nan
        self.step = 0
        self.stalled_at: int | None = None
        self.diverged_at: int | None = None
        self.left = False

    @property
    def moving(self) -> bool:
        """Whether more steps are needed and can differ from this one."""
        return self.stalled_at is None and self.diverged_at is None and not self.left

    def error(self) -> float:
        """Return the current error; NaN once it diverged."""
        return self._error

    def weights(self) -> dict[str, float | Array]:
        """Return the current weights, as Network.named."""
        return self._network.replace(self.flat).named()

    def metrics(self) -> dict[str, float]:
        """Return the accuracy now, where targets are classes; not once it diverged."""
        data = self._data
        if data.preparation.classes is None and self._network.loss != "cross_entropy":
            return {}
        network = self._network.replace(self.flat)
        found = {"accuracy": network.accuracy(data.inputs, data.targets)}
        if data.validation_inputs is not None and data.validation_targets is not None:
            found["validation_accuracy"] = network.accuracy(
                data.validation_inputs, data.validation_targets
            )
        return found

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs; invalid once it diverged."""
        stalled = -1 if self.stalled_at is None else self.stalled_at
        return {"step": self.step, "weights": self.flat.copy(), "stalled_at": stalled}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; see Backprop.restore."""
        self.flat = self._network.replace(np.asarray(state["weights"], dtype=np.float64)).flat()
        self.step = int(state["step"])
        stalled = int(state.get("stalled_at", -1))
        self.stalled_at = None if stalled < 0 else stalled
        self.diverged_at = None


class Backprop(Batch):
    """Train trajectories of equal networks on the same data.

    Up to LANES trajectories of a small network train in one vector kernel, in about the time of
    two separate trainings. Results equal those of separate training.

    Parameters
    ----------
    networks
        The network of each trajectory; they differ in their initial weights only.
    data
        The samples: `inputs` and `targets` are trained on; with `validation_inputs` and
        `validation_targets` the error over these is computed at each step as well.
    lrs
        The learning rate of each trajectory, > 0.
    rule
        How biases move: one of network.RULES.
    seed
        Seed of the sample order, used with a batch size.
    batch_size
        Samples of one update, at least 1; the last update of an epoch takes what is left. An
        update moves by the mean over its samples. None takes all.
    shuffle
        Whether each epoch has an order of its own.

    Raises
    ------
    ConfigError
        The rule does not apply to the network, the data does not fit it, or a rate or the
        batch size is invalid.

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
        self.items = [Item(network, data) for network in networks]
        # Groups of `width` share a kernel; unused lanes repeat the first trajectory.
        self._order = [*range(len(networks))] + [0] * (-len(networks) % self._width)
        self._rates = np.array([float(lrs[at]) for at in self._order]).reshape(-1, self._width)
        self.restore([item.state() for item in self.items])

    def now(self) -> StepValues:
        """Return the values of the current step, shape (items, 1) each."""
        return self._now

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from the items' states, which must be at one step."""
        for item, state in zip(self.items, states, strict=True):
            item.restore(state)
        (self._step,) = {item.step for item in self.items}
        flats = np.array([self.items[at].flat for at in self._order])
        start = np.ascontiguousarray(
            flats.reshape(-1, self._width, flats.shape[1]).transpose(0, 2, 1)
        )
        # The kernel takes the error of a state and then updates it, so the state kept is that
        # of the next step. Comparing the two detects a stall without further training.
        self._ahead = start.copy()
        errors, validation = self._empty(1)
        self._train(range(len(start)), self._step, errors, validation)
        for at in range(len(self.items)):
            self._update(at, start, errors, validation)
        self._now = self._values(errors, validation)

    def advance(self, iterations: int) -> StepValues:
        """Train; errors are NaN from the first non-finite step on, undefined for items left."""
        errors, validation = self._empty(iterations)
        most = min(PART, self._batches.most)
        for first in range(0, iterations, most):
            self._advance(errors[..., first : first + most], validation[..., first : first + most])
        return self._values(errors, validation)

    def leave(self, at: int) -> None:
        """Stop training an item; its lane may run on with the other ones."""
        self.items[at].left = True

    def _empty(self, steps: int) -> tuple[Array, Array]:
        """Return empty arrays of errors and validation errors, shape (groups, width, steps)."""
        shape = *self._rates.shape, steps
        return np.empty(shape), np.empty(shape if self._validated else (*shape[:2], 0))

    def _values(self, errors: Array, validation: Array) -> StepValues:
        """Return the values of the items; the lanes that repeat the first one are dropped."""
        count = len(self.items)
        flat, other = (
            array.reshape(len(self._order), -1)[:count] for array in (errors, validation)
        )
        return StepValues(flat, other if self._validated else None)

    def _advance(self, errors: Array, validation: Array) -> None:
        """Train for the steps of `errors`, at least one, and fill it."""
        steps = errors.shape[2]
        moving = [at for at, item in enumerate(self.items) if item.moving]
        groups = sorted({at // self._width for at in moving})
        before = self._ahead.copy()
        self._train(groups, self._step + 1, errors[..., :-1], validation[..., :-1])
        state = self._ahead.copy()
        self._train(groups, self._step + steps, errors[..., -1:], validation[..., -1:])
        if steps > 1 and any(self._end(at, state, errors) for at in moving):
            # An item stalls or diverges within: bisect to find the step.
            self._ahead = before
            half = steps // 2
            self._advance(errors[..., :half], validation[..., :half])
            self._advance(errors[..., half:], validation[..., half:])
            return
        self._step += steps
        for at, item in enumerate(self.items):
            item.step = self._step
            if at in moving:
                self._update(at, state, errors, validation)
            else:
                group, lane = divmod(at, self._width)
                errors[group, lane] = item._error
                validation[group, lane] = item._validation_error

    def _train(self, groups: Sequence[int], update: int, errors: Array, validation: Array) -> None:
        """Run the kernel for the steps of `errors`, from update number `update` on."""
        rows, bounds = self._batches.rows(update, errors.shape[2])
        for at in groups:
            self._kernel(self._ahead[at], self._rates[at], rows, bounds, errors[at], validation[at])

    def _end(self, at: int, state: Array, errors: Array) -> str:
        """Return whether an item diverged or stalled by the last step of `errors`, of `state`."""
        group, lane = divmod(at, self._width)
        flat = state[group, :, lane]
        # A non-finite weight stays non-finite.
        if not (np.isfinite(errors[group, lane]).all() and np.isfinite(flat).all()):
            return "diverged"
        ahead = self._ahead[group, :, lane]
        # To the bit: 0.0 is not -0.0.
        return "stalled" if self._batches.full and flat.tobytes() == ahead.tobytes() else ""

    def _update(self, at: int, state: Array, errors: Array, validation: Array) -> None:
        """Update an item from `state`, which belongs to the last step of `errors`."""
        item, (group, lane) = self.items[at], divmod(at, self._width)
        end = self._end(at, state, errors)
        if end == "diverged":
            item.diverged_at = self._step
            errors[group, lane, -1] = np.nan
            validation[group, lane, -1:] = np.nan
        elif end == "stalled" and item.stalled_at is None:
            item.stalled_at = self._step
        item.flat = state[group, :, lane].copy()
        item._error = float(errors[group, lane, -1])
        if self._validated:
            item._validation_error = float(validation[group, lane, -1])


def _samples(network: Network, inputs: Array, targets: Array) -> tuple[Array, Array]:
    check_fit(network, inputs, targets)
    first, second = (np.ascontiguousarray(a, dtype=np.float64) for a in (inputs, targets))
    return first, second
