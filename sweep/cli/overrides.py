"""Keys and numbers of override texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep

from sweep.config.spec import CONTROL_KEYS

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+(?![\w.])")
"""A number with an exponent; it may overflow or underflow a float."""

PARAMS = "hydra.sweeper.params."
"""Below it are the axes of a preset."""

TOKENS = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\\.|[{}\[\],:]|[^'"\\{}\[\],:]+"""
"""Quoted texts, escaped characters, punctuation and words of a value."""

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def key_of(override: str) -> str:
    """Return the key of an override, without ``+``, ``~`` and package."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def describes_run(override: str) -> bool:
    """Whether an override's key is neither a control key nor one of Hydra's."""
    return re.split(r"[./]", key_of(override))[0] not in (*CONTROL_KEYS, "hydra")


def run_keys(overrides: Iterable[str]) -> list[str]:
    """Return the keys of overrides that describe a run, without ``experiment``."""
    return [
        key_of(text) for text in overrides if describes_run(text) and key_of(text) != "experiment"
    ]


def lost_numbers(overrides: Iterable[Override]) -> list[str]:
    """Return a message for each number that overflows or underflows double precision."""
    return [
        f"{key}={text}: this number is beyond double precision, which reaches "
        f"from 4.9e-324 to 1.8e308; write one within{', or its digits' * (key == 'iters')}."
        for override in overrides
        for key in [override.key_or_group]
        for text in NUMBER.findall(QUOTED.sub("", str(override.input_line).partition("=")[2]))
        if math.isinf(float(text))
        or (float(text) == 0 and re.search("[1-9]", re.split("[eE]", text)[0]))
    ]


def doubled_keys(overrides: Iterable[Override]) -> dict[str, tuple[str, ...]]:
    """Return message -> the overrides that it is about, for each key that is given twice."""
    seen: dict[tuple[str, str | None], str] = {}
    found: dict[str, tuple[str, ...]] = {}
    for override in overrides:
        text = str(override.input_line)
        if override.is_delete() or override.key_or_group in ("hydra.mode", "parent"):
            continue
        for key in _doubled_in(text.partition("=")[2]):
            found[f"{text}: {key} is given twice; keep one of them."] = (text,)
        for key in dict.fromkeys(keys_set(override.key_or_group, override.value())):
            name = key.removeprefix(PARAMS), override.package
            if name in seen:
                message = f"{seen[name]} and {text}: {name[0]} is given twice; keep one of them."
                found[message] = seen[name], text
                break
            seen[name] = text
    return found


def keys_set(key: str, value: Any) -> Iterator[str]:
    """Yield the key of an override, and those below it that it sets by mappings."""
    yield key
    for one in value.list if isinstance(value, ChoiceSweep) else [value]:
        for name, below in one.items() if isinstance(one, dict) else ():
            yield from keys_set(f"{key}.{name}", below)


def _doubled_in(value: str) -> list[str]:
    """Return the keys that a mapping in the text of a value has twice; Hydra keeps the last."""
    if "{" not in value:
        return []
    parts = re.findall(TOKENS, value)
    open_mappings: list[Counter[str]] = []
    doubled = []
    for at, part in enumerate(parts):
        if part == "{":
            open_mappings.append(Counter())
        elif part == "}" and open_mappings:
            doubled += [key for key, count in open_mappings.pop().items() if count > 1]
        elif parts[at + 1 : at + 2] == [":"] and parts[at - 1] in "{," and open_mappings:
            open_mappings[-1][part.strip(" '\"")] += 1
    return doubled
