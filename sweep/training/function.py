"""Generator functions as trainers."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from sweep.checks import escaped
from sweep.training.protocol import Batch, StepValues, TrainerError, checked_numbers, floats, short

ERROR, VALIDATION, WEIGHTS = "error", "validation_error", "weights"


class Function(Batch):
    """A batch of one trajectory, trained by a generator.

    The generator yields the error before training (step 0), then the error after each iteration;
    or mappings with ``error`` and further values. ``validation_error`` is the validation curve;
    ``weights`` maps names to numbers or arrays, or is a function without arguments that returns
    such a mapping, called only where a run begins or ends; any other name is a further curve.

    The constructor and `advance` raise TrainerError if it yields anything else or no value at all.
    `name` is the function's, for messages; `values` is the generator, not started.
    """

    def __init__(self, name: str, values: Generator[Any]) -> None:
        self.__name__ = name
        self.items = [self]
        self._values = values
        self._weights: Any = {}
        self._validated = True
        self._step = -1
        self._failure: Exception | None = None
        self._first = self.advance(1)
        if self._first.stopped:
            raise TrainerError(
                f"{name} ended before it yielded anything; yield the error before training first, "
                "then the error after each iteration."
            )
        self._validated = self._first.validation is not None

    def now(self) -> StepValues:
        """Return the values of step 0."""
        return self._first

    def weights(self) -> Mapping[str, Any]:
        """Return the weights yielded with the last value; empty if there were none."""
        found: Mapping[str, Any] = self._weights() if callable(self._weights) else self._weights
        return found

    def advance(self, iterations: int) -> StepValues:
        """Take the next values; fewer than `iterations` if the generator returns.

        If it raises after some of them, these are returned, and the next call raises.
        """
        rows: list[dict[str, float]] = []
        first = self._step + 1
        if self._failure is not None:
            raise self._failure
        try:
            for value in self._values if iterations else ():
                self._step += 1
                rows.append(self._numbers(value))
                if len(rows) == iterations:
                    break
        except Exception as error:
            if not rows:
                raise
            self._failure = error
        validated = self._validated and (first > 0 or any(VALIDATION in row for row in rows))
        errors = np.array([[row.pop(ERROR) for row in rows]])
        validation = np.array([[row.pop(VALIDATION, np.nan) for row in rows]])
        named = {}
        for name in dict.fromkeys(name for row in rows for name in row):
            steps = [step for step, row in enumerate(rows, first) if name in row]
            values = np.array([row[name] for row in rows if name in row])
            named[escaped(name)] = np.array(steps), values
        stopped = len(rows) < iterations and self._failure is None
        return StepValues(errors, validation if validated else None, named, stopped)

    def close(self) -> None:
        """Close the generator; its `finally` blocks run."""
        self._values.close()

    def _numbers(self, value: Any) -> dict[str, float]:
        """Return the numbers of a yielded value by name, and store its weights."""
        named = value if isinstance(value, Mapping) else {ERROR: value}
        if ERROR not in named:
            raise TrainerError(
                f"{self.__name__} yielded {short(value)} at step {self._step}; a mapping must name "
                "the error, as {'error': 0.5, 'accuracy': 0.9}."
            )
        if VALIDATION in named and not self._validated:
            raise TrainerError(
                f"{self.__name__} yielded a {VALIDATION} at step {self._step} and none at step 0; "
                "yield one with the first value, too."
            )
        self._weights = weights = named.get(WEIGHTS, {})
        if WEIGHTS in named and isinstance(weights, Mapping):  # it may change them and then return
            what = f"{self.__name__}.weights() at step {self._step}"
            self._weights = {
                key: checked_numbers(one, f"{what}, {str(key)!r}") for key, one in weights.items()
            }
        return {str(key): self._number(key, one) for key, one in named.items() if key != WEIGHTS}

    def _number(self, key: Any, value: Any) -> float:
        if isinstance(value, float):  # the usual one, at every step
            return float(value)
        number = floats(value)
        if number is not None and number.size == 1:
            return float(number.item())
        what = "" if key == ERROR else f" as {str(key)!r}"
        raise TrainerError(
            f"{self.__name__} yielded {short(value)}{what} at step {self._step}; yield a number, "
            "or a mapping of names to numbers, as {'error': 0.5, 'accuracy': 0.9}."
        )
