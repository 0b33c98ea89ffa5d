"""Say in one sentence what Hydra or OmegaConf refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from sweep.checks import did_you_mean
from sweep.config import RUN_KEYS
from sweep.settings import CONTROL_KEYS

__all__ = ["REFUSALS", "one_sentence"]

KNOWN = (*RUN_KEYS, *CONTROL_KEYS, "experiment")

REFUSALS = (HydraException, OmegaConfBaseException)
"""What Hydra raises when it refuses a command line or a configuration."""


def one_sentence(error: BaseException, known: Iterable[str] = KNOWN) -> str:
    """Return the refusal as one line: what, and what to do.

    Hydra tells an unknown key, group option or unparsable override in several lines, with
    the cause in a second exception; the advice that helps is added here.
    """
    text = str(error)
    if isinstance(error, OverrideParseException):
        reason = text.splitlines()[0]
        return f"{error.override}: Hydra cannot read this ({reason}); quote what is special."
    key = re.search(r"Could not override '([^']*)'", text)
    if key:
        word = key.group(1)
        return f"{word}: there is no such key{did_you_mean(word, known) or '.'}"
    option = re.search(r"Could not find '([^']*)/([^'/]*)'", text)
    if option:
        group, word = option.groups()
        offered = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)*)", text)
        names = offered.group(1).split() if offered else []
        choices = f"; the options are {', '.join(names)}." if names else "."
        return f"{group}={word}: there is no such option{did_you_mean(word, names) or choices}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cause = error.__cause__
    if cause is not None and str(cause).strip() and str(cause) not in text:
        lines += str(cause).splitlines()
    where = next((line for line in lines if line.startswith("full_key: ")), "")
    told = [line.strip() for line in lines if not line.startswith(("full_key:", "object_type="))]
    place = where.removeprefix("full_key: ")
    return (f"{place}: " if place else "") + " ".join(told or [type(error).__name__])
