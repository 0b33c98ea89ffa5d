"""Train trajectories of one network abreast: each in a lane of its own, none touching another.

What a trajectory does depends on its own start and rate alone, to the bit: one alone runs
through the same lines here and through a kernel of the same text.

The trajectories always have two states: those of their step and those an update further. A
kernel round takes the error of a state and then updates it, so each round's work is used
once, a stall is seen without training for it, and the cut between two slices changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.checks import number
from sweep.errors import ConfigError
from sweep.training.kernels.spec import LANES, KernelSpec
from sweep.training.network import Network, check_fit, check_rule

if TYPE_CHECKING:
    from sweep.training.data import Data

__all__ = ["Abreast", "Lane", "kernel_spec"]

PART = 2**17
"""Iterations after which is seen whether a trajectory stalled or diverged."""

Array = npt.NDArray[np.float64]


def kernel_spec(network: Network, samples: int, rule: str) -> KernelSpec:
    """Return what a kernel for this network, so many samples and this rule is compiled for."""
    return KernelSpec(
        layers=network.layers,
        activations=network.activations,
        shared=network.bias == "shared",
        loss=network.loss,
        rule=rule,
        single=samples == 1,
    )


class Lane:
    """One of the trajectories: all that a trainer tells, but for `advance`.

    Attributes
    ----------
    flat
        The weights now in the order of Network.names; they are not to be changed.
    step
        The step that they are of.
    stalled_at
        The first step whose update changes no bit of any weight, once the trainer is there;
        every later step equals it.
    diverged_at
        The first step at which a weight, an output or the error is not finite, once passed;
        the weights stay as they are there.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self.flat = network.flat()
        self.step = 0
        self.last_error = np.nan
        self.stalled_at: int | None = None
        self.diverged_at: int | None = None
        self.left = False

    @property
    def moving(self) -> bool:
        """Whether anybody wants to know a step of it that is not known yet."""
        return self.stalled_at is None and self.diverged_at is None and not self.left

    def error(self) -> float:
        """Return the error now."""
        return self.last_error

    def weights(self) -> dict[str, float | Array]:
        """Return the weights now, as Network.named."""
        return self._network.replace(self.flat).named()

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on from here; not once it diverged."""
        stalled = -1 if self.stalled_at is None else self.stalled_at
        return {"step": self.step, "weights": self.flat.copy(), "stalled_at": stalled}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state; Abreast.resume then goes on from it."""
        self.flat = self._network.replace(np.asarray(state["weights"], dtype=np.float64)).flat()
        self.step = int(state["step"])
        stalled = int(state["stalled_at"])
        self.stalled_at = None if stalled < 0 else stalled


