"""The axes of a grid: overrides parsed, refused where they mean nothing, and multiplied."""

from __future__ import annotations

import glob
import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatch
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
)
from hydra.errors import HydraException

from sweep.cli.arguments import as_typed, describes_run, key_of
from sweep.cli.ranges import MOST_VALUES, draws, expanded, range_values, value_count

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

__all__ = [
    "default_axes",
    "doubled_keys",
    "grid_of",
    "is_axis",
    "is_drawn",
    "lost_numbers",
    "parse",
    "quoted",
    "refusals",
    "typed_text",
]

PLAIN = re.compile(r"[\w.+-]+")
"""Values that need no quotes, whatever Hydra reads."""

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+(?![\w.])")
"""A number with an exponent, which may be one that a float cannot hold."""

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

PROBLEM = {"network": "notebook", "data": "notebook", "trainer": "backprop"}
"""The problem that the default grid belongs to."""


def parse(loader: ConfigLoader | None, lines: Sequence[str]) -> list[Override]:
    """Return the parsed overrides; ``sort()`` of a range sorts its values.

    Hydra 1.3 turns the ends of the range instead, which gives other values.

    Raises
    ------
    OverrideParseException
        Hydra cannot read one of them.
    ConfigError
        A range of ours has other arguments than it needs.
    """
    parser = OverridesParser.create(config_loader=loader)
    functions = parser.functions.functions
    functions["sort"] = _with_values(functions["sort"])
    return parser.parse_overrides([expanded(line) for line in lines])


def _with_values(function: Callable[..., Any]) -> Callable[..., Any]:
    def listed(value: object) -> object:
        if not isinstance(value, RangeSweep):
            return value
        return ChoiceSweep(list=list(range_values(value)), tags=value.tags)

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
    return as_typed(str(override.input_line))


def refusals(override: Override, base: Path) -> list[str]:
    """Return why an override can be no part of a grid, whatever else there is."""
    line, key = typed_text(override), override.key_or_group
    problems = lost_numbers([override])
    if problems or not override.is_sweep_override():
        return problems
    if not describes_run(key) or key == "experiment":
        return [
            f"{line}: {key} says how the command runs and cannot be an axis; give it one value."
        ]
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start or 0.0, value.end or 0.0
        if not (low < high and ("log" not in value.tags or low > 0)):
            return [f"{line}: write interval(a,b) with a < b, and 0 < a where it is tagged log."]
        return []
    if isinstance(value, RangeSweep) and value_count(value) > MOST_VALUES:
        return [f"{line}: these are {value_count(value)} values; choose a larger step."]
    if isinstance(value, ChoiceSweep) and any(isinstance(one, Sweep) for one in value.list or []):
        return [f"{line}: a range stands alone; write each value instead, as {key}=1,2,5."]
    if any(True for _ in _lines(override, base)):
        return []
    if not isinstance(value, Glob):
        return [
            f"{line}: this axis has no values; with a step below 0 a range goes from high to low."
        ]
    if key == "data.file":
        return [f"{line}: no file matches; the pattern is relative to the folder {base}."]
    return [f"{line}: nothing matches; glob() picks options of a group, or files for data.file."]


def lost_numbers(overrides: Iterable[Override]) -> list[str]:
    """Return the refusal of each number that double precision cannot hold, as it was typed."""
    return [
        f"{override.key_or_group}={text}: this number is beyond double precision, which reaches "
        "from 4.9e-324 to 1.8e308; write one within."
        for override in overrides
        for text in NUMBER.findall(QUOTED.sub("", str(override.input_line).partition("=")[2]))
        if math.isinf(float(text))
        or (float(text) == 0 and re.search("[1-9]", re.split("[eE]", text)[0]))
    ]


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
    overrides: Sequence[Override], base: Path, samples: int = 0, seed: int = 0
) -> list[list[str]]:
    """Return the override lines of each point of the grid, the first axis slowest.

    A later override of a key replaces an earlier one.

    Parameters
    ----------
    base
        The folder that patterns of files are relative to.
    samples, seed
        How many points are drawn from all intervals together, and from which seed.
    """
    last = {override.get_key_element(): override for override in overrides}
    drawn: dict[str, Any] = {key: one for key, one in last.items() if is_drawn(one)}
    blocks: list[list[tuple[str, ...]]] = []
    for key, override in last.items():
        if key not in drawn:
            blocks.append([(line,) for line in _lines(override, base)])
        elif key == next(iter(drawn)):
            columns = [
                [f"{name}={value!r}" for value in draws(name, one.value(), samples, seed)]
                for name, one in drawn.items()
            ]
            blocks.append(list(zip(*columns, strict=True)))
    return [list(itertools.chain(*point)) for point in itertools.product(*blocks)]


def is_drawn(override: Override) -> bool:
    """Whether an axis is an interval, which values are drawn from."""
    return override.is_sweep_override() and isinstance(override.value(), IntervalSweep)


def _lines(override: Override, base: Path) -> Iterator[str]:
    """Yield an override line for each value."""
    key = override.get_key_element()
    value: Any = override.value()
    texts: Iterable[str]
    if isinstance(value, RangeSweep):
        numbers = list(range_values(value))
        if value.shuffle:
            random.shuffle(numbers)
        texts = map(repr, numbers)
    elif isinstance(value, Glob) and key_of(key) == "data.file":
        texts = (QuotedString(name, Quote.double).with_quotes() for name in _files(value, base))
    elif override.is_sweep_override():
        texts = map(quoted, override.sweep_string_iterator())
    else:
        texts = [override.get_value_element_as_str()]
    return (f"{key}={text}" for text in texts)


def quoted(text: str) -> str:
    """Return one value as Hydra can read it, in quotes where it would be something else."""
    if PLAIN.fullmatch(text):
        return text
    try:
        if not OverridesParser.create().parse_override(f"key={text}").is_sweep_override():
            return text
    except HydraException:
        pass
    return str(QuotedString(text, Quote.single).with_quotes())


def _files(pattern: Glob, base: Path) -> list[str]:
    found: set[str] = set()
    for include in pattern.include:
        found.update(glob.glob(str(Path(include).expanduser()), root_dir=base, recursive=True))
    return sorted(
        name
        for name in found
        if (base / name).is_file() and not any(fnmatch(name, one) for one in pattern.exclude)
    )
