"""Train one trajectory and say what came of it: the error curve, its landmarks, the weights.

Nothing here knows Hydra, MLflow or the disk. A trajectory is trained once; every run that
ends on it is a prefix, so each number below depends on the steps up to the run's last one
and on nothing else: not on slices, company or what follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sweep.curve import ErrorCurve

__all__ = [
    "RunResult",
    "Trainer",
    "TrainerError",
    "train",
]

SLICE_SECONDS = 0.1
"""Aim for the length of one call into a trainer, so that signals and progress act in between."""

Weights = Mapping[str, Any]
Values = npt.NDArray[np.float64]


class TrainerError(TypeError):
    """A trainer broke its protocol; the message names the class and the method."""


class Trainer(Protocol):
    """What trains: one trajectory from its start, forward only.

    ``advance(a)`` then ``advance(b)`` equals ``advance(a + b)`` to the bit. A class that
    cannot promise it has ``shareable = False``; one that may run beside others in the
    threads of one process has ``thread_safe = True``. An optional ``stalled_at`` is the
    step from which on no weight changes, once that is known.

    Optional methods: ``metrics()`` names numbers at the end of a run;
    ``validation_errors()`` returns the errors on other samples at each step of the last
    advance, shape (iterations,), before any advance that of step 0, shape (1,); NaN where
    none was taken; None where there is nothing to validate on.
    """

    def advance(self, iterations: int) -> npt.ArrayLike:
        """Train on; return the errors after each iteration, shape (iterations,)."""
        ...

    def error(self) -> float:
        """Return the error now (step 0 before any advance)."""
        ...

    def weights(self) -> Mapping[str, float | npt.ArrayLike]:
        """Return the weights now, by name."""
        ...


@dataclass(frozen=True)
class RunResult:
    """What one run produced; plain values that travel between processes.

    Attributes
    ----------
    iters
        Iterations asked for.
    outcome
        ``completed``, ``diverged`` (NaN or infinity at ``diverged_at``) or ``interrupted``.
    steps, errors
        The kept curve: int64 steps ascending from 0 and their finite errors, same shape.
    best_error, best_step
        The smallest error of **all** steps and the first step that has it.
    final_error
        Error after the last iteration; None unless completed.
    diverged_at, stalled_at
        First step with a non-finite value; first step from which on no weight changes.
    thresholds
        For each k of THRESHOLDS the first step with error <= 10^-k, or None.
    initial_weights, final_weights
        By name; scalars as float, arrays as float64 arrays. A diverged run's may be non-finite.
    train_seconds
        Seconds of training from the start of the trajectory to this run's last step.
    metrics
        Extra metrics of a user's trainer at the end of the run.
    validation
        Validation errors at `steps`, NaN where none was taken; None without validation.
    final_validation_error, best_validation_error
        That after the last iteration, None unless completed; the smallest of all steps.
    """

    iters: int
    outcome: str
    steps: npt.NDArray[np.int64]
    errors: npt.NDArray[np.float64]
    best_error: float | None
    best_step: int | None
    initial_error: float | None
    final_error: float | None
    diverged_at: int | None
    stalled_at: int | None
    thresholds: Mapping[int, int | None]
    initial_weights: Weights
    final_weights: Weights
    train_seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    validation: npt.NDArray[np.float64] | None = None
    final_validation_error: float | None = None
    best_validation_error: float | None = None


def train(
    trainer: Trainer,
    stops: Sequence[int],
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda iterations: None,
    max_seconds: float | None = None,
) -> Iterator[RunResult]:
    """Train one trajectory and yield a result at each of `stops`, in ascending order.

    Parameters
    ----------
    trainer
        A fresh trainer at step 0.
    stops
        The iteration counts of the runs that end on this trajectory, ascending, distinct.
    stop
        Asked between slices; once true, the runs that are left end as ``interrupted``.
    progress
        Told the iterations of each slice that is done.
    max_seconds
        Training time after which the runs that are left end as ``interrupted``.

    Raises
    ------
    TrainerError
        The trainer returned something else than its protocol says.
    """
    seconds = 0.0
    step = 0
    size = 1
    initial = _snapshot(trainer)
    first = _checked_validation(trainer, 1, "before any advance")
    curve = ErrorCurve(_checked_error(trainer), None if first is None else float(first[0]))

    def result(iters: int, outcome: str) -> RunResult:
        stalled_at = getattr(trainer, "stalled_at", None)
        if stalled_at is not None and (stalled_at > iters or curve.diverged_at is not None):
            stalled_at = None
        steps, errors = curve.points()
        finite = len(steps) > 0
        return RunResult(
            iters=iters,
            outcome=outcome,
            steps=steps,
            errors=errors,
            best_error=curve.best_error if finite else None,
            best_step=curve.best_step if finite else None,
            initial_error=float(errors[0]) if finite else None,
            final_error=float(errors[-1]) if outcome == "completed" else None,
            diverged_at=curve.diverged_at,
            stalled_at=stalled_at,
            thresholds=dict(curve.thresholds),
            initial_weights=initial,
            final_weights=_snapshot(trainer),
            train_seconds=seconds,
            metrics=_checked_metrics(trainer) if outcome != "diverged" else {},
            validation=curve.validation(),
            final_validation_error=(
                curve.final_validation_error() if outcome == "completed" else None
            ),
            best_validation_error=curve.best_validation_error,
        )

    for position, iters in enumerate(stops):
        while step < iters and curve.diverged_at is None:
            if stop() or (max_seconds is not None and seconds >= max_seconds):
                for left in stops[position:]:
                    yield result(left, "interrupted")
                return
            count = min(size, iters - step)
            started = time.perf_counter()
            errors, others = _checked_slice(trainer, count, curve.has_validation)
            elapsed = time.perf_counter() - started
            seconds += elapsed
            step += count
            curve.extend(errors, others)
            progress(count)
            if count == size:
                size = _next_size(size, elapsed)
        yield result(iters, "completed" if curve.diverged_at is None else "diverged")


def _next_size(size: int, elapsed: float) -> int:
    """Return the next slice's iterations: grow at most tenfold towards SLICE_SECONDS."""
    wanted = size * SLICE_SECONDS / max(elapsed, 1e-9)
    return max(1, min(size * 10, int(wanted), 2**21))


