"""The words of a command line: Hydra's flags, the overrides, and what a resumed sweep keeps."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sweep.checks import without_password
from sweep.errors import ConfigError

__all__ = [
    "KEPT_KEYS",
    "as_typed",
    "command_line",
    "config_flags",
    "describes_run",
    "in_order",
    "kept",
    "key_of",
    "names_mode",
    "prepared",
    "with_mode",
]

CONFIG_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")
"""Hydra's flags that say where configuration files are; each takes a value."""

VALUED = (*CONFIG_FLAGS, "--cfg", "-c", "--package", "-p", "--experimental-rerun")

FLAGS = [*VALUED, "--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r"]
FLAGS += ["--multirun", "-m", "--shell-completion", "-sc", "--info", "-i"]

INFO = ("all", "aliases", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What may follow ``--info``."""

KEPT_KEYS = (
    "budget",
    "fail_fast",
    "hydra.job.chdir",
    "hydra.job.env_set",
    "hydra.output_subdir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "max_seconds",
    "metric",
    "mode",
    "repeats",
)
"""How a sweep runs, beside what its grid points are: its plan keeps these for `resume`."""

GROUPS = ("data", "network", "trainer")


class _Typed:
    """The words of this process's command, as they were typed."""

    words: Sequence[str] = ()
    ranges: dict[str, str] = {}  # as Hydra reads it -> as it was typed


def as_typed(text: str) -> str:
    """Return a text with the ranges of this command's overrides as they were typed."""
    for line, typed in _Typed.ranges.items():
        text = text.replace(line, typed)
    return text


def key_of(override: str) -> str:
    """Return the key of an override as it was typed, without ``+``, ``~`` and package."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def describes_run(override: str) -> bool:
    """Whether an override describes a run, and not how the command runs."""
    from sweep.config.settings import CONTROL_KEYS

    return re.split(r"[./]", key_of(override))[0] not in (*CONTROL_KEYS, "hydra")


def command_line() -> str:
    """Return the command as a user would type it again; a password of an address is left out."""
    words = [without_password(word) for word in _Typed.words or sys.argv[1:]]
    return shlex.join(["python", "-m", "sweep", *words])


def kept(overrides: Iterable[str]) -> list[str]:
    """Return the overrides whose key is one of KEPT_KEYS or below it."""
    return [
        text
        for text in overrides
        if any(key_of(text) == key or key_of(text).startswith(f"{key}.") for key in KEPT_KEYS)
    ]


def config_flags(words: Sequence[str]) -> list[str]:
    """Return the flags among `words` that say where configuration files are, with their values."""
    found: list[str] = []
    for at, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if name in CONFIG_FLAGS:
            found += [word] if equals else list(words[at : at + 2])
    return found


def in_order(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the overrides and the flags of a command line, each in the order typed.

    argparse takes overrides in one piece only; so they are put together.

    Raises
    ------
    ConfigError
        A word begins with dashes and is no flag of Hydra's.
    """
    overrides: list[str] = []
    flags: list[str] = []
    rest = iter(words)
    last = ""
    for word in rest:
        if last.endswith(",") and last in overrides and not word.startswith("-"):
            whole = last + word.lstrip()
            raise ConfigError(f"{last} {word}: write values without blanks between them, {whole}.")
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            (flags if last in ("--info", "-i") and word in INFO else overrides).append(word)
        elif word.startswith("--") and any(flag.startswith(name) for flag in FLAGS):
            flags.append(word)
            if not equals and any(flag.startswith(name) for flag in VALUED):
                flags += [text for text in [next(rest, None)] if text is not None]
        elif name in FLAGS:
            flags.append(word)
            if not equals and name in VALUED:
                flags += [text for text in [next(rest, None)] if text is not None]
        elif re.match(r"--?[a-z_][\w.]*$", name):
            key = name.lstrip("-")
            raise ConfigError(
                f"{word}: keys are written without dashes; write {key}={value or 'VALUE'}."
            )
        else:
            flags.append(word)  # argparse says what it is not
        last = word
    return overrides, flags


def names_mode(overrides: Iterable[str]) -> bool:
    """Whether an override sets ``hydra.mode``."""
    return any(key_of(text) == "hydra.mode" for text in overrides)


def with_mode(overrides: list[str], flags: Sequence[str], folder: str) -> list[str]:
    """Return the overrides with ``hydra.mode=MULTIRUN`` where a sweep is meant without ``-m``.

    That is with `resume`, and with a preset that sets the mode: Hydra 1.4 takes it from the
    command line and the primary file alone.

    Parameters
    ----------
    folder
        The configuration's own folder.
    """
    if names_mode(overrides) or any(flag in ("-r", "--run") for flag in flags):
        return overrides
    values = {key_of(text): text.partition("=")[2] for text in overrides}
    resumed = values.get("resume", "null") not in ("null", "")
    preset = values.get("experiment", "")
    places = [word.rpartition("=")[2] for word in config_flags(flags)]
    files = [Path(place, "experiment", f"{preset}.yaml") for place in [*places, folder]]
    if preset and not resumed:
        text = next((file.read_text("utf-8") for file in files if file.is_file()), "")
        resumed = re.search(r"^[^#\n]*\bmode:\s*MULTIRUN\b", text, re.MULTILINE) is not None
    return [*overrides, "hydra.mode=MULTIRUN"] if resumed else overrides


def prepared(words: Sequence[str], folder: str, *, grid: bool) -> list[str]:
    """Return the words of a command line as Hydra can read them.

    Parameters
    ----------
    folder
        The configuration's own folder.
    grid
        Whether the command can sweep.

    Notes
    -----
    The option of a group is composed with each grid point alone: the sweep's own configuration
    may have another option of the group, without such a key. As an axis of one value, tagged
    ``fixed``, Hydra leaves it out there.
    """
    from sweep.cli.ranges import expanded

    _Typed.words, _Typed.ranges = list(words), {}
    overrides, flags = in_order(words)
    shown = {"--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "-sc"}
    if (
        not grid
        or shown & {flag.partition("=")[0] for flag in flags}
        or "--shell-completion" in flags
    ):
        return [*overrides, *flags]
    lines = [expanded(text) for text in overrides]
    both = zip(lines, overrides, strict=True)
    _Typed.ranges = {line: text for line, text in both if line != text}
    overrides = with_mode(lines, flags, folder)
    if "-m" in flags or "--multirun" in flags or "hydra.mode=MULTIRUN" in overrides:
        overrides = [_held_back(text) for text in overrides]
    return [*overrides, *flags]


def _held_back(text: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, equals, value = text.partition("=")
    if not equals or key.startswith("~") or key_of(text).split(".")[0] not in GROUPS:
        return text
    if "." not in key_of(text):
        return text
    try:
        override = OverridesParser.create().parse_override(text)
        if override.is_sweep_override():
            return text
        OverridesParser.create().parse_override(held := f"{key}=tag(fixed,choice({value}))")
    except HydraException:
        return text  # it is refused below, in the words that were typed
    return held
