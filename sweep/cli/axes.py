"""The axes of a grid: parse and validate overrides, and expand them to grid points."""

from __future__ import annotations

import glob
import inspect
import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
    Sweep,
    Transformer,
)
from hydra.errors import HydraException

from sweep.cli.overrides import PARAMS, key_of, lost_numbers, run_keys
from sweep.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

MOST_VALUES = 100_000  # of a range

DIGITS = 4
"""Significant digits of a computed value; more if the step needs them."""

PLAIN = re.compile(r"[\w.+-]+", re.ASCII)
"""Values that never need quotes, unless they are text that reads as another kind of value."""

ARGUMENTS = inspect.Signature(
    [inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL, annotation=Any)]
)


def parse(loader: ConfigLoader | None, lines: Sequence[str]) -> list[Override]:
    """Parse overrides, with the additional functions of FORMS; `loader` lists options for glob().

    A range becomes a choice of its values, so that ``sort()`` and casts apply to the values under
    each version of Hydra. Raises OverrideParseException; the cause is a ConfigError if a range or
    a function of FORMS has invalid arguments.
    """
    parser = OverridesParser.create(config_loader=loader)
    functions, signatures = parser.functions.functions, parser.functions.definitions
    hydra_range = functions["range"]
    functions["range"] = lambda *ends, **named: _values_of(hydra_range(*ends, **named))
    for name, (form, values) in FORMS.items():
        functions[name] = _function(form, values)
        signatures[name] = ARGUMENTS
    return parser.parse_overrides(list(lines))


def override_problems(override: Override, base: Path) -> list[str]:
    """Return messages if an override is not valid in a grid; relative patterns start at `base`."""
    line, key = str(override.input_line), override.key_or_group
    problems = lost_numbers([override])
    if problems or not override.is_sweep_override():
        return problems
    value: Any = override.value()
    if key.startswith(PARAMS):
        reason = f"name an axis by its key alone, as {line.partition(PARAMS)[2]}"
    elif not run_keys([key]):
        reason = f"{key} says how the command runs and cannot be an axis; give it one value"
    elif isinstance(value, IntervalSweep):
        low, high = value.start or 0.0, value.end or 0.0
        if low < high and ("log" not in value.tags or low > 0):
            return []
        reason = "write interval(a,b) with a < b, and 0 < a where it is tagged log"
    elif isinstance(value, ChoiceSweep) and any(isinstance(one, Sweep) for one in value.list):
        reason = f"a range stands alone; write each value instead, as {key}=1,2,5"
    elif any(True for _ in _lines(override, base)):
        return []
    elif not isinstance(value, Glob):
        reason = "this axis has no values; with a step below 0 a range goes from high to low"
    elif key == "data.file":
        reason = f"no file matches; the pattern is relative to the folder {base}"
    else:
        reason = "nothing matches; glob() picks options of a group, or files for data.file"
    return [f"{line}: {reason}."]


def grid_of(
    overrides: Sequence[Override], base: Path, samples: int = 0, seed: int = 0
) -> list[list[str]]:
    """Return the overrides of each grid point; the last axis varies fastest.

    A later override of a key replaces an earlier one. File patterns are relative to `base`.
    `samples` points are drawn jointly from all intervals, with `seed`.
    """
    last = {override.get_key_element().lstrip("+"): override for override in overrides}
    drawn: dict[str, Any] = {key: one for key, one in last.items() if is_drawn(one)}
    blocks: list[list[tuple[str, ...]]] = []
    for key, override in last.items():
        if key not in drawn:
            blocks.append([(line,) for line in _lines(override, base)])
        elif key == next(iter(drawn)):
            columns = [
                [
                    f"{one.get_key_element()}={value!r}"
                    for value in _draws(name, one.value(), samples, seed)
                ]
                for name, one in drawn.items()
            ]
            blocks.append(list(zip(*columns, strict=True)))
    return [list(itertools.chain(*point)) for point in itertools.product(*blocks)]


def is_drawn(override: Override) -> bool:
    """Whether an axis is an interval, whose values are sampled."""
    return override.is_sweep_override() and isinstance(override.value(), IntervalSweep)


def quoted(text: str, kind: type = object) -> str:
    """Return a value, in quotes if Hydra would not parse it as one of `kind` without them."""
    if PLAIN.fullmatch(text) and kind is object:
        return text
    try:
        override = OverridesParser.create().parse_override(f"key={text}")
        if not override.is_sweep_override() and isinstance(override.value(), kind):
            return text
    except HydraException:
        pass
    return str(QuotedString(text, Quote.single).with_quotes())


