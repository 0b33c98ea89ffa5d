"""Parse the command line: Hydra's flags, overrides, and the overrides stored for `resume`.

Hydra raises for the first mistake only. An override that is wrong is therefore left out, and the
rest goes through Hydra and validation as it would without it, which then fails in any case.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import OverrideType
from hydra.errors import OverrideParseException

from sweep import console
from sweep.checks import valid_text, without_password
from sweep.cli.axes import parse
from sweep.cli.messages import no_such_top_key, one_sentence
from sweep.cli.overrides import doubled_keys, key_of, lost_numbers
from sweep.errors import ConfigError, SweepError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override

CONFIG_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")
VALUED = (*CONFIG_FLAGS, "--cfg", "-c", "--package", "-p", "--experimental-rerun")
SHOWING = (
    *("--help", "-h", "--hydra-help", "--info", "-i", "--shell-completion", "-sc", "--version"),
    *("--cfg", "-c"),
)
MULTIRUN = ("--multirun", "-m")
FLAGS = (*VALUED, *SHOWING, *MULTIRUN, "--resolve", "--run", "-r")

SWITCHES = ("dry_run", "fail_fast", "reuse")
"""Keys that are true or false."""

INFO = ("all", "aliases", "config", "defaults", "defaults-tree", "plugins", "searchpath")

KEPT_KEYS = (
    *("budget", "fail_fast", "max_seconds", "model"),
    *("hydra.job.chdir", "hydra.job.env_set", "hydra.output_subdir"),
    *("hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper.max_batch_size"),
)
"""How a sweep runs; its plan stores them for `resume` (and `metric`, `mode`, `repeats` apart)."""

ONCE = "this command runs once; leave it out."

NAMED = re.compile(
    r"Could not override '(.*?)'|Could not find '([^']*)/[^'/]*'|An item is already at '(.*?)'"
    r"|^Error merging override (.*?)="
)
"""The key in a message of Hydra, if an override is wrong."""


@dataclass
class _Command:
    words: Sequence[str] = ()
    overrides: list[Override] = field(default_factory=list)  # without those that are wrong
    flags: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)  # a message for each


_command = _Command()


def command_overrides(loader: ConfigLoader | None = None) -> list[Override]:
    """Return the overrides of this command, in order; `loader` lists group options for glob()."""
    for override in _command.overrides:
        override.config_loader = loader
    return list(_command.overrides)


def command_line() -> str:
    """Return the command, quoted for a shell; passwords in addresses are removed."""
    return shlex.join(["python", "-m", "sweep", *map(without_password, _command.words)])


def kept(overrides: Iterable[str]) -> list[str]:
    """Return the overrides of KEPT_KEYS and of keys below them."""
    below = tuple(f"{key}." for key in KEPT_KEYS)
    return [text for text in overrides if f"{key_of(text)}.".startswith(below)]


def config_flags() -> list[str]:
    """Return this command's CONFIG_FLAGS with their values."""
    found: list[str] = []
    for at, word in enumerate(_command.words):
        name, equals, _ = word.partition("=")
        if _names(name, CONFIG_FLAGS):
            found += [word] if equals else _command.words[at : at + 2]
    return found


def mistaken() -> bool:
    """Whether an override was left out; then the command may only validate the rest."""
    return bool(_command.mistakes)


def wrong_overrides() -> list[str]:
    """Return the overrides that were left out."""
    return _command.wrong


def wrong_groups() -> set[str]:
    """Return the groups (or other top-level keys) of the overrides that were left out.

    Without them their values, and whether groups fit together, cannot be judged.
    """
    found = {re.split(r"[./]", key_of(text))[0] for text in _command.wrong}
    return found | {"data", "network", "trainer"} if "experiment" in found else found


def named_key(error: Exception) -> str | None:
    """Return the key of the override that an error of Hydra is about, if it names one."""
    found = NAMED.search(str(error))
    return next(filter(None, found.groups()), None) if found else None


def leave_out(error: Exception) -> bool:
    """Leave out the overrides that an error of Hydra names; return whether there are any."""
    key = named_key(error)
    wrong = [one for one in _command.overrides if key_of(str(one.input_line)) == key]
    if wrong:
        _leave_out(one_sentence(error), *(str(one.input_line) for one in wrong))
    return bool(wrong)


def print_error(error: BaseException) -> int:
    """Print all mistakes of the command and an error's message; return the exit code."""
    text, code = one_sentence(error), 2
    if isinstance(error, SweepError):
        text, code = str(error), error.exit_code
    console.error("\n".join(filter(None, [*_command.mistakes, text])))
    return 2 if mistaken() else code


def _leave_out(message: str, *overrides: str) -> None:
    _command.mistakes.append(message)
    _command.wrong += overrides
    _command.overrides = [one for one in _command.overrides if one.input_line not in overrides]


