"""The axes of a grid: overrides parsed, refused where they mean nothing, and multiplied."""

from __future__ import annotations

import glob
import itertools
import math
import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException

from sweep.cli.arguments import describes_run, key_of
from sweep.cli.overrides import lost_numbers

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

__all__ = ["default_axes", "doubled_keys", "grid_of", "is_axis", "parse", "refusals", "typed_text"]

MOST_VALUES = 1_000_000
"""A range of more values is a mistake."""

PLAIN = re.compile(r"[\w.+-]+")
"""Values that need no quotes, whatever Hydra reads."""

PROBLEM = {"network": "notebook", "data": "notebook", "trainer": "backprop"}
"""The problem that the default grid belongs to."""


def parse(loader: ConfigLoader | None, lines: Sequence[str]) -> list[Override]:
    """Return the parsed overrides; ``sort()`` of a range sorts its values.

    Hydra 1.3 turns the ends of the range instead, which gives other values.

    Raises
    ------
    OverrideParseException
        Hydra cannot read one of them.
    """
    parser = OverridesParser.create(config_loader=loader)
    functions = parser.functions.functions
    functions["sort"] = _with_values(functions["sort"])
    return parser.parse_overrides(list(lines))


def _with_values(function: Callable[..., Any]) -> Callable[..., Any]:
    def listed(value: object) -> object:
        if not isinstance(value, RangeSweep):
            return value
        return ChoiceSweep(list=list(_range_values(value)), tags=value.tags)

    def call(*args: Any, **named: Any) -> Any:
        return function(*map(listed, args), **{key: listed(one) for key, one in named.items()})

    return call


def is_axis(override: Override) -> bool:
    """Whether an override has several values; an option that was held back has one."""
    return override.is_sweep_override() and "fixed" not in getattr(override.value(), "tags", ())


def typed_text(override: Override) -> str:
    """Return an override as it was typed, without what holds an option back."""
    if override.is_sweep_override() and not is_axis(override):
        return next(_lines(override, Path()))
    return str(override.input_line)


def refusals(override: Override, base: Path) -> list[str]:
    """Return why an override can be no part of a grid, whatever else there is."""
    line, key = typed_text(override), override.key_or_group
    problems = lost_numbers([override])
    if problems or not override.is_sweep_override():
        return problems
    if not override.is_discrete_sweep():
        return [f"{line}: a grid needs single values; list them or write range(a,b,step)."]
    if not describes_run(key) or key == "experiment":
        return [
            f"{line}: {key} says how the command runs and cannot be an axis; give it one value."
        ]
    value: Any = override.value()
    if isinstance(value, RangeSweep) and _count(value) > MOST_VALUES:
        return [f"{line}: these are {_count(value)} values; choose a larger step."]
    if any(True for _ in _lines(override, base)):
        return []
    if not isinstance(value, Glob):
        return [
            f"{line}: this axis has no values; with a step below 0 a range goes from high to low."
        ]
    if key == "data.file":
        return [f"{line}: no file matches; the pattern is relative to the folder {base}."]
    return [f"{line}: nothing matches; glob() picks options of a group, or files for data.file."]


def doubled_keys(overrides: Iterable[Override]) -> list[str]:
    """Return the refusal of each key that is given twice on one command line."""
    seen: dict[tuple[str, str | None], str] = {}
    problems = []
    for override in overrides:
        name, text = (override.key_or_group, override.package), typed_text(override)
        if override.is_delete() or name[0] in ("hydra.mode", "parent"):
            continue
        if name in seen:
            problems.append(f"{seen[name]} and {text}: {name[0]} is given twice; keep one of them.")
        seen[name] = text
    return problems


def default_axes(overrides: Iterable[Override]) -> bool:
    """Whether a command line leaves the problem that the default grid belongs to as it is."""
    for override in overrides:
        group, *below = override.key_or_group.split(".")
        if group not in PROBLEM or override.package is not None:
            continue
        if group != "trainer" if below else override.value() != PROBLEM[group]:
            return False
    return True


def grid_of(
    overrides: Sequence[Override], base: Path, given: Collection[str] = ()
) -> list[list[str]]:
    """Return the override lines of each point of the grid, the first axis slowest.

    Parameters
    ----------
    base
        The folder that patterns of files are relative to.
    given
        Lines that every point has before its own.
    """
    lists = {override.get_key_element(): list(_lines(override, base)) for override in overrides}
    return [[*given, *point] for point in itertools.product(*lists.values())]


def _lines(override: Override, base: Path) -> Iterator[str]:
    """Yield an override line for each value."""
    key = override.get_key_element()
    value: Any = override.value()
    texts: Iterable[str]
    if isinstance(value, RangeSweep):
        numbers = list(_range_values(value))
        if value.shuffle:
            random.shuffle(numbers)
        texts = map(repr, numbers)
    elif isinstance(value, Glob) and key_of(key) == "data.file":
        texts = (QuotedString(name, Quote.double).with_quotes() for name in _files(value, base))
    elif override.is_sweep_override():
        texts = map(_quoted, override.sweep_string_iterator())
    else:
        texts = [override.get_value_element_as_str()]
    return (f"{key}={text}" for text in texts)


def _quoted(text: str) -> str:
    """Return the text of a value that Hydra can read: choice() drops the quotes of its values."""
    if PLAIN.fullmatch(text):
        return text
    try:
        OverridesParser.create().parse_override(f"key={text}")
    except HydraException:
        return str(QuotedString(text, Quote.single).with_quotes())
    return text


def _files(pattern: Glob, base: Path) -> list[str]:
    found: set[str] = set()
    for include in pattern.include:
        found.update(glob.glob(str(Path(include).expanduser()), root_dir=base, recursive=True))
    return sorted(
        name
        for name in found
        if (base / name).is_file() and not any(fnmatch(name, one) for one in pattern.exclude)
    )


def _ends(sweep: RangeSweep) -> tuple[Decimal, Decimal, Decimal]:
    start, stop, step = (Decimal(str(end)) for end in (sweep.start, sweep.stop, sweep.step))
    return start, stop, step


def _count(sweep: RangeSweep) -> int:
    start, stop, step = _ends(sweep)
    return max(0, math.ceil((stop - start) / step)) if step else 0


def _range_values(sweep: RangeSweep) -> Iterator[int | float]:
    """Yield start + i·step up to stop, in decimals as they were typed."""
    start, _, step = _ends(sweep)
    whole = all(isinstance(end, int) for end in (sweep.start, sweep.stop, sweep.step))
    for at in range(_count(sweep)):
        value: Any = int(start + at * step) if whole else float(start + at * step)
        for change in getattr(sweep, "transformers", ()):  # casts, which Hydra 1.4 keeps apart
            value = change(value)
        yield value
