"""Say in one sentence what Hydra or OmegaConf refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sweep.config import CONTROL_KEYS, RUN_KEYS, did_you_mean

__all__ = ["one_sentence"]

KNOWN = (*RUN_KEYS, *CONTROL_KEYS, "experiment")


def one_sentence(error: BaseException, known: Iterable[str] = KNOWN) -> str:
    """Return the refusal as one line: what, and what to do.

    Hydra tells an unknown key, group option or unparsable override in several lines, with
    the cause in a second exception; the advice that helps is added here.
    """
    text = str(error)
    key = re.search(r"Could not override '([^']*)'", text)
    if key:
        word = key.group(1)
        hint = did_you_mean(word, known) or f"; to add it, write +{word}=..."
        return f"{word}: there is no such key{hint}."
    option = re.search(r"Could not find '([^'/]*)/([^']*)'", text)
    if option:
        group, word = option.groups()
        offered = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)*)", text)
        names = offered.group(1).split() if offered else []
        choices = f"; the options are {', '.join(names)}" if names else ""
        return f"{group}={word}: there is no such option{did_you_mean(word, names) or choices}."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cause = error.__cause__
    if cause is not None and str(cause).strip() and str(cause) not in text:
        lines.append(str(cause).splitlines()[0].strip())
    return " ".join(lines) or type(error).__name__
