"""Errors of Hydra and OmegaConf, and keys that nothing reads, as one-line messages."""

from __future__ import annotations

import re
import shlex
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import hydra
import omegaconf
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sweep.checks import did_you_mean, no_such_key
from sweep.config.spec import BUILT_IN, CONTROL_KEYS, RUN_KEYS
from sweep.errors import ConfigError

HYDRA_ERRORS = (HydraException, OmegaConfBaseException)

TOOLS = ("export", "list", "predict", "report", "ui", "verify")

OWN_KEYS = (*RUN_KEYS, *CONTROL_KEYS, "experiment", "hydra", "stop")


def raised_by_hydra(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf raised `error`; for some invalid values it is a ValueError."""
    if isinstance(error, HYDRA_ERRORS):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    last = Path(frames[-1].filename) if frames else Path()
    rooms = (Path(str(library.__file__)).parent for library in (hydra, omegaconf))
    return isinstance(error, ValueError) and any(map(last.is_relative_to, rooms))


@contextmanager
def collect_errors(problems: list[str]) -> Iterator[None]:
    """Append the messages of an error to `problems`, so that all are reported at once."""
    try:
        yield
    except ConfigError as error:
        problems.extend(error.messages)
    except Exception as error:
        if not raised_by_hydra(error):
            raise
        problems.append(one_sentence(error))


def one_sentence(error: BaseException) -> str:
    """Return a one-line message for an exception of Hydra or OmegaConf.

    Hydra's own text has several lines, and the cause is a second exception.
    """
    text = str(error)
    if sentence := _known(error, text):
        return sentence
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if (cause := str(error.__cause__ or "").strip()) not in text:
        lines += [line.strip() for line in cause.splitlines()]
    where = next((line for line in lines if line.startswith("full_key: ")), "")
    message = [line for line in lines if not line.startswith(("full_key:", "object_type="))]
    name = where.removeprefix("full_key: ")
    return (f"{name}: " if name else "") + " ".join(message or [type(error).__name__])


def _known(error: BaseException, text: str) -> str | None:
    """Return the message for one of the errors that are frequent."""
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if found := re.search(r"Could not override '([^']*)'", text):
        return _unknown_key(found[1], error)
    if found := re.search(r"^Could not append to config. An item is already at '(.*?)'", text):
        return f"+{found[1]}: there is this key already; write it without +."
    if found := re.search(r"^Additional config directory '(.*)' not found", text):
        return f"--config-dir {found[1]}: there is no such folder; name one that exists."
    if found := re.search(r"Could not find '([^']*)/([^'/]*)'", text):
        return _unknown_option(found[1], found[2], text)
    if (found := re.search(r"^Error merging override (.*)", text)) and error.__cause__:
        return f"{found[1]}: {str(error.__cause__).splitlines()[0]}."
    if found := re.search(r"^Interpolation key '(.*)' not found", text):
        name = getattr(error, "full_key", None)
        before = f"{name}: " if name else ""
        return f"{before}${{{found[1]}}} names no key of the configuration; correct it."
    if found := re.search(r"Environment variable '(.*)' not found", text):
        key = getattr(error, "full_key", None)
        advice = f"set it, or give a default as ${{oc.env:{found[1]},VALUE}}"
        return (f"{key}: " if key else "") + f"the environment has no {found[1]}; {advice}."
    if found := re.search(r"^Config group override must be a string.*", text):
        what = "null" if found[0].endswith("NoneType") else "a value that is no name"
        return f"a group of the configuration was given {what}; name one of its options instead."
    if found := re.search(r"^Exceeds the limit \((\d+) digits\)", text):  # of int()
        return f"a number has at most {found[1]} digits."
    if found := re.search(r"^invalid literal for int\(\) with base 10: '(.*)'", text):
        return f"{found[1]}: a list is between it and its node; name a place of the list by number."
    return None


def _unreadable(error: OverrideParseException) -> str:
    override = str(error.override)
    key, equals, value = override.partition("=")
    if not equals:
        tool = f"did you mean `python -m sweep.{override}`?"
        advice = tool if override in TOOLS else "write KEY=VALUE, without blanks."
        return f"{override}: this sets no value; {advice}"
    if "empty choice" in str(error):
        return f"{override}: this axis has no values; write at least one."
    if isinstance(error.__cause__, ConfigError):
        return f"{override}: {error.__cause__}"
    if found := re.search(r"Unknown function '(\w+)'\s+Available: (\S+)", str(error)):
        known = found[2].split(",")
        hint = did_you_mean(found[1], known) or f"; there are {', '.join(known)}."
        return f"{override}: there is no function {found[1]}{hint}"
    if value.endswith(","):
        return f"{override} ends with a comma; write the values without blanks between them."
    if ("${" in value or not value.isascii()) and not re.search("[\"']", value):
        what = "nested interpolations" if value.isascii() else "names with non-ASCII characters"
        quoted = f'"{value}"'
        if value.startswith("[") and value.endswith("]") and "${" not in value:
            items = (item.strip() for item in value[1:-1].split(","))
            quoted = "[" + ",".join(f'"{item}"' for item in items) + "]"
        return f"{override}: put {what} in quotes: " + shlex.quote(f"{key}={quoted}")
    if key == "hydra.sweeper.skip" and not re.search("[\"']", value):
        line = shlex.quote(f'{key}=["{value.strip("[]")}"]')
        return f"{override}: put each condition in quotes: {line}"
    line = "" if re.search("[\"']", value) else ": " + shlex.quote(f'{key}="{value}"')
    return f"{override}: this is no value; put text with special characters in quotes{line or '.'}"


def _unknown_key(key: str, error: BaseException) -> str:
    # The cause has the dotted name up to the first missing part, and the node that lacks it.
    node = getattr(error.__cause__, "parent_node", None)
    keys = [str(key) for key in node] if isinstance(node, DictConfig) else []
    name = str(getattr(error.__cause__, "full_key", None) or key)
    above, _, missing = name.rpartition(".")
    group = above.split(".")[0]
    if above and isinstance(node, DictConfig) and not keys:
        advice = re.search(r"To append to your config use \+(.*)", str(error))
        line = advice[1] if advice and group != "hydra" else f"{name}=VALUE"
        plus = "+" if group == "hydra" else "++"
        return f"{name}: there is no such key yet; add it with {plus}{line}."
    if above:
        message = no_such_key(above, missing, keys)
        own = isinstance(node, DictConfig) and node.get("_target_") != BUILT_IN
        if above == "trainer" and own and message.endswith("."):
            return f"{message[:-1]}; add an argument to its file, or write +{name}=VALUE."
        return message
    # a preset leaves no node
    return no_such_top_key(missing, [*keys, "experiment"] if "lr" in keys else keys)


def no_such_top_key(key: str, known: Iterable[str]) -> str:
    """Return the message for an unknown top-level key."""
    public = [name for name in known if name not in ("hydra", "parent")]
    hint = did_you_mean(key, public) or "; --help lists those that exist."
    return f"{key}: there is no such key{hint}"


def _unknown_option(group: str, word: str, text: str) -> str:
    offered = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)*)", text)
    names = offered[1].split() if offered else []
    choices = f"; the options are {', '.join(names)}." if names else "."
    return f"{group}={word}: there is no such option{did_you_mean(word, names) or choices}"


def added_keys(
    values: Iterable[str], groups: Iterable[str], overrides: Iterable[str]
) -> dict[str, str]:
    """Return the top-level keys that nothing but an interpolation can read.

    These are keys added with ``+``, each with its override, and keys of a file similar to one of
    OWN_KEYS, each with itself. Other unknown keys of a file are allowed.
    """
    known = {*OWN_KEYS, *groups}
    strange = (key for key in values if key not in known)
    found = {key: key for key in strange if get_close_matches(key, OWN_KEYS, 1, 0.8)}
    for text in reversed(list(overrides)):
        group, _, package = text.lstrip("+").partition("=")[0].partition("@")
        top = (package or group).split(".")[0]
        if text.startswith("+") and top not in OWN_KEYS and (package or group not in groups):
            found[top] = text
    return found


def unread_keys(added: Mapping[str, str], interpolations: Iterable[str]) -> list[str]:
    """Return a message for each of the added keys that no interpolation names."""
    read = "\n".join(interpolations) if added else ""
    return [
        unread(key, override)
        for key, override in added.items()
        if not re.search(rf"(?<!\w){re.escape(key)}(?!\w)", read)
    ]


def unread(key: str, override: str, known: Iterable[str] = OWN_KEYS) -> str:
    """Return the message for a key that nothing reads.

    `override` is the override that adds it, or the key itself if a file sets it.
    """
    hint = did_you_mean(key, known)
    if override == key:
        return f"{key}: a file of the configuration sets this key, and nothing reads it{hint}"
    shown = override if len(override) <= 80 else override[:77] + "..."
    advice = "leave it out"
    if known is OWN_KEYS:
        advice += f", use it as ${{{key}}}, or add it to a file of your --config-dir"
    return f"{shown}: there is no key {key}, and nothing would read it{hint or f'; {advice}.'}"
