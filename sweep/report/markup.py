"""Write HTML that is escaped unless it says otherwise.

A dozen lines in place of a template engine: one dependency less, checked by types, and a
text from the store cannot become markup by being forgotten, since only `tag` and `raw`
make `Markup`.
"""

from __future__ import annotations

import html
import re

__all__ = ["Markup", "raw", "tag"]

_VOID = frozenset({"img", "input", "meta"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def raw(*parts: str) -> Markup:
    """Return trusted text as markup: styles, scripts, joined tags."""
    return Markup("".join(parts))


def tag(element: str, /, *children: str, **attributes: str | int | bool | None) -> Markup:
    """Return one element; children are escaped unless they are Markup.

    Attributes: ``class_`` is class, ``data_v`` data-v; True stands without a value, None
    and False are left out.
    """
    start = f"<{element}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    if element in _VOID:
        return Markup(start)
    inside = "".join(map(_child, children))
    return Markup(f"{start}{inside}</{element}>")


def _child(child: str) -> str:
    return child if isinstance(child, Markup) else html.escape(_clean(child), quote=False)


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(_clean(str(value)))}"'


def _clean(text: str) -> str:
    """Replace control characters and half surrogates, which no page may hold."""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return text.encode("utf-8", "replace").decode("utf-8")
