"""What a trainer is, and calls that validate what it returns.

A trainer trains one trajectory from step 0, forward only. ``advance(iterations)`` returns the
errors after each iteration, ``error()`` the current one (step 0 before any advance), ``weights()``
the current weights by name. ``advance(a)`` then ``advance(b)`` equals ``advance(a + b)`` to the
bit; a class for which this does not hold has ``shareable = False``. One that may run in several
threads of a process has ``thread_safe = True``. An optional ``stalled_at`` is the step from which
no weight changes.

Optional methods: ``state()`` returns what is needed to continue, arrays, numbers and texts by name,
and ``restore(state)`` loads it into a new object; ``metrics()`` returns numbers by name at the end
of a run; ``validation_errors()`` returns the validation errors after each iteration of the last
advance, shape (iterations,), or before any advance that of step 0, shape (1,): NaN where missing,
or None without validation samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.checks import escaped
from sweep.training.curve import Points

Values = npt.NDArray[np.float64]

NO_NUMBERS = (
    *(type(None), str, bytes, bytearray, memoryview),
    *(np.complexfloating, np.datetime64, np.timedelta64),
)
"""Types that NumPy or `float` converts although their values are no real numbers."""


class TrainerError(TypeError):
    """A trainer violates the protocol; the message names the class and the method."""


@dataclass(frozen=True)
class StepValues:
    """Values of a batch at consecutive steps."""

    errors: Values  # shape (items, steps)
    validation: Values | None = None  # same shape
    named: Mapping[str, Points] = field(default_factory=dict)
    """Points of further curves at these steps; batches of one only."""

    stopped: bool = False  # no further steps; batches of one only


class Batch:
    """Trajectories trained together; the results of each do not depend on the others."""

    items: Sequence[Any]
    """The trajectories, each a trainer without `advance` and `error`."""

    best: Mapping[str, Any] | None = None
    """Weights kept by early stopping with `patience`; batches of one only."""

    def now(self) -> StepValues:
        """Return the values of step 0, before any advance."""
        raise NotImplementedError

    def advance(self, iterations: int) -> StepValues:
        """Train all items, by at least one iteration; fewer steps if a batch of one has stopped."""
        raise NotImplementedError

    def state_of(self, at: int) -> dict[str, npt.NDArray[Any]] | None:
        """Return what is needed to continue an item; None if its trainer cannot."""
        return checked_state(self.items[at]) if resumable(self.items[at]) else None

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from one state for each item, all at one step."""
        for item, state in zip(self.items, states, strict=True):
            item.restore(state)

    def leave(self, at: int) -> None:
        """Stop training an item."""

    def close(self) -> None:
        """End the training."""


class BatchOfOne(Batch):
    """Any trainer as a batch; methods raise TrainerError if it violates the protocol."""

    def __init__(self, trainer: Any) -> None:
        self.items = [trainer]
        self._validated = hasattr(trainer, "validation_errors")

    def now(self) -> StepValues:
        """Return the error and the validation error, shape (1, 1) each."""
        call, value = _called(self.items[0], "error")
        error = checked_numbers(value, call, (), "it must be one number")
        validation = self._validation(1, "before any advance")
        self._validated = validation is not None
        return StepValues(error.reshape(1, 1), validation)

    def advance(self, iterations: int) -> StepValues:
        """Train; validation errors are NaN where a trainer that had some returns None."""
        call, value = _called(self.items[0], "advance", iterations)
        must = f"it must return one error for each iteration, shape ({iterations},)"
        errors = checked_numbers(value, call, (iterations,), must)
        validation = self._validation(iterations, "after that many iterations")
        if self._validated and validation is None:
            validation = np.full((1, iterations), np.nan)
        return StepValues(errors[np.newaxis], validation)

    def _validation(self, count: int, when: str) -> Values | None:
        if not self._validated:
            return None
        call, value = _called(self.items[0], "validation_errors")
        if value is None:
            return None
        must = f"{when} it must have shape ({count},)"
        return checked_numbers(value, call, (count,), must)[np.newaxis]


