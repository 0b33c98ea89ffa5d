"""Render a report with Jinja2: one template for HTML, one for Markdown, both escape all text."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sweep.report.figures.canvas import Picture
from sweep.report.tables import Table

__all__ = ["Drawn", "Page", "RunsTable", "Section", "escaped", "html", "markdown", "note"]

MOST_SVG = 400_000
"""A larger SVG is shown as PNG: thousands of paths would make the page slow."""

MOST_ROWS = 200
"""Of longer tables the page shows so many rows; its table of all runs holds every run."""

NOTE_ROWS = 20

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Markup inside a line, HTML, tables, formulas, mentions and addresses that become links by
# themselves. Entities where a viewer might read HTML or a table before Markdown.
_SPECIAL = re.compile(r"[\\*_\[\]~]|[<>&|$`@]|:(?=//)|(?<=www)\.", re.IGNORECASE)


@dataclass(frozen=True)
class Drawn:
    """A picture with its bytes."""

    picture: Picture
    png: bytes
    svg: bytes

    @property
    def source(self) -> str:
        """Return the picture as a data address."""
        small = len(self.svg) <= MOST_SVG
        kind, data = ("svg+xml", self.svg) if small else ("png", self.png)
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height on the page."""
        width, height = struct.unpack(">II", self.png[16:24])
        return round(width / 1.68), round(height / 1.68)


@dataclass(frozen=True)
class RunsTable:
    """All runs: for each its colour, its address (or empty) and its cells, the name first."""

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    hint: str


@dataclass(frozen=True)
class Section:
    """One part of a report: a table, a picture, all runs, or named texts (commands as code)."""

    anchor: str
    title: str
    table: Table | None = None
    drawn: Drawn | None = None
    runs: RunsTable | None = None
    entries: Mapping[str, str] = field(default_factory=dict)
    code: bool = False


@dataclass(frozen=True)
class Page:
    """A whole report: what it is called, its answer, its sections and links.

    `short` names the sections that the parent run's note shows, `about` is the user's own note.
    """

    title: str
    answer: str
    sections: tuple[Section, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    about: str = ""


def html(page: Page) -> str:
    """Return index.html, a file that needs nothing from outside.

    Its own style and script are named by their hashes in a content policy, so that no other
    script runs in the page, whatever a name in the store holds.
    """
    style, script = _asset("page.css"), _asset("page.js")
    return (
        _environment(_clean)
        .get_template("report.html.j2")
        .render(
            page=page,
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
            most=MOST_ROWS,
        )
    )


def markdown(page: Page) -> str:
    """Return report.md."""
    return _markdown(page, page.sections, None)


def note(page: Page) -> str:
    """Return the parent run's note: the answer as its first line, then the short tables."""
    chosen = tuple(part for part in page.sections if part.anchor in page.short)
    return _markdown(page, chosen, NOTE_ROWS)


def _markdown(page: Page, sections: tuple[Section, ...], most: int | None) -> str:
    template = _environment(_finalize).get_template("report.md.j2")
    text = template.render(page=page, sections=sections, most=most, code=_code, url=_url)
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


def _asset(name: str) -> str:
    loader = _environment(_clean).loader
    assert loader is not None
    return loader.get_source(_environment(_clean), name)[0]


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _clean(value: Any) -> Any:
    """Replace control characters and half surrogates, which no page may hold."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value).encode("utf-8", "replace").decode()


def _finalize(value: Any) -> Markup:
    """Escape what a Markdown template shows."""
    return value if isinstance(value, Markup) else Markup(escaped(str(value)))


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is inside a line: no markup, HTML or formula."""
    return _SPECIAL.sub(lambda found: _entity(found.group()), _line(text))


def _entity(char: str) -> str:
    return "\\" + char if char in "\\*_[]~" else f"&#{ord(char)};"


def _code(text: str) -> Markup:
    """Return text as inline code; where a viewer might stumble over it, escaped instead."""
    flat = _line(text)
    plain = not flat or set(flat) & set("<>&|`$")
    return Markup(escaped(flat) if plain else f"`{flat}`")


def _line(text: str) -> str:
    """Return text on one line; spaces that do not break stay."""
    return re.sub(r"[\x00-\x20\x7f\x85\u2028\u2029]+", " ", text).strip(" ")


def _url(url: str) -> Markup:
    return Markup("".join(c if c not in "<>\\ \n\r\t" else f"%{ord(c):02X}" for c in url))