def _checked_slice(trainer: Trainer, count: int, validated: bool) -> tuple[Values, Values | None]:
    told = f"{type(trainer).__name__}.advance({count})"
    errors = _numbers(_called(trainer, "advance", count), told)
    if errors.shape != (count,):
        raise TrainerError(
            f"{told} returned shape {errors.shape}; "
            f"it must return one error for each iteration, shape ({count},)."
        )
    others = _checked_validation(trainer, count, f"after {told}") if validated else None
    return errors, np.full(count, np.nan) if validated and others is None else others


def _checked_validation(trainer: Trainer, count: int, when: str) -> Values | None:
    if not hasattr(trainer, "validation_errors"):
        return None
    told = f"{type(trainer).__name__}.validation_errors()"
    value = _called(trainer, "validation_errors")
    if value is None:
        return None
    errors = _numbers(value, told)
    if errors.shape != (count,):
        raise TrainerError(
            f"{told} returned shape {errors.shape}; {when} it must have shape ({count},)."
        )
    return errors


def _checked_error(trainer: Trainer) -> float:
    told = f"{type(trainer).__name__}.error()"
    value = _numbers(_called(trainer, "error"), told)
    if value.ndim:
        raise TrainerError(f"{told} returned shape {value.shape}; it must return one number.")
    return float(value)


def _checked_metrics(trainer: Trainer) -> dict[str, float]:
    if not hasattr(trainer, "metrics"):
        return {}
    metrics = {}
    for name, array in _named_numbers(trainer, "metrics").items():
        if array.ndim:
            raise TrainerError(
                f"{type(trainer).__name__}.metrics() returned {name!r} of shape {array.shape}; "
                "it must be one number."
            )
        metrics[name] = float(array)
    return metrics


def _snapshot(trainer: Trainer) -> dict[str, Any]:
    weights = _named_numbers(trainer, "weights")
    return {name: array if array.ndim else float(array) for name, array in weights.items()}


def _named_numbers(trainer: Trainer, method: str) -> dict[str, npt.NDArray[np.float64]]:
    """Call a method that names numbers; return copies, as the trainer may go on to change them."""
    told = f"{type(trainer).__name__}.{method}()"
    values = _called(trainer, method)
    if not isinstance(values, Mapping):
        raise TrainerError(f"{told} returned {_short(values)}; it must map names to numbers.")
    return {str(name): _numbers(item, f"{told}, {name!r}") for name, item in values.items()}


def _called(trainer: Trainer, method: str, *arguments: int) -> Any:
    if not callable(getattr(trainer, method, None)):
        raise TrainerError(f"{type(trainer).__name__} has no method {method}; a trainer needs it.")
    return getattr(trainer, method)(*arguments)


def _numbers(value: Any, told: str) -> npt.NDArray[np.float64]:
    """Return a float64 copy; None is no number here, though NumPy reads it as NaN."""
    try:
        if value is not None:
            return np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass  # told below, with the value
    raise TrainerError(f"{told} returned {_short(value)}; it must be a number or an array of them.")


def _short(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
