"""The trainer protocol, and calls that validate what a trainer returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sweep.training.curve import Points

__all__ = [
    "Batch",
    "BatchOfOne",
    "Trained",
    "Trainer",
    "TrainerError",
    "checked_error",
    "checked_metrics",
    "checked_state",
    "resumable",
    "short",
    "snapshot",
]

Values = npt.NDArray[np.float64]


class TrainerError(TypeError):
    """A trainer broke its protocol; the message names the class and the method."""


class Trained(Protocol):
    """What tells where a trajectory is."""

    def error(self) -> float:
        """Return the error now (step 0 before any advance)."""
        ...

    def weights(self) -> Mapping[str, float | npt.ArrayLike]:
        """Return the weights now, by name."""
        ...


class Trainer(Trained, Protocol):
    """What trains: one trajectory from its start, forward only.

    ``advance(a)`` then ``advance(b)`` equals ``advance(a + b)`` to the bit. A class that
    cannot promise it has ``shareable = False``; one that may run beside others in the
    threads of one process has ``thread_safe = True``. An optional ``stalled_at`` is the
    step from which on no weight changes, once that is known.

    Optional methods: ``state()`` returns all that is needed to go on from here, arrays, numbers
    and texts by name, and ``restore(state)`` takes it in a fresh object; ``metrics()`` names
    numbers at the end of a run;
    ``validation_errors()`` returns the errors on other samples at each step of the last
    advance, shape (iterations,), before any advance that of step 0, shape (1,); NaN where
    none was taken; None where there is nothing to validate on.
    """

    def advance(self, iterations: int) -> npt.ArrayLike:
        """Train on; return the errors after each iteration, shape (iterations,)."""
        ...


class Batch(Protocol):
    """Trajectories that are trained together; what each gives does not depend on the others.

    Attributes
    ----------
    items
        The trajectories, each a Trainer without `advance`.
    stopped
        Whether the training of a batch of one has ended by itself.
    savable
        Whether the items' states are all that is needed to continue.
    best
        The weights of a batch of one that early stopping keeps, if it is asked for.
    """

    items: Sequence[Any]
    stopped: bool = False
    savable: bool = True
    best: Mapping[str, Any] | None = None

    def advance(self, iterations: int) -> Values:
        """Train all on; return the errors after each iteration, shape (items, iterations).

        Fewer where a batch of one has stopped.
        """
        ...

    def curves(self) -> Mapping[str, Points]:
        """Return new points of a single trajectory's further curves, of the last advance."""
        return {}

    def close(self) -> None:
        """End the training: nothing more is asked of it."""
        return

    def validation_errors(self) -> Values | None:
        """Return those of the last advance, in its shape; before any, of step 0, (items, 1)."""
        ...

    def resume(self) -> None:
        """Go on from where the items were restored: at one step."""
        ...

    def leave(self, at: int) -> None:
        """Train an item no further: nobody needs its errors."""
        ...


class BatchOfOne(Batch):
    """Any trainer as a batch.

    Raises
    ------
    TrainerError
        By each method: the trainer returned something else than its protocol says.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.items = [trainer]
        self._count: int | None = None
        self._told = f"{_name(trainer)}.validation_errors()"

    def advance(self, iterations: int) -> Values:
        """Train on; return the errors, shape (1, iterations)."""
        (trainer,) = self.items
        call = f"{_name(trainer)}.advance({iterations})"
        errors = _numbers(_called(trainer, "advance", iterations), call)
        if errors.shape != (iterations,):
            raise TrainerError(
                f"{call} returned shape {errors.shape}; "
                f"it must return one error for each iteration, shape ({iterations},)."
            )
        self._count = iterations
        return errors[np.newaxis]

    def validation_errors(self) -> Values | None:
        """Return the validation errors; NaN where a trainer that had some gives none."""
        (trainer,) = self.items
        if not hasattr(trainer, "validation_errors"):
            return None
        count = 1 if self._count is None else self._count
        value = _called(trainer, "validation_errors")
        if value is None:
            return None if self._count is None else np.full((1, count), np.nan)
        errors = _numbers(value, self._told)
        if errors.shape != (count,):
            when = "before any advance" if self._count is None else "after that many iterations"
            raise TrainerError(
                f"{self._told} returned shape {errors.shape}; {when} it must have shape ({count},)."
            )
        return errors[np.newaxis]

    def resume(self) -> None:
        """Do nothing: a trainer goes on from what it was restored to."""

    def leave(self, at: int) -> None:
        """Do nothing: a batch without items under way is not advanced."""


def checked_error(trainer: Trained) -> float:
    """Return the error now."""
    call = f"{_name(trainer)}.error()"
    value = _numbers(_called(trainer, "error"), call)
    if value.ndim:
        raise TrainerError(f"{call} returned shape {value.shape}; it must return one number.")
    return float(value)


def checked_metrics(trainer: Trained) -> dict[str, float]:
    """Return the extra metrics now; a trainer need not have any."""
    if not hasattr(trainer, "metrics"):
        return {}
    metrics = {}
    for name, array in _named_numbers(trainer, "metrics").items():
        if array.ndim:
            raise TrainerError(
                f"{_name(trainer)}.metrics() returned {name!r} of shape {array.shape}; "
                "it must be one number."
            )
        metrics[name] = float(array)
    return metrics


def snapshot(trainer: Trained) -> dict[str, Any]:
    """Return copies of the weights now, scalars as float."""
    weights = _named_numbers(trainer, "weights")
    return {name: array if array.ndim else float(array) for name, array in weights.items()}


def resumable(trainer: object) -> bool:
    """Tell whether a trainer can be continued: it has both state() and restore()."""
    return all(callable(getattr(trainer, name, None)) for name in ("state", "restore"))


def checked_state(trainer: Trained) -> dict[str, npt.NDArray[Any]]:
    """Return the state now: copies as arrays of numbers, truth values or text."""
    call = f"{_name(trainer)}.state()"
    values = _called(trainer, "state")
    if not isinstance(values, Mapping):
        raise TrainerError(f"{call} returned {short(values)}; it must map names to arrays.")
    arrays = {str(name): np.array(value) for name, value in values.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufcSU":
            raise TrainerError(
                f"{call}, {name!r} is {short(values[name])}; it must be a number, a text or an "
                "array of them."
            )
    return arrays


def _named_numbers(trainer: Trained, method: str) -> dict[str, npt.NDArray[np.float64]]:
    """Call a method that names numbers; return copies, as the trainer may go on to change them."""
    call = f"{_name(trainer)}.{method}()"
    values = _called(trainer, method)
    if not isinstance(values, Mapping):
        raise TrainerError(f"{call} returned {short(values)}; it must map names to numbers.")
    return {str(name): _numbers(item, f"{call}, {name!r}") for name, item in values.items()}


def _name(trainer: object) -> str:
    """Return what sentences call a trainer: its class, or the function that it is."""
    return str(getattr(trainer, "__name__", type(trainer).__name__))


def _called(trainer: Trained, method: str, *arguments: int) -> Any:
    if not callable(getattr(trainer, method, None)):
        raise TrainerError(f"{_name(trainer)} has no method {method}; a trainer needs it.")
    return getattr(trainer, method)(*arguments)


def _numbers(value: Any, call: str) -> npt.NDArray[np.float64]:
    """Return a float64 copy; None is no number here, though NumPy reads it as NaN."""
    try:
        if value is not None:
            return np.array(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        pass  # reported below, with the value
    raise TrainerError(f"{call} returned {short(value)}; it must be a number or an array of them.")


def short(value: Any) -> str:
    """Return a value as a sentence shows it."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
