"""Detect data files read with wrong options, and suggest options in the messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.errors import ConfigError

SEPARATORS = {";": ";", "\t": r"\t", "|": "|", ",": ",", r"\s+": r"\s+"}
"""Separator -> how to write it on the command line."""

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
COMMA = re.compile(r"[-+]?\d*,\d+")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
GAP = re.compile(r"[^\w]{1,3}|na|n\.a\.|unknown|missing|nil", re.IGNORECASE)


def quoted(name: Any) -> str:
    """Return a column's name, in quotes if the command line needs them."""
    text = str(name)
    return text if re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII) else f'"{text}"'


def check_head(
    path: Path, cells: Sequence[str], read: Mapping[str, Any], split: Mapping[str, Any]
) -> None:
    """Raise ConfigError if the first row of a text file shows that options are wrong.

    `read` has all options, `split` only those for splitting the file into cells.
    """
    head = f"data.file {path}"
    named = read["header"] == "infer" and "names" not in read
    if named and cells[0][:1] in ("#", "%") and "comment" not in read:
        raise ConfigError(
            f"{head} begins with {cells[0][:60]!r}: if this line is a comment, write "
            f"'data.read.comment=\"{cells[0][0]}\"'; if it names the columns, data.read.header=0."
        )
    if len(cells) == 1:
        found = dict(_separators(path, split))
        sep = max(found, key=found.__getitem__, default=None)
        sep = sep or next((one for one in ";\t" if one in cells[0]), None)
        if sep is not None:
            raise ConfigError(
                f"{head} has one column named {cells[0][:60]!r}. It looks separated by "
                f"{'blanks' if sep.startswith(chr(92)) else repr(sep)}: write "
                f"'data.read.sep=\"{SEPARATORS[sep]}\"'."
            )
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    if named and numbers:
        raise ConfigError(
            f"{head} has {numbers[0]!r} in its first row, which should hold the names of the "
            "columns. It looks like data: write data.read.header=null, or data.read.header=0 if "
            "these are names."
        )


def _separators(path: Path, split: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield separators that split all of the first rows into equally many cells, and how many."""
    import pandas as pd

    others = {key: value for key, value in split.items() if key not in ("sep", "engine")}
    for sep in SEPARATORS:
        try:
            frame = pd.read_csv(path, sep=sep, header=None, nrows=20, dtype=str, **others)
        except (ValueError, OSError):
            continue  # rows of different lengths
        full = frame.iloc[1:].notna().any()  # an empty column: the separator is part of a text
        if len(frame) > 1 and len(full) > 1 and full.all():
            yield sep, len(full)


def encoding_hint(error: UnicodeError) -> str:
    """Return the message for a file in another encoding."""
    wide = isinstance(error, UnicodeDecodeError) and error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
    advice = "utf-16" if wide else "latin-1, or its own"
    return f"is not encoded as it was read ({error}): write data.read.encoding={advice}."


def number_hints(cells: Mapping[int, str]) -> dict[int, str]:
    """Return advice by column, for cells in another number format or marking a missing value."""
    comma = any(COMMA.fullmatch(cell) and not THOUSANDS.fullmatch(cell) for cell in cells.values())
    hints = {}
    for at, cell in cells.items():
        if THOUSANDS.fullmatch(cell) and not comma:
            other = ", or decimal in place of thousands" if COMMA.fullmatch(cell) else ""
            hints[at] = f"write 'data.read.thousands=\",\"'{other}"
        elif COMMA.fullmatch(cell):
            hints[at] = "write 'data.read.decimal=\",\"'"
        elif GAP.fullmatch(cell):
            hints[at] = (
                f"if it stands for a missing value, write 'data.read.na_values=[\"{cell}\"]'"
            )
    return hints
