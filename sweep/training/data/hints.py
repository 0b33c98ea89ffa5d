"""What a data file looks like where it is misread: each refusal says what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.errors import ConfigError

__all__ = ["check_head", "encoding_hint", "number_hints", "quoted"]

SEPARATORS = (";", "\t", "|", ",", r"\s+")
SHOWN = {"\t": r"\t"}

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
COMMA = re.compile(r"[-+]?\d*,\d+")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
GAP = re.compile(r"[^\w]{1,3}|na|n\.a\.|unknown|missing|nil", re.IGNORECASE)


def quoted(name: Any) -> str:
    """Return a column's name as the command line takes it, with quotes where it needs them."""
    text = str(name)
    return text if re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII) else f'"{text}"'


def check_head(
    path: Path, cells: Sequence[str], read: Mapping[str, Any], lines: Mapping[str, Any]
) -> None:
    """Raise ConfigError where the first row of a text file says that it is misread.

    Parameters
    ----------
    cells
        The first row.
    read, lines
        The options; those alone that split a file into cells.
    """
    head = f"data.file {path}"
    asked = read["header"] == "infer" and "names" not in read
    if asked and cells[0][:1] in ("#", "%") and "comment" not in read:
        raise ConfigError(
            f"{head} begins with {cells[0][:60]!r}: if this line is a comment, write "
            f"'data.read.comment=\"{cells[0][0]}\"'; if it names the columns, data.read.header=0."
        )
    if len(cells) == 1:
        sep = _separator(path, lines)
        if sep is None and re.search("[;\t]", cells[0]):
            sep = ";" if ";" in cells[0] else "\t"
        if sep is not None:
            shown = SHOWN.get(sep, sep)
            raise ConfigError(
                f"{head} has one column named {cells[0][:60]!r}. It looks separated by "
                f"{'blanks' if sep.startswith(chr(92)) else repr(sep)}: write "
                f"'data.read.sep=\"{shown}\"'."
            )
    if asked:
        first = next((cell for cell in cells if NUMBER.fullmatch(cell)), None)
        if first is not None:
            raise ConfigError(
                f"{head} has {first!r} in its first row, which should hold the names of the "
                "columns. It looks like data: write data.read.header=null, or "
                "data.read.header=0 if these are names."
            )


def _separator(path: Path, lines: Mapping[str, Any]) -> str | None:
    """Return the separator that splits the first rows of a file into equally many cells.

    Of several that do, the one with the most cells.
    """
    import pandas as pd

    found: dict[str, int] = {}
    for sep in SEPARATORS:
        if sep == lines["sep"]:
            continue
        options = {key: value for key, value in lines.items() if key != "engine"} | {"sep": sep}
        try:
            frame = pd.read_csv(path, header=None, nrows=20, dtype=str, **options)
        except (ValueError, OSError):
            continue  # rows of unlike length
        if frame.shape[1] > 1 and len(frame) > 1 and not frame.iloc[:, -1].isna().all():
            if not frame.iloc[1:].isna().all().any():
                found[sep] = frame.shape[1]
    return max(found, key=found.__getitem__, default=None)


def encoding_hint(error: UnicodeError) -> str:
    """Return what to write for a file in another encoding."""
    text = bytes(error.object[:2]) if isinstance(error, UnicodeDecodeError) else b""
    name = "utf-16" if text in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
    advice = f"write data.read.encoding={name}" + ("" if name == "utf-16" else ", or its own")
    return f"is not encoded as it was read ({error}): {advice}."


def number_hints(cells: Mapping[int, str]) -> dict[int, str]:
    """Return what to write for each cell that is a number in another form, or no value.

    Parameters
    ----------
    cells
        Column -> a cell where a number is due.
    """
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
