"""Parse the command line: Hydra's flags, overrides, and the overrides stored for `resume`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.checks import valid_text, without_password
from sweep.cli.overrides import key_of
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
    *("budget", "fail_fast", "max_seconds", "metric", "mode", "model", "repeats"),
    *("hydra.job.chdir", "hydra.job.env_set", "hydra.output_subdir"),
    *("hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper.max_batch_size"),
)
"""Keys that do not define grid points; the plan stores their overrides for `resume`."""


ONE_VALUE = "a single run takes one value; give several with -m, or write a list as [1,2]."


class _Typed:
    words: Sequence[str] = ()
    overrides: Sequence[Override] = ()


def typed_overrides(loader: ConfigLoader | None = None) -> list[Override]:
    """Return all overrides of this command, in order; `loader` lists group options for glob()."""
    for override in _Typed.overrides:
        override.config_loader = loader
    return list(_Typed.overrides)


def typed_words() -> list[str]:
    """Return all overrides of this command as typed."""
    return in_order(_Typed.words)[0]


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

    Raises ConfigError as `in_order`, for bytes that are no UTF-8, or if a single run has a range;
    OverrideParseException if an override cannot be parsed.
    """
    for word in words:
        valid_text(word)
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