def _lines(override: Override, base: Path) -> Iterator[str]:
    key = override.get_key_element()
    value: Any = override.value()
    texts: Iterable[str]
    if isinstance(value, Glob) and key_of(key) == "data.file":
        texts = (QuotedString(name, Quote.double).with_quotes() for name in _files(value, base))
    elif override.is_sweep_override():
        # functions such as choice() and str() return text without the quotes that it had
        texts = (
            quoted(Transformer.str(one), str if type(one) is str else object)
            for one in override.sweep_iterator()
        )
    else:
        texts = [override.get_value_element_as_str()]
    return (f"{key}={text}" for text in texts)


def _files(pattern: Glob, base: Path) -> list[str]:
    found: set[str] = set()
    for include in pattern.include:
        found.update(glob.glob(str(Path(include).expanduser()), root_dir=base, recursive=True))
    return sorted(
        name
        for name in found
        if (base / name).is_file() and not any(fnmatch(name, one) for one in pattern.exclude)
    )


def _values_of(sweep: RangeSweep) -> ChoiceSweep:
    """Return start + i·step up to stop, in decimal arithmetic: 0.3, not 0.30000000000000004."""
    ends = (sweep.start, sweep.stop, sweep.step)
    start, stop, step = (Decimal(str(end)) for end in ends)
    if not (start.is_finite() and stop.is_finite() and step):
        return ChoiceSweep(list=[])
    count = max(0, math.ceil((stop - start) / step))
    if count > MOST_VALUES:
        raise ConfigError(f"these are {count} values; choose a larger step.")
    kind = int if all(isinstance(end, int) for end in ends) else float
    return ChoiceSweep(list=[kind(start + at * step) for at in range(count)])


def _draws(key: str, interval: IntervalSweep, count: int, seed: int) -> list[float | int]:
    """Draw `count` values from an interval; integers if its ends are integers (``int(…)``).

    The values depend on `key` and `seed` only, not on other axes.
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
        value = round(value) if isinstance(low, int) else float(f"{value:.{DIGITS}g}")
        values.append(min(max(value, low), high))
    return values


def _function(form: str, values: Callable[..., Sweep]) -> Callable[..., Sweep]:
    def call(*arguments: Any) -> Sweep:
        try:
            return values(*(Decimal(str(one)) for one in arguments))
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ConfigError(f"write {form}.") from error

    return call


def _spaced(start: Decimal, stop: Decimal, count: Decimal, *, log: bool = False) -> Sweep:
    """Return `count` equidistant values from `start` to `stop`, or these powers of 10 (`log`)."""
    if count != int(count) or not 2 <= count <= MOST_VALUES:
        raise ValueError(count)
    step = (stop - start) / (int(count) - 1)
    values = [*(start + at * step for at in range(int(count) - 1)), stop]
    if log:
        change = min(abs(Decimal(10) ** step - 1), Decimal(1))
        powers = [Decimal(10) ** exponent for exponent in values]
        values = [_rounded(value, value * change) for value in powers]
    else:
        values[1:-1] = [_rounded(value, step) for value in values[1:-1]]
    numbers = [float(value) for value in values]
    if any(
        math.isinf(one) or bool(one) != bool(exact)
        for one, exact in zip(numbers, values, strict=True)
    ):
        raise ValueError(values)
    return ChoiceSweep(list=list(numbers))


def _rounded(value: Decimal, step: Decimal) -> Decimal:
    """Round to DIGITS significant digits of the value or the step, whichever is smaller."""
    if not value or not step:
        return value
    unit = min(value.adjusted(), step.adjusted()) + 1 - DIGITS
    return value.quantize(Decimal(1).scaleb(unit))


def _interval(low: Decimal, high: Decimal, *, log: bool = False) -> Sweep:
    if not low < high or (log and low <= 0):
        raise ValueError(low)
    return IntervalSweep(start=float(low), end=float(high), tags={"log"} if log else set())


COUNT = f"n from 2 to {MOST_VALUES}"

FORMS: dict[str, tuple[str, Callable[..., Sweep]]] = {
    "linspace": (f"linspace(a,b,n): n values from a to b, {COUNT}", _spaced),
    "logspace": (
        f"logspace(a,b,n): n values from 10^a to 10^b, {COUNT}",
        partial(_spaced, log=True),
    ),
    "loguniform": ("loguniform(a,b) with 0 < a < b", partial(_interval, log=True)),
    "uniform": ("uniform(a,b) with a < b", _interval),
}
