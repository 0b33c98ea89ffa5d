"""Ranges of an axis beside Hydra's own: evenly spaced values, and values drawn at random.

Hydra's grammar refuses functions that it does not know. So they are written as what it has:
values as `choice`, what is drawn as `interval`, tagged `log` as Hydra's own sweepers read it.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, RangeSweep

from sweep.errors import ConfigError

__all__ = ["draws", "expanded", "range_values", "value_count"]

MOST_VALUES = 100_000
"""A range of more values is a mistake."""

DIGITS = 4
"""Significant digits of a value, and more where the step needs them: a run's name is exact."""

CALL = re.compile(r"((?:\w+\()*)(logspace|linspace|loguniform|uniform)\(([^()]*)\)(.*)", re.DOTALL)


def expanded(override: str) -> str:
    """Return an override with a range of ours, if it has one, as Hydra can read it.

    Raises
    ------
    ConfigError
        The range has other arguments than it needs.
    """
    key, _, value = override.partition("=")
    call = CALL.fullmatch(value.strip())
    if call is None:
        return override
    before, name, text, after = call.groups()
    form, write = FORMS[name]
    try:
        arguments = [Decimal(argument.strip()) for argument in text.split(",")]
        inner = write(*arguments)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ConfigError(f"{override}: write {form}.") from error
    return f"{key}={before}{inner}{after}"


def _choice(values: list[Decimal]) -> str:
    if not all(
        math.isfinite(float(value)) and bool(float(value)) == bool(value) for value in values
    ):
        raise ValueError(values)
    return f"choice({','.join(repr(float(value)) for value in values)})"


def _linspace(start: Decimal, stop: Decimal, count: Decimal) -> str:
    steps = _steps(count)
    step = (stop - start) / steps
    inner = [_rounded(start + at * step, step) for at in range(1, steps)]
    return _choice([start, *inner, stop])


def _logspace(start: Decimal, stop: Decimal, count: Decimal) -> str:
    steps = _steps(count)
    step = (stop - start) / steps
    change = abs(Decimal(10) ** step - 1)
    values = [Decimal(10) ** (start + at * step) for at in range(steps + 1)]
    return _choice([_rounded(value, value * min(change, Decimal(1))) for value in values])


def _steps(count: Decimal) -> int:
    if count != int(count) or not 2 <= count <= MOST_VALUES:
        raise ValueError(count)
    return int(count) - 1


def _rounded(value: Decimal, step: Decimal) -> Decimal:
    """Return a value with DIGITS significant digits, or as many of its step if that is smaller."""
    if not value or not step:
        return value
    unit = min(value.adjusted(), step.adjusted()) + 1 - DIGITS
    return value.quantize(Decimal(1).scaleb(unit))


def _loguniform(low: Decimal, high: Decimal) -> str:
    if not 0 < low < high:
        raise ValueError(low)
    return f"tag(log,interval({low},{high}))"


def _uniform(low: Decimal, high: Decimal) -> str:
    if not low < high:
        raise ValueError(low)
    return f"interval({low},{high})"


COUNT = f"n from 2 to {MOST_VALUES}"

FORMS: dict[str, tuple[str, Callable[..., str]]] = {
    "linspace": (f"linspace(a,b,n): n values from a to b, {COUNT}", _linspace),
    "logspace": (f"logspace(a,b,n): n values from 10^a to 10^b, {COUNT}", _logspace),
    "loguniform": ("loguniform(a,b) with 0 < a < b", _loguniform),
    "uniform": ("uniform(a,b) with a < b", _uniform),
}


def draws(key: str, interval: IntervalSweep, count: int, seed: int) -> list[float | int]:
    """Return `count` values drawn from an interval; with whole ends (``int(…)``) whole numbers.

    The same key and seed give the same values, whatever other axes there are.
    """
    generator = random.Random(f"{seed} {key}")
    low, high = interval.start, interval.end
    assert low is not None and high is not None
    log = "log" in interval.tags
    ends = (math.log(low), math.log(high)) if log else (low, high)
    values: list[float | int] = []
    for _ in range(count):
        drawn = generator.uniform(*ends)
        value = math.exp(drawn) if log else drawn
        if isinstance(low, int):
            values.append(min(max(round(value), low), high))
        else:
            values.append(min(max(float(f"{value:.{DIGITS}g}"), low), high))
    return values


def _ends(sweep: RangeSweep) -> tuple[Decimal, Decimal, Decimal]:
    start, stop, step = (Decimal(str(end)) for end in (sweep.start, sweep.stop, sweep.step))
    return start, stop, step


def value_count(sweep: RangeSweep) -> int:
    """Return how many values Hydra's ``range`` has."""
    start, stop, step = _ends(sweep)
    return max(0, math.ceil((stop - start) / step)) if step else 0


def range_values(sweep: RangeSweep) -> Iterator[int | float]:
    """Yield start + i·step up to stop, in decimals as they were typed."""
    start, _, step = _ends(sweep)
    whole = all(isinstance(end, int) for end in (sweep.start, sweep.stop, sweep.step))
    for at in range(value_count(sweep)):
        value: Any = int(start + at * step) if whole else float(start + at * step)
        for change in getattr(sweep, "transformers", ()):  # casts, which Hydra 1.4 keeps apart
            value = change(value)
        yield value
