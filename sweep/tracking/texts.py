"""Fit names and values to what MLflow and its databases take."""

from __future__ import annotations

import errno
import posixpath
import re

from sweep.errors import StoreError

__all__ = [
    "NAME_LENGTH",
    "VALUE_LENGTH",
    "entity_name",
    "is_plain_id",
    "os_trouble",
    "short",
    "short_lines",
    "trouble",
]

NAME_LENGTH = 250
VALUE_LENGTH = 500
"""Longest param or tag that is written; nothing is ever read back from a cut one."""


def short(value: object, length: int = VALUE_LENGTH) -> str:
    """Return `value` as text of at most `length` characters; a cut one ends in ``…``.

    What no database stores (NUL, halves of surrogate pairs) is shown by its escape.
    """
    text = str(value).replace("\0", "\\x00")
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= length else text[: length - 1] + "…"


def short_lines(text: str, length: int) -> str:
    """Return the first lines of `text` that fit into `length` characters."""
    text = short(text, max(len(text) * 10, 1))
    if len(text) <= length:
        return text
    head = text[: length - 2]
    return head[: head.rfind("\n") + 1 or len(head)] + "…"


def entity_name(name: str) -> str:
    """Return `name` as MLflow accepts it for a param, metric or tag.

    Letters, digits and ``_ - . : /`` and spaces stay; anything else becomes ``_``. A name
    that would mean another one as a path has its slashes replaced.
    """
    name = re.sub(r"[^/\w.\- :]", "_", short(name, NAME_LENGTH)) or "_"
    if name.startswith("/") or posixpath.normpath(name) != name or name.startswith(".."):
        name = name.replace("/", "_").strip(".") or "_"
    return name


def is_plain_id(text: str) -> bool:
    """Tell whether `text` can be an id: safe in a search filter and as a folder's name."""
    return re.fullmatch(r"\w[\w.\-]{0,199}", text, re.ASCII) is not None


CAUSES = {
    "disk is full": "the disk is full; free some space and run the command again with resume=last",
    "No space left": "the disk is full; free some space and run the command again with resume=last",
    "disk I/O error": "reading or writing failed (disk I/O error); check the disk and its free "
    "space, and run the command again with resume=last",
    "malformed": "the database is damaged or cut off; restore it from a backup",
    "not a database": "it is not a SQLite database; move the file away or choose other outputs",
    "readonly database": "the database is read-only; give write permission to it and its folder",
    "unable to open database": "the database cannot be opened; check the permissions of its folder",
}
"""Words of SQLite or the system -> what they mean to a user."""


def trouble(text: str, where: str) -> StoreError | None:
    """Return the error of one sentence for what SQLite or the system says; None if unknown."""
    meaning = next((meaning for words, meaning in CAUSES.items() if words in text), None)
    return None if meaning is None else StoreError(f"{where}: {meaning}.")


def os_trouble(error: OSError, where: str) -> StoreError:
    """Return the error of one sentence for what the system raised."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = "No space left" if full else str(error)
    return trouble(text, where) or StoreError(f"{where} cannot be used: {text[:300]}")
