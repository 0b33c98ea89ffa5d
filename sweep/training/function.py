"""A generator function as a trainer: each value that it yields is the error one iteration on."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.training.curve import Points
from sweep.training.protocol import BatchOfOne, TrainerError, short

__all__ = ["BatchOfFunction", "Function"]

ERROR, VALIDATION, WEIGHTS = "error", "validation_error", "weights"


class Function:
    """What a generator yields, as a trainer gives it.

    The first value is the error before training, step 0; each further one is the error after
    one more iteration. A mapping names several values, ``error`` among them: each other name is
    a curve of its own, ``validation_error`` the validation curve, and ``weights`` maps names to
    numbers or arrays, or is a function without arguments that returns such a mapping and is
    called only where a run begins or ends.

    Parameters
    ----------
    name
        What sentences call it.
    values
        The generator, not begun.

    Attributes
    ----------
    stopped
        Whether the generator has returned.

    Raises
    ------
    TrainerError
        By the constructor and `advance`: it yielded something else, or nothing at all.
    """

    def __init__(self, name: str, values: Generator[Any]) -> None:
        self.__name__ = name
        self.stopped = False
        self._values = values
        self._weights: Any = {}
        self._errors: list[float] = []
        self._validation: list[float] = []
        self._named: dict[str, tuple[list[int], list[float]]] = {}
        self._validated = False
        self._step = -1
        if not self._draw():
            raise TrainerError(
                f"{name} ended before it yielded anything; yield the error before training first, "
                "then the error after each iteration."
            )
        self._validated = bool(self._validation)

    def advance(self, iterations: int) -> npt.NDArray[np.float64]:
        """Draw the next values; return the errors, fewer where the generator has returned."""
        self._errors, self._validation, self._named = [], [], {}
        for _ in range(iterations):
            if not self._draw():
                self.stopped = True
                break
        return np.array(self._errors, dtype=np.float64)

    def error(self) -> float:
        """Return the error that was yielded last before any advance."""
        return self._errors[-1]

    def weights(self) -> Mapping[str, Any]:
        """Return the weights that came with the last value; none where it had none."""
        found: Mapping[str, Any] = self._weights() if callable(self._weights) else self._weights
        return found

    def validation_errors(self) -> list[float] | None:
        """Return those of the last advance; None where the first value had none."""
        return self._validation if self._validated else None

    def curves(self) -> dict[str, Points]:
        """Return the steps and values of every other name, of the last advance."""
        return {
            name: (np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64))
            for name, (steps, values) in self._named.items()
        }

    def close(self) -> None:
        """End the generator: its `finally` blocks run."""
        self._values.close()

    def _draw(self) -> bool:
        """Take the next value; return False where there is none."""
        try:
            value = next(self._values)
        except StopIteration:
            return False
        self._step += 1
        named = value if isinstance(value, Mapping) else {ERROR: value}
        if ERROR not in named:
            raise TrainerError(
                f"{self.__name__} yielded {short(value)} at step {self._step}; a mapping must name "
                "the error, as {'error': 0.5, 'accuracy': 0.9}."
            )
        self._weights = named.get(WEIGHTS, {})
        for key, one in named.items():
            if key == WEIGHTS:
                continue
            number = self._number(str(key), one)
            if key == ERROR:
                self._errors.append(number)
            elif key == VALIDATION:
                self._take_validation(number)
            else:
                steps, values = self._named.setdefault(str(key), ([], []))
                steps.append(self._step)
                values.append(number)
        if self._validated and VALIDATION not in named:
            self._validation.append(np.nan)
        return True

    def _take_validation(self, number: float) -> None:
        if self._step and not self._validated:
            raise TrainerError(
                f"{self.__name__} yielded a {VALIDATION} at step {self._step} and none at step 0; "
                "yield one with the first value, too."
            )
        self._validation.append(number)

    def _number(self, key: str, value: Any) -> float:
        if not isinstance(value, str | bytes):
            try:
                return float(value)
            except (TypeError, ValueError):
                pass  # reported below, with the value
        what = "" if key == ERROR else f" as {key!r}"
        raise TrainerError(
            f"{self.__name__} yielded {short(value)}{what} at step {self._step}; yield a number, "
            "or a mapping of names to numbers, as {'error': 0.5, 'accuracy': 0.9}."
        )


class BatchOfFunction(BatchOfOne):
    """A function as a batch: it may end by itself, and has further curves."""

    def __init__(self, trainer: Function) -> None:
        super().__init__(trainer)
        self._function = trainer

    def advance(self, iterations: int) -> npt.NDArray[np.float64]:
        """Train on; return the errors, shape (1, n), fewer than asked for where it has ended."""
        errors = self._function.advance(iterations)
        self.stopped, self._count = self._function.stopped, len(errors)
        return errors[np.newaxis]

    def curves(self) -> Mapping[str, Points]:
        """Return what else was yielded in the last advance, before any that at step 0."""
        return self._function.curves()

    def close(self) -> None:
        """Close the generator."""
        self._function.close()