def checked_metrics(trainer: object) -> dict[str, float]:
    """Return the trainer's own metrics; empty without a method `metrics`."""
    if not hasattr(trainer, "metrics"):
        return {}
    call, values = _named(trainer, "metrics")
    return {
        name: float(checked_numbers(value, f"{call}, {name!r}", (), "it must be one number"))
        for name, value in values.items()
    }


def snapshot(trainer: object) -> dict[str, Any]:
    """Return copies of the current weights, scalars as float."""
    call, values = _named(trainer, "weights")
    arrays = {name: checked_numbers(value, f"{call}, {name!r}") for name, value in values.items()}
    return {name: array if array.ndim else float(array) for name, array in arrays.items()}


def checked_stall(trainer: object) -> int | None:
    """Return the step from which no weight changes; None if the trainer has None or NaN."""
    step = getattr(trainer, "stalled_at", None)
    number = None if isinstance(step, bool | np.bool_) else floats(np.nan if step is None else step)
    if number is None or number.shape or number < np.ceil(number):
        name = type(trainer).__name__
        raise TrainerError(f"{name}.stalled_at is {short(step)}; it must be an integer or None.")
    return int(number) if np.isfinite(number) else None


def resumable(trainer: object) -> bool:
    """Return whether a trainer has both state() and restore()."""
    return all(callable(getattr(trainer, name, None)) for name in ("state", "restore"))


def checked_state(trainer: object) -> dict[str, npt.NDArray[Any]]:
    """Return copies of the current state as arrays of numbers, booleans or text."""
    call, values = _named(trainer, "state")
    arrays = {name: np.array(value) for name, value in values.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufcSU":
            raise TrainerError(
                f"{call}, {name!r} is {short(values[name])}; it must be a number, a text or an "
                "array of them."
            )
    return arrays


def _called(trainer: object, method: str, *arguments: int) -> tuple[str, Any]:
    """Call a method; return the call as text for messages, and its result."""
    name = getattr(trainer, "__name__", type(trainer).__name__)
    if not callable(getattr(trainer, method, None)):
        raise TrainerError(f"{name} has no method {method}; a trainer needs it.")
    call = f"{name}.{method}({', '.join(map(str, arguments))})"
    return call, getattr(trainer, method)(*arguments)


def _named(trainer: object, method: str) -> tuple[str, dict[str, Any]]:
    call, values = _called(trainer, method)
    if not isinstance(values, Mapping):
        kind = "arrays" if method == "state" else "numbers"
        raise TrainerError(f"{call} returned {short(values)}; it must map names to {kind}.")
    return call, {escaped(str(name)): value for name, value in values.items()}


def checked_numbers(
    value: Any, call: str, shape: tuple[int, ...] | None = None, must: str = ""
) -> Values:
    """Return a float64 copy; raise TrainerError for a value that is none of real numbers.

    Any shape is accepted if `shape` is None; `must` says in the message which one is not.
    """
    array = floats(value)
    if array is None:
        must = "it must be a number or an array of them"
        raise TrainerError(f"{call} returned {short(value)}; {must}.")
    if shape is not None and array.shape != shape:
        raise TrainerError(f"{call} returned shape {array.shape}; {must}.")
    return array


def floats(value: Any) -> Values | None:
    """Return a float64 copy; None for a value that is, or holds, anything but real numbers."""
    with suppress(TypeError, ValueError, OverflowError):
        # a PyTorch tensor may have a gradient or be on another device
        given = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        cells = given.flat if given.dtype.kind == "O" else (value,)
        if given.dtype.kind in "cSUTMm" or any(isinstance(one, NO_NUMBERS) for one in cells):
            return None
        return np.array(given, dtype=np.float64)
    return None


def short(value: Any) -> str:
    """Return the repr of a value on one line, cut to 60 characters."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
