"""Check overrides as they were typed: what cannot be seen any more once Hydra has composed them.

Hydra's parser makes infinity of `1e400` and zero of `1e-400`; its `+` adds any key, and so does
a file, whether or not anything reads it. All would train something else than was meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hydra.core.override_parser.types import Override

from sweep.checks import did_you_mean
from sweep.config.run import RUN_KEYS
from sweep.config.settings import CONTROL_KEYS

__all__ = ["is_read", "lost_numbers", "strange_keys", "unread"]

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
        for text in NUMBER.findall(QUOTED.sub("", str(override.input_line).partition("=")[2]))
        if math.isinf(float(text))
        or (float(text) == 0 and re.search("[1-9]", re.split("[eE]", text)[0]))
    ]


def strange_keys(
    values: Iterable[str], groups: Iterable[str], overrides: Iterable[str]
) -> dict[str, str]:
    """Return each top-level key that something should read -> the override or file that sets it.

    That is a key that an override adds with ``+``, and one of a file that looks like one of ours;
    others are the user's own.
    """
    known = {*OWN_KEYS, *groups}
    added: dict[str, str] = {}
    for text in overrides:
        group, _, package = text.lstrip("+").partition("=")[0].partition("@")
        top = (package or group).split(".")[0]
        if text.startswith("+") and top not in OWN_KEYS and (package or group not in groups):
            added.setdefault(top, text)
    strange = (key for key in values if key not in known)
    return {key: key for key in strange if get_close_matches(key, OWN_KEYS, 1, 0.8)} | added


def is_read(key: str, config: Mapping[str, Any]) -> bool:
    """Return whether an interpolation of an unresolved configuration names `key`."""
    pattern = re.compile(rf"\$\{{.*(?<!\w){re.escape(key)}(?!\w)", re.DOTALL)
    others = {name: value for name, value in config.items() if name not in (key, "hydra")}
    # What Hydra keeps of the overrides repeats them, and reads nothing.
    hydra = {name: value for name, value in config.get("hydra", {}).items() if name != "overrides"}
    return _matches([hydra, others], pattern)


def _matches(value: Any, pattern: re.Pattern[str]) -> bool:
    if isinstance(value, str):
        return pattern.search(value) is not None
    items = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, Mapping | Sequence) and any(_matches(one, pattern) for one in items)


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
