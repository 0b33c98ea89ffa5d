"""Say in one sentence what Hydra or OmegaConf refused, and which keys nothing reads."""

from __future__ import annotations

import re
import shlex
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
import omegaconf
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sweep.checks import did_you_mean, no_such_key
from sweep.config.run import RUN_KEYS
from sweep.config.settings import CONTROL_KEYS
from sweep.errors import gathered

__all__ = [
    "REFUSALS",
    "is_read",
    "is_refusal",
    "listed",
    "one_sentence",
    "strange_keys",
    "unread",
]

OWN_KEYS = (*RUN_KEYS, *CONTROL_KEYS, "experiment", "hydra")

REFUSALS = (HydraException, OmegaConfBaseException)
"""What Hydra raises when it refuses a command line or a configuration."""


def is_refusal(error: BaseException) -> bool:
    """Return whether Hydra or OmegaConf raised an error while they read the configuration.

    Some of what they refuse is a plain ValueError.
    """
    if isinstance(error, REFUSALS):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    last = Path(frames[-1].filename) if frames else Path()
    rooms = (Path(str(library.__file__)).parent for library in (hydra, omegaconf))
    return isinstance(error, ValueError) and any(map(last.is_relative_to, rooms))


@contextmanager
def listed(problems: list[str]) -> Iterator[None]:
    """Add what is refused within to `problems`, also by Hydra; see `errors.gathered`."""
    try:
        with gathered(problems):
            yield
    except REFUSALS as error:
        problems.append(one_sentence(error))


def one_sentence(error: BaseException) -> str:
    """Return the refusal as one line: what, and what to do.

    Hydra tells an unknown key, group option or unparsable override in several lines, with
    the cause in a second exception; the advice that helps is added here.
    """
    text = str(error)
    if isinstance(error, OverrideParseException):
        if "=" not in error.override:
            return f"{error.override}: this sets no value; write it as KEY=VALUE."
        return _unreadable(str(error.override), text.splitlines()[0])
    key = re.search(r"Could not override '([^']*)'", text)
    if key:
        return _unknown_key(key.group(1), error.__cause__, text)
    several = re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", text)
    if several:
        return (
            f"{several.group(1)}: a single run takes one value; give several with -m, "
            "or write a list as [1,2]."
        )
    folder = re.match(r"Additional config directory '(.*)' not found", text)
    if folder:
        return f"--config-dir {folder.group(1)}: there is no such folder; name one that exists."
    option = re.search(r"Could not find '([^']*)/([^'/]*)'", text)
    if option:
        group, word = option.groups()
        offered = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)*)", text)
        names = offered.group(1).split() if offered else []
        choices = f"; the options are {', '.join(names)}." if names else "."
        return f"{group}={word}: there is no such option{did_you_mean(word, names) or choices}"
    merged = re.match(r"Error merging override (.*)", text)
    if merged and error.__cause__ is not None:
        return f"{merged.group(1)}: {str(error.__cause__).splitlines()[0]}."
    missing = re.match(r"Interpolation key '(.*)' not found", text)
    if missing:
        place = getattr(error, "full_key", None)
        return (
            f"{place}: " if place else ""
        ) + f"${{{missing.group(1)}}} names no key of the configuration; correct it."
    if text.startswith("Config group override must be a string"):
        what = {"NoneType": "null"}.get(text.rpartition(" ")[2], "a value that is no name")
        return f"a group of the configuration was given {what}; name one of its options instead."
    place = re.match(r"invalid literal for int\(\) with base 10: '(.*)'", text)
    if place:
        return f"{place[1]}: a list is between it and its node; name a place of the list by number."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cause = error.__cause__
    if cause is not None and str(cause).strip() and str(cause) not in text:
        lines += [line.strip() for line in str(cause).splitlines()]
    where = next((line for line in lines if line.startswith("full_key: ")), "")
    message = [line for line in lines if not line.startswith(("full_key:", "object_type="))]
    place = where.removeprefix("full_key: ")
    return (f"{place}: " if place else "") + " ".join(message or [type(error).__name__])


def _unreadable(override: str, reason: str) -> str:
    """Return the refusal of an override that is no override, and what may have been meant."""
    key, _, value = override.partition("=")
    if value.endswith(","):
        return f"{override} ends with a comma; write the values without blanks between them."
    strange = [one for one in value if ord(one) > 127]
    if strange and not re.search("[\"']", value):
        quoted = shlex.quote(f'{key}="{value}"')
        return f"{override}: put names with non-ASCII characters in quotes: {quoted}"
    return f"{override}: Hydra cannot read this ({reason}); quote what is special."


def _unknown_key(name: str, cause: BaseException | None, text: str) -> str:
    """Return the refusal of a key that the configuration does not have.

    OmegaConf's exception knows the first part of a dotted name that is missing, and the node
    that misses it; only that node's keys can have been meant.
    """
    node = getattr(cause, "parent_node", None)
    keys = [str(key) for key in node] if isinstance(node, DictConfig) else []
    above, _, missing = str(getattr(cause, "full_key", None) or name).rpartition(".")
    group = above.split(".")[0]
    if above and ((isinstance(node, DictConfig) and not keys) or "init" in (missing, above[-4:])):
        typed = re.search(r"To append to your config use \+(.*)", text)
        line = typed[1] if typed and group != "hydra" else f"{above}.{missing}=VALUE"
        plus = "+" if group == "hydra" else "++"
        return f"{above}.{missing}: there is no such key yet; add it with {plus}{line}."
    if above:
        return no_such_key(above, missing, keys)
    known = [key for key in keys if key not in ("hydra", "parent")]
    if "lr" in known:
        known.append("experiment")  # a group of presets, which leaves no node
    hint = did_you_mean(missing, known) or "; --help lists those that exist."
    return f"{missing}: there is no such key{hint}"


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
    others = {name: value for name, value in config.items() if name not in (key, "hydra")}
    # What Hydra keeps of the overrides repeats them, and reads nothing.
    hydra = {name: value for name, value in config.get("hydra", {}).items() if name != "overrides"}
    return (
        re.search(rf"\$\{{[^'\"]*(?<!\w){re.escape(key)}(?!\w)", str([hydra, others])) is not None
    )


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
