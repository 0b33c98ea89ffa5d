"""Fit names and values to what MLflow and its databases take."""

from __future__ import annotations

import posixpath
import re

__all__ = ["NAME_LENGTH", "VALUE_LENGTH", "entity_name", "is_plain_id", "short", "short_lines"]

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
