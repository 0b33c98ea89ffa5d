"""Keys and numbers of override texts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sweep.config.spec import CONTROL_KEYS

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+(?![\w.])")
"""A number with an exponent; it may overflow or underflow a float."""

PARAMS = "hydra.sweeper.params."
"""Below it are the axes of a preset."""

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
        f"{override.key_or_group}={text}: this number is beyond double precision, which reaches "
        "from 4.9e-324 to 1.8e308; write one within."
        for override in overrides
        for text in NUMBER.findall(QUOTED.sub("", str(override.input_line).partition("=")[2]))
        if math.isinf(float(text))
        or (float(text) == 0 and re.search("[1-9]", re.split("[eE]", text)[0]))
    ]


def doubled_keys(overrides: Iterable[Override]) -> list[str]:
    """Return a message for each key that is given twice."""
    seen: dict[tuple[str, str | None], str] = {}
    problems = []
    for override in overrides:
        key, text = override.key_or_group.removeprefix(PARAMS), override.input_line
        name = key, override.package
        if override.is_delete() or key in ("hydra.mode", "parent"):
            continue
        if name in seen:
            problems.append(f"{seen[name]} and {text}: {key} is given twice; keep one of them.")
        seen[name] = str(text)
    return problems
