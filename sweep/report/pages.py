"""Render a report with Jinja2 as HTML and as Markdown; both templates escape all text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sweep.report.figures.sheet import Picture
from sweep.report.formats import Table

MOST_SVG = 400_000
"""A larger SVG (bytes) is shown as PNG: thousands of paths would slow the page down."""

MOST_ROWS = 200
"""The page shows this many rows of a longer table; the table of all runs is complete."""

NOTE_ROWS = 20

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Inline markup, HTML, tables, formulas, mentions and autolinked addresses. Entities are used
# where a viewer might parse HTML or tables before Markdown.
_SPECIAL = re.compile(r"[\\*_\[\]~]|[<>&|$`@]|:(?=//)|(?<=www)\.", re.IGNORECASE)

# The mark of a heading, a list or a rule at the start.
_LEADING = re.compile(r"^(\d*)(?=(?:#+|[-+]+|=+|(?<=\d)[.)])(?:\s|$))")


@dataclass(frozen=True)
class Section:
    """One part of a report: a table, a picture, all runs, or named texts.

    `dots` are the colour and the address (may be empty) of each row of all runs; `code` marks texts
    that are commands, `short` tables that the note of the parent run shows.
    """

    anchor: str
    title: str
    table: Table | None = None
    picture: Picture | None = None
    dots: Sequence[tuple[str, str]] = ()
    entries: Mapping[str, str] = field(default_factory=dict)
    code: bool = False
    short: bool = False


@dataclass(frozen=True)
class Page:
    """A report; `about` is the user's note."""

    title: str
    answer: str
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    files: Sequence[str] = ()
    about: str = ""


def html(page: Page) -> str:
    """Return index.html, a self-contained file.

    A content security policy lists its style and script by hash, so that no other script runs in
    the page, whatever names the store contains.
    """
    environment = _environment(_clean)
    assets: dict[str, str] = {}
    assert environment.loader is not None
    for kind, name in (("style", "page.css"), ("script", "page.js")):
        text = environment.loader.get_source(environment, name)[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assets |= {kind: Markup(text), f"{kind}_hash": f"sha256-{digest}"}
    template = environment.get_template("report.html.j2")
    return template.render(page=page, most=MOST_ROWS, source=_source, **assets)


def _source(picture: Picture) -> str:
    """Return a picture as a data URL."""
    kind, data = "svg+xml", picture.svg
    if len(data) > MOST_SVG:
        kind, data = "png", picture.png
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def markdown(page: Page, *, note: bool = False) -> str:
    """Return report.md, or the parent run's note: the answer as its first line, short tables."""
    sections = [part for part in page.sections if part.short or not note]
    most = NOTE_ROWS if note else None
    template = _environment(_finalize).get_template("report.md.j2")
    text = template.render(page=page, sections=sections, most=most, code=_code)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


@cache
def _environment(finalize: Any) -> Environment:
    return Environment(
        loader=PackageLoader("sweep.report"),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _clean(value: Any) -> Any:
    """Replace control characters and lone surrogates, which are invalid in HTML."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value).encode("utf-8", "replace").decode()


def _finalize(value: Any) -> Markup:
    return value if isinstance(value, Markup) else Markup(escaped(str(value)))


def escaped(text: str) -> str:
    """Escape text so that Markdown shows it unchanged: no markup, HTML or formula."""
    text = _SPECIAL.sub(lambda found: _entity(found.group()), _line(text))
    return _LEADING.sub(r"\1\\", text)


def _entity(char: str) -> str:
    return "\\" + char if char in "\\*_[]~" else f"&#{ord(char)};"


def _code(text: str) -> Markup:
    """Return text as inline code, or escaped if it has characters special to some viewers."""
    flat = _line(text)
    plain = not flat or set(flat) & set("<>&|`$")
    return Markup(escaped(flat) if plain else f"`{flat}`")


def _line(text: str) -> str:
    """Return text on one line; no-break spaces are kept."""
    return re.sub(r"[\x00-\x20\x7f\x85\u2028\u2029]+", " ", text).strip(" ")