def read(words: Sequence[str], known: Collection[str]) -> None:
    """Parse this command's words, and collect their mistakes.

    These are dashes before a key, blanks in a list of values, bytes that are no UTF-8, texts that
    cannot be parsed, numbers beyond double precision, doubled keys, and top-level keys that are not
    `known`, unless configuration files of the user's may have them.
    """
    global _command
    _command = _Command(words)
    for text, *more in _overrides(words, known):
        try:
            valid_text(text)
            _command.overrides += parse(None, [text])
            found = lost_numbers(_command.overrides[-1:])
        except ConfigError as error:
            found = [str(error)]
        except OverrideParseException as error:
            found = [one_sentence(error)]
        except ValueError as error:
            found = [f"{text[:40]}...: {one_sentence(error)}"]
        if more:
            whole = " ".join([text, *more])
            advice = "write values without blanks between them"
            found = [f"{whole}: {advice}, {''.join([text, *more])}."]
        for message in found:
            _leave_out(message, text)
    keys = {override.key_or_group for override in _command.overrides}
    open_ended = config_flags() or not keys.isdisjoint(("experiment", "hydra.searchpath"))
    completion = any(_names(flag, ("--shell-completion", "-sc")) for flag in _command.flags)
    for override in [] if completion or open_ended else command_overrides():
        key = override.key_or_group
        if key.isidentifier() and key not in known and override.type is OverrideType.CHANGE:
            _leave_out(no_such_top_key(key, known), str(override.input_line))
    for message, texts in doubled_keys(_command.overrides).items():
        _leave_out(message, *texts)


def _overrides(words: Sequence[str], known: Collection[str]) -> list[list[str]]:
    """Return the overrides of a command line, each with the words after a comma; note the flags.

    Hydra's argparse does not accept flags between overrides.
    """
    overrides: list[list[str]] = []
    rest = list(words)
    last = ""
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not re.match("--?[A-Za-z_]", word):
            if last in ("--info", "-i") and word in INFO:
                _command.flags.append(word)
            elif ((last.endswith(",") and "=" not in word) or "=" in (word, last)) and (
                overrides and overrides[-1][-1] is last
            ):
                overrides[-1].append(word.lstrip())
                word = overrides[-1][-1]
            else:
                overrides.append([word])
        elif (key := name.lstrip("-").replace("-", "_")) in known or not _names(name, FLAGS):
            if not equals and rest and not re.search("^-[^\\d.]|=", rest[0]):
                value = rest.pop(0)
                word = f"{word} {value}"
            while value.endswith(",") and rest and not re.search("^-[^\\d.]|=", rest[0]):
                word += f" {rest[0]}"
                value += rest.pop(0).lstrip()
            value = value or ("true" if key in SWITCHES else "VALUE")
            advice = f"keys are written without dashes; write {key}={value}."
            if key not in known and (likely := get_close_matches(name, FLAGS, 1, 0.8)):
                _command.flags += likely
                advice = f"there is no such flag; did you mean {likely[0]}?"
            _leave_out(f"{word}: {advice}")
        else:
            _command.flags.append(word)
            if not equals and _names(name, VALUED):
                _command.flags += rest[:1]
                del rest[:1]
        last = word
    return overrides


def _names(name: str, flags: Sequence[str]) -> bool:
    """Whether `name` is one of the flags, or an abbreviation of a long one."""
    return name in flags or (name[:2] == "--" and any(flag.startswith(name) for flag in flags))


def _sweeps(folder: str) -> bool:
    """Whether the command is a sweep, by `hydra.mode`, ``-m``, `resume` or its preset."""
    lines = [str(override.input_line) for override in _command.overrides]
    values = {key_of(text): text.partition("=")[2] for text in lines}
    if "hydra.mode" in values:
        return values["hydra.mode"] == "MULTIRUN"
    if any(_names(flag, MULTIRUN) for flag in _command.flags):
        return True
    if any(_names(flag, ("-r", "--run")) for flag in _command.flags):
        return False
    if values.get("resume", "null") not in ("null", ""):
        return True
    preset = f"experiment/{values.get('experiment', '')}.yaml"
    positions = [word.rpartition("=")[2] for word in config_flags()]
    files = [file for place in [*positions, folder] if (file := Path(place, preset)).is_file()]
    text = files[0].read_text("utf-8") if files else ""
    return re.search(r"^[^#\n]*\bmode:\s*MULTIRUN\b", text, re.MULTILINE) is not None


def hydra_arguments(folder: str, *, grid: bool) -> list[str]:
    """Return the arguments to pass to Hydra; `folder` is the project's configuration folder.

    If the command is a sweep (`grid`: it can be one), axes and values below groups are removed:
    they are composed for each grid point, and may be invalid for the group's default option.
    ``hydra.mode`` is added, because Hydra 1.4 ignores a mode that a preset sets.
    """
    shown = any(_names(flag.partition("=")[0], SHOWING) for flag in _command.flags)
    sweeps = grid and not shown and _sweeps(folder)
    below = ("data.", "network.", "trainer.")
    lines = []
    for flag in [] if grid else [one for one in _command.flags if _names(one, MULTIRUN)]:
        _command.flags.remove(flag)
        _leave_out(f"{flag}: {ONCE}")
    for override in command_overrides():
        line = str(override.input_line)
        if not grid and override.key_or_group == "hydra.mode":
            _leave_out(f"{line}: {ONCE}", line)
        elif not override.is_sweep_override():
            if not sweeps or override.is_delete() or not override.key_or_group.startswith(below):
                lines.append(line)
        elif not sweeps:
            advice = "give one value"
            if grid and not shown:
                advice = "a single run takes one value; give several with -m"
            _leave_out(f"{line}: {advice}, or write a list as [1,2].", line)
    if sweeps and not any(key_of(line) == "hydra.mode" for line in lines):
        lines.append("hydra.mode=MULTIRUN")
    # the rest is validated, and nothing is shown
    return [*lines, *(config_flags() if mistaken() else _command.flags)]
