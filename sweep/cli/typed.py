"""Check overrides as they were typed: what cannot be seen any more once Hydra has composed them.

Hydra's parser makes infinity of `1e400` and zero of `1e-400`; its `+` adds any key, and so does
a file, whether or not anything reads it. All would train something else than was meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hydra.core.override_parser.types import Override, Sweep

from sweep.checks import did_you_mean
from sweep.config.run import RUN_KEYS
from sweep.config.settings import CONTROL_KEYS

__all__ = ["added_keys", "is_read", "lost_numbers", "misspelt_keys", "unread"]

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+(?![\w.])")
"""A number with an exponent, which may be one that a float cannot hold."""

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

OWN_KEYS = (*RUN_KEYS, *CONTROL_KEYS, "experiment", "hydra")


def lost_numbers(overrides: Iterable[Override]) -> list[str]:
    """Return the refusal of each number that double precision cannot hold, as it was typed."""
    return [
        f"{override.key_or_group}={text}: this number is beyond double precision, which reaches "
        "from 4.9e-324 to 1.8e308; write one within."
        for override in overrides
        if any(value in (math.inf, -math.inf, 0) for value in _floats(override._value))
        for text in NUMBER.findall(QUOTED.sub("", str(override.input_line).partition("=")[2]))
        if _is_lost(text)
    ]


def _is_lost(text: str) -> bool:
    mantissa = re.split("[eE]", text)[0]
    return math.isinf(float(text)) or (
        float(text) == 0 and re.search("[1-9]", mantissa) is not None
    )


def _floats(value: Any) -> Iterator[float]:
    """Yield every float in the parsed value of an override."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _floats(item)
    elif isinstance(value, Sweep):
        yield from _floats(list(vars(value).values()))


def added_keys(overrides: Iterable[str], groups: Iterable[str]) -> dict[str, str]:
    """Return each new top-level key that overrides add with ``+`` -> the override that adds it.

    Parameters
    ----------
    overrides
        As they were typed.
    groups
        The configuration's groups: a file that is added holds keys of the user's own.
    """
    added: dict[str, str] = {}
    for text in overrides:
        name = text.lstrip("+").partition("=")[0]
        group, _, package = name.partition("@")
        top = (package or group).split(".")[0]
        own_file = not package and group in groups
        if text.startswith("+") and not own_file and top not in OWN_KEYS:
            added.setdefault(top, text)
    return added


def misspelt_keys(config: Iterable[str], groups: Iterable[str]) -> dict[str, str]:
    """Return each top-level key of a configuration that looks like one of ours -> the key itself.

    Parameters
    ----------
    groups
        The configuration's groups: their keys are known. Other keys of a user's own are free.
    """
    known = {*OWN_KEYS, *groups}
    strange = [key for key in config if key not in known]
    return {key: key for key in strange if get_close_matches(key, OWN_KEYS, n=1, cutoff=0.8)}


def is_read(key: str, config: Mapping[str, Any]) -> bool:
    """Return whether an interpolation of an unresolved configuration names `key`.

    What Hydra keeps of the overrides repeats them, and reads nothing.
    """
    pattern = re.compile(rf"\$\{{.*(?<!\w){re.escape(key)}(?!\w)", re.DOTALL)
    hydra = {name: value for name, value in config.get("hydra", {}).items() if name != "overrides"}
    others = {name: value for name, value in config.items() if name not in (key, "hydra")}
    return _matches([hydra, others], pattern)


def _matches(value: Any, pattern: re.Pattern[str]) -> bool:
    if isinstance(value, str):
        return pattern.search(value) is not None
    if isinstance(value, Mapping):
        return any(_matches(item, pattern) for item in value.values())
    return isinstance(value, Sequence) and any(_matches(item, pattern) for item in value)


def unread(key: str, override: str, known: Iterable[str] = OWN_KEYS) -> str:
    """Return the refusal of a key that nothing reads.

    Parameters
    ----------
    override
        What added it on the command line, or the key itself where a file holds it.
    known
        The keys that the command has.
    """
    hint = did_you_mean(key, known)
    if override == key:
        return f"{key}: a file of the configuration sets this key, and nothing reads it{hint}"
    shown = override if len(override) <= 80 else override[:77] + "..."
    advice = "leave it out"
    if known is OWN_KEYS:
        advice += f", use it as ${{{key}}}, or add it to a file of your --config-dir"
    return f"{shown}: there is no key {key}, and nothing would read it{hint or f'; {advice}.'}"
