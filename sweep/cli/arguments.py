"""Parse the command line: Hydra's flags, overrides, and the overrides stored for `resume`."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.checks import without_password
from sweep.config.spec import CONTROL_KEYS
from sweep.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override

CONFIG_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")
VALUED = (*CONFIG_FLAGS, "--cfg", "-c", "--package", "-p", "--experimental-rerun")
SHOWING = ("--help", "-h", "--hydra-help", "--info", "-i", "--shell-completion", "-sc", "--version")
FLAGS = (*VALUED, *SHOWING, "--resolve", "--run", "-r", "--multirun", "-m")

INFO = ("all", "aliases", "config", "defaults", "defaults-tree", "plugins", "searchpath")

KEPT_KEYS = (
    *("budget", "fail_fast", "max_seconds", "metric", "mode", "repeats"),
    *("hydra.job.chdir", "hydra.job.env_set", "hydra.output_subdir"),
    *("hydra.sweep.dir", "hydra.sweep.subdir"),
)
"""Keys that do not define grid points; the plan stores their overrides for `resume`."""


ONE_VALUE = "a single run takes one value; give several with -m, or write a list as [1,2]."


NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+(?![\w.])")
"""A number with an exponent; it may overflow or underflow a float."""

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class _Typed:
    words: Sequence[str] = ()
    overrides: Sequence[Override] = ()


def typed_overrides(loader: ConfigLoader | None = None) -> list[Override]:
    """Return all overrides of this command, in order; `loader` lists group options for glob()."""
    for override in _Typed.overrides:
        override.config_loader = loader
    return list(_Typed.overrides)


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


def command_line() -> str:
    """Return the command, quoted for a shell; passwords in addresses are removed."""
    return shlex.join(["python", "-m", "sweep", *map(without_password, _Typed.words)])


def kept(overrides: Iterable[str]) -> list[str]:
    """Return the overrides of KEPT_KEYS and of keys below them."""
    below = tuple(f"{key}." for key in KEPT_KEYS)
    return [text for text in overrides if f"{key_of(text)}.".startswith(below)]


def config_flags() -> list[str]:
    """Return this command's CONFIG_FLAGS with their values."""
    found: list[str] = []
    for at, word in enumerate(_Typed.words):
        name, equals, _ = word.partition("=")
        if name in CONFIG_FLAGS:
            found += [word] if equals else _Typed.words[at : at + 2]
    return found


def in_order(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line into overrides and flags, each in the order typed.

    Hydra's argparse does not accept flags between overrides. Raises ConfigError if a word with
    dashes is not a flag of Hydra, or if a list of values contains a blank.
    """
    overrides: list[str] = []
    flags: list[str] = []
    rest = iter(words)
    last = ""
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            if last.endswith(",") and last in overrides:
                joined = last + word.lstrip()
                advice = f"write values without blanks between them, {joined}"
                raise ConfigError(f"{last} {word}: {advice}.")
            (flags if last in ("--info", "-i") and word in INFO else overrides).append(word)
        elif _names(name, FLAGS):
            flags.append(word)
            if not equals and _names(name, VALUED):
                flags += islice(rest, 1)
        elif re.match(r"--?[a-z_][\w.]*$", name):
            line = f"{name.lstrip('-')}={value or 'VALUE'}"
            raise ConfigError(f"{word}: keys are written without dashes; write {line}.")
        else:
            flags.append(word)  # argparse reports it
        last = word
    return overrides, flags


def _names(name: str, flags: Sequence[str]) -> bool:
    """Whether `name` is one of the flags, or an abbreviation of a long one."""
    return name in flags or (name[:2] == "--" and any(flag.startswith(name) for flag in flags))


def _sweeps(overrides: Sequence[str], flags: Sequence[str], folder: str) -> bool:
    """Whether the command is a sweep, by `hydra.mode`, ``-m``, `resume` or its preset."""
    values = {key_of(text): text.partition("=")[2] for text in overrides}
    if "hydra.mode" in values:
        return values["hydra.mode"] == "MULTIRUN"
    if "-m" in flags or "--multirun" in flags:
        return True
    if "-r" in flags or "--run" in flags:
        return False
    if values.get("resume", "null") not in ("null", ""):
        return True
    preset = f"experiment/{values.get('experiment', '')}.yaml"
    positions = [word.rpartition("=")[2] for word in config_flags()]
    files = [file for place in [*positions, folder] if (file := Path(place, preset)).is_file()]
    text = files[0].read_text("utf-8") if files else ""
    return re.search(r"^[^#\n]*\bmode:\s*MULTIRUN\b", text, re.MULTILINE) is not None


def prepared(words: Sequence[str], folder: str, *, grid: bool) -> list[str]:
    """Return the arguments to pass to Hydra; `folder` is the project's configuration folder.

    If the command is a sweep (`grid`: it can be one), axes and values below groups are removed:
    they are composed for each grid point, and may be invalid for the group's default option.
    ``hydra.mode`` is added, because Hydra 1.4 ignores a mode that a preset sets.

    Raises ConfigError as `in_order`, or if a single run has a range of values;
    OverrideParseException if an override cannot be parsed.
    """
    _Typed.words = words
    overrides, flags = in_order(words)
    shown = any(flag.partition("=")[0] in (*SHOWING, "--cfg", "-c") for flag in flags)
    if not grid or shown:
        return [*overrides, *flags]
    from sweep.cli.axes import OWN_RANGE, parse

    sweeps = _sweeps(overrides, flags, folder)
    if sweeps and not any(key_of(text) == "hydra.mode" for text in overrides):
        overrides = [*overrides, "hydra.mode=MULTIRUN"]
    typed = _Typed.overrides = parse(None, overrides)
    if not sweeps:
        for override in typed:  # Hydra itself rejects its own ranges
            if override.is_sweep_override() and OWN_RANGE.search(str(override.input_line)):
                raise ConfigError(f"{override.input_line}: {ONE_VALUE}")
        return [*overrides, *flags]
    below = ("data.", "network.", "trainer.")
    kept_lines = [
        str(override.input_line)
        for override in typed
        if not override.is_sweep_override()
        and (override.is_delete() or not override.key_or_group.startswith(below))
    ]
    return [*kept_lines, *flags]


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
        name, text = (override.key_or_group, override.package), str(override.input_line)
        if override.is_delete() or name[0] in ("hydra.mode", "parent"):
            continue
        if name in seen:
            problems.append(f"{seen[name]} and {text}: {name[0]} is given twice; keep one of them.")
        seen[name] = text
    return problems
