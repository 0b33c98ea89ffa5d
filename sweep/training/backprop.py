"""The built-in trainer: backpropagation in a compiled kernel, for one or several trajectories.

An iteration is one update, by all samples or by a mini-batch; the error after it is always over
all samples. The bits of a trajectory do not depend on the other trajectories of its batch, on the
slices or on validation samples.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.training.kernels.spec import LANES, kernel_spec
from sweep.training.network import Network, check_rule
from sweep.training.protocol import Batch, StepValues

if TYPE_CHECKING:
    from sweep.training.data import Data

ALGORITHM = "3"
"""Algorithm version, part of every signature; change it when any bit of a result may change."""

PART = 2**17
"""Most iterations between two checks for stalled and diverged trajectories."""

ORDERED = 2**20
"""Most sample indices generated at once, unless one update needs more."""

SHUFFLE = 0x73687566
"""Separates the random numbers of shuffles from those of weights and splits with equal seed."""

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
NONE: Integers = np.empty(0, dtype=np.int64)

_compiling = threading.Lock()  # threads that need the same kernel compile it once


@lru_cache(maxsize=8)
def epoch_order(seed: int, epoch: int, samples: int) -> Integers:
    """Return the order of the samples in an epoch, shape (samples,)."""
    order = np.random.default_rng([SHUFFLE, seed, epoch]).permutation(samples)
    order.setflags(write=False)
    return order


class MiniBatches:
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
        """Return rows and bounds (see kernels.Kernel) of `count` updates from number `first` on."""
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


class Item:
    """One trajectory of a Backprop batch, at the batch's step."""

    def __init__(self, network: Network, data: Data, position: tuple[int, int]) -> None:
        self._network = network
        self._data = data
        self.position = position  # group and lane
        self.flat = network.flat()  # weights in the order of Network.names
        self.values: Array = np.empty(0)  # error, NaN once diverged, and validation error
        self.step = 0
        self.left = False
        # The first step whose update changes no bit of any weight, so all later steps equal it.
        # None with mini-batches, as the next one may change a weight.
        self.stalled_at: int | None = None
        # The first step with a non-finite weight, output or error; `flat` is that of this step.
        self.diverged_at: int | None = None

    @property
    def moving(self) -> bool:
        """Whether further steps are needed and can differ from this one."""
        return self.stalled_at is None and self.diverged_at is None and not self.left

    def error(self) -> float:
        return float(self.values[0])

    def weights(self) -> dict[str, float | Array]:
        """Return the current weights, as Network.named does."""
        return self._network.replace(self.flat).named()

    def metrics(self) -> dict[str, float]:
        """Return the accuracy if the targets are classes; invalid after divergence."""
        data, network = self._data, self._network.replace(self.flat)
        if data.preparation.classes is None and not network.classifies(data.targets):
            return {}
        found = {"accuracy": network.accuracy(data.inputs, data.targets)}
        if data.validation_inputs is not None and data.validation_targets is not None:
            found["validation_accuracy"] = network.accuracy(
                data.validation_inputs, data.validation_targets
            )
        return found

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`; invalid after divergence."""
        stalled = -1 if self.stalled_at is None else self.stalled_at
        return {"step": self.step, "weights": self.flat.copy(), "stalled_at": stalled}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; called by Backprop.restore."""
        self.flat = np.array(state["weights"], dtype=np.float64)
        self.step = int(state["step"])
        stalled = int(state.get("stalled_at", -1))
        self.stalled_at = None if stalled < 0 else stalled
        self.diverged_at = None


class Backprop(Batch):
    """Train trajectories of equal networks on the same data.

    Up to LANES trajectories of a small network train in one vector kernel, in about the time of
    two separate trainings. Results equal those of separate training. Raises ConfigError if the
    rule does not apply to the network or the data does not fit it.

    Parameters
    ----------
    networks, lrs
        Network and learning rate of each trajectory; networks differ in initial weights only.
    data
        The samples; with validation samples their error is computed at each step, too.
    rule
        How biases move: one of network.RULES.
    seed
        Seed of the sample order; used with `batch_size` only.
    batch_size
        Samples per update, at least 1; the last update of an epoch takes the rest. An update
        uses the mean over its samples. None takes all samples.
    shuffle
        Whether to draw a new order of the samples for each epoch.
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
        check_rule(networks[0], rule)
        training, validation = (data.inputs, data.targets), None
        if data.validation_inputs is not None and data.validation_targets is not None:
            validation = data.validation_inputs, data.validation_targets
        self._validated = validation is not None
        self._batches = MiniBatches(len(data.inputs), batch_size, seed=seed, shuffle=shuffle)
        batched = not self._batches.full
        spec = kernel_spec(
            networks[0], len(data.inputs), rule, batched=batched, validated=self._validated
        )
        width = self._width = LANES if spec.small and len(networks) > 1 else 1
        with _compiling:
            if spec.small:
                from sweep.training.kernels.generated import generated_kernel  # loads LLVM

                self._kernel = generated_kernel(spec, width, training, validation)
            else:
                from sweep.training.kernels.general import general_kernel  # loads numba

                self._kernel = general_kernel(spec, training, validation)
        self.items = [Item(network, data, divmod(at, width)) for at, network in enumerate(networks)]
        # Groups of `width` share a kernel; unused lanes repeat the first trajectory.
        self._order = [*range(len(networks))] + [0] * (-len(networks) % width)
        self._rates = np.array([float(lrs[at]) for at in self._order]).reshape(-1, width)
        self.restore([item.state() for item in self.items])

    def now(self) -> StepValues:
        """Return the values at the restored step, shape (items, 1) each."""
        return self._now

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from the items' states, all at one step."""
        super().restore(states)
        (self._step,) = {item.step for item in self.items}
        flats = np.array([self.items[at].flat for at in self._order])
        start = np.ascontiguousarray(
            flats.reshape(-1, self._width, flats.shape[1]).transpose(0, 2, 1)
        )
        # The kernel computes the error of a state, then updates it: `_ahead` is the state of the
        # next step. Comparing the two detects a stall without further training.
        self._ahead = start.copy()
        values = self._empty(1)
        self._train(range(len(start)), self._step, values)
        for item in self.items:
            self._update(item, start, values)
        self._now = self._step_values(values)

    def advance(self, iterations: int) -> StepValues:
        """Train; errors are NaN from the first non-finite step on, undefined after `leave`."""
        values = self._empty(iterations)
        most = min(PART, self._batches.most)
        for first in range(0, iterations, most):
            self._advance(values[..., first : first + most])
        return self._step_values(values)

    def leave(self, at: int) -> None:
        """Stop training an item; its lane may continue with the others."""
        self.items[at].left = True

    def _empty(self, steps: int) -> Array:
        """Return an array for errors and any validation errors, (kinds, groups, lanes, steps)."""
        return np.empty((1 + self._validated, *self._rates.shape, steps))

    def _step_values(self, values: Array) -> StepValues:
        """Return the values of the items, without unused lanes."""
        rows = values.reshape(len(values), len(self._order), -1)[:, : len(self.items)]
        return StepValues(rows[0], rows[1] if self._validated else None)

    def _advance(self, values: Array) -> None:
        """Train for the steps of `values`, at least one, and fill `values`."""
        steps = values.shape[-1]
        moving = [item for item in self.items if item.moving]
        groups = sorted({item.position[0] for item in moving})
        before = self._ahead.copy()
        self._train(groups, self._step + 1, values[..., :-1])
        state = self._ahead.copy()
        self._train(groups, self._step + steps, values[..., -1:])
        if steps > 1 and any(self._end(item, state, values) for item in moving):
            # An item stalls or diverges within: bisect to find the step.
            self._ahead = before
            self._advance(values[..., : steps // 2])
            self._advance(values[..., steps // 2 :])
            return
        self._step += steps
        for item in self.items:
            item.step = self._step
            if item.moving:
                self._update(item, state, values)
            else:
                values[:, *item.position] = item.values[:, np.newaxis]

    def _train(self, groups: Sequence[int], update: int, values: Array) -> None:
        """Run the kernel for the steps of `values`, starting with update number `update`."""
        rows, bounds = self._batches.rows(update, values.shape[-1])
        for at in groups:
            # Without validation samples the last argument is not written.
            errors, others = values[0, at], values[-1, at]
            self._kernel(self._ahead[at], self._rates[at], rows, bounds, errors, others)

    def _end(self, item: Item, state: Array, values: Array) -> str:
        """Return "diverged", "stalled" or "" for an item after the last step of `values`."""
        group, lane = item.position
        flat, ahead = state[group, :, lane], self._ahead[group, :, lane]
        # A non-finite weight stays non-finite.
        if not (np.isfinite(values[0, group, lane]).all() and np.isfinite(flat).all()):
            return "diverged"
        # Compare bits: 0.0 differs from -0.0.
        return "stalled" if self._batches.full and flat.tobytes() == ahead.tobytes() else ""

    def _update(self, item: Item, state: Array, values: Array) -> None:
        """Update an item from `state`, the one at the last step of `values`."""
        group, lane = item.position
        end = self._end(item, state, values)
        if end == "diverged":
            item.diverged_at = self._step
            values[:, group, lane, -1] = np.nan
        elif end == "stalled" and item.stalled_at is None:
            item.stalled_at = self._step
        item.flat = state[group, :, lane].copy()
        item.values = values[:, group, lane, -1].copy()