class Abreast:
    """Train one trajectory, or up to LANES of them side by side, forward only.

    Parameters
    ----------
    networks
        The first weights of each trajectory; several are equal in all but the weights, and
        small enough for a kernel of their own (KernelSpec.written).
    data
        The samples; its `inputs` and `targets` are trained on, all at each iteration.
    lrs
        The learning rate of each trajectory, > 0.
    rule
        How biases move: one of network.RULES.

    Raises
    ------
    ConfigError
        The rule has no meaning for the network, or the data does not fit it.

    Attributes
    ----------
    items
        The trajectories, in the order of `networks`.
    """

    def __init__(
        self, networks: Sequence[Network], data: Data, *, lrs: Sequence[float], rule: str
    ) -> None:
        from sweep.training.kernels.compiled import load_kernel, load_lanes_kernel  # late: numba

        for lr in lrs:
            if number(lr, "lr") <= 0:
                raise ConfigError(f"lr is {lr!r}: it must be above 0.")
        check_rule(networks[0], rule)
        check_fit(networks[0], data.inputs, data.targets)
        self._inputs = np.ascontiguousarray(data.inputs, dtype=np.float64)
        self._targets = np.ascontiguousarray(data.targets, dtype=np.float64)
        samples = len(self._inputs)
        spec = kernel_spec(networks[0], samples, rule)
        self._kernel = load_kernel(spec) if len(networks) == 1 else load_lanes_kernel(spec)
        self.items = [Lane(network) for network in networks]
        width = 1 if len(networks) == 1 else LANES
        # Lanes left over repeat the first trajectory.
        self._order = [*range(len(networks))] + [0] * (width - len(networks))
        self._rates = np.array([float(lrs[at]) / samples for at in self._order])
        self.resume()

    def resume(self) -> None:
        """Go on from where the lanes are: at one step, the first or one restored."""
        (self._step,) = {lane.step for lane in self.items}
        state = np.stack([self.items[at].flat for at in self._order], axis=1)
        self._ahead = state.copy()
        errors = np.empty((len(self._order), 1))
        self._train(self._ahead, errors)
        for at, lane in enumerate(self.items):
            lane.last_error = float(errors[at, 0])
            if not np.isfinite(lane.last_error):
                lane.diverged_at = self._step
            elif lane.stalled_at is None and _same(state[:, at], self._ahead[:, at]):
                lane.stalled_at = self._step

    def advance(self, iterations: int) -> Array:
        """Train all on; return the errors after each update, shape (lanes, iterations).

        From the first step on that is not finite a trajectory's errors are NaN. Those of a
        trajectory that is left say nothing.
        """
        errors = np.empty((len(self._rates), iterations))
        for begin in range(0, iterations, PART):
            self._advance(errors[:, begin : begin + PART])
        return errors[: len(self.items)]

    def _advance(self, errors: Array) -> None:
        """Train on for each column of `errors`, at least one, and fill it."""
        first = self._step + 1
        self._step += errors.shape[1]
        moving = [lane.moving for lane in self.items]
        if any(moving):
            start = self._ahead.copy()
            self._train(self._ahead, errors[:, :-1])
            state = self._ahead.copy()
            self._train(self._ahead, errors[:, -1:])
        for at, lane in enumerate(self.items):
            lane.step = self._step
            if moving[at]:
                self._look(at, start, state, first, errors[at])
            else:
                errors[at] = lane.last_error if lane.diverged_at is None else np.nan

    def validation_errors(self) -> None:
        """Return None: data with validation is trained alone."""

    def leave(self, at: int) -> None:
        """Say that nobody wants to know more of a trajectory."""
        self.items[at].left = True

    def _train(self, state: Array, errors: Array) -> None:
        """Do a round for each column of `errors` on `state`, shape (scalars, lanes), in place.

        `errors`, shape (lanes, rounds), are taken before each round.
        """
        self._kernel(state.reshape(-1), self._inputs, self._targets, self._rates, errors)

    def _look(self, at: int, start: Array, state: Array, first: int, errors: Array) -> None:
        """See what became of a lane in the part that began at step `first` with `start`."""
        lane = self.items[at]
        lane.flat = state[:, at].copy()
        lane.last_error = float(errors[-1])
        # Errors are never negative, so one maximum finds both NaN and infinity.
        if not (np.isfinite(errors.max()) and np.isfinite(lane.flat).all()):
            self._cut(at, start, first, errors)
        elif _same(lane.flat, self._ahead[:, at]):
            end = lane.flat
            last = len(errors) - 1
            found, _ = self._first(at, start, last, lambda _, flat: _same(flat, end))
            lane.stalled_at = first + found

    def _cut(self, at: int, start: Array, first: int, errors: Array) -> None:
        """Find where a lane left the finite in the part from `start`; cut it there."""
        bad = int(np.argmin(np.isfinite(errors))) if not np.isfinite(errors).all() else len(errors)

        def left(position: int, flat: Array) -> bool:
            return position >= bad or not bool(np.isfinite(flat).all())

        lane = self.items[at]
        found, lane.flat = self._first(at, start, min(bad, len(errors) - 1), left)
        errors[found:] = np.nan
        lane.last_error = float("nan")
        lane.diverged_at = first + found

    def _first(
        self, at: int, start: Array, last: int, true: Callable[[int, Array], bool]
    ) -> tuple[int, Array]:
        """Return the first position in 0 … `last` with ``true(position, flat)``, and its weights.

        Once true for a lane it stays so, and it is so at `last`. Bisects, training from
        `start` again: the work of one part.
        """
        if true(0, start[:, at]):
            return 0, start[:, at].copy()
        low, high = 0, last
        while high - low > 1:
            middle = (low + high) // 2
            state = start.copy()
            self._train(state, np.empty((len(self._rates), middle - low)))
            if true(middle, state[:, at]):
                high = middle
            else:
                low, start = middle, state
        state = start.copy()
        self._train(state, np.empty((len(self._rates), 1)))
        return high, state[:, at].copy()


def _same(one: Array, other: Array) -> bool:
    """Tell whether two states are equal to the bit (0.0 is not -0.0)."""
    return one.tobytes() == other.tobytes()
