"""Render a report with Jinja2: one template for HTML, one for Markdown, both escape all text."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sweep.report.figures.canvas import Picture
from sweep.report.formats import Table

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
class Section:
    """One part of a report: a table, a picture, all runs, or named texts.

    `drawn` is the picture as PNG and SVG; `dots` are colour and address (or an empty one) of each
    row of all runs; `code` is True where the texts are commands, `short` where the parent run's
    note shows the table.
    """

    anchor: str
    title: str
    table: Table | None = None
    picture: Picture | None = None
    drawn: tuple[bytes, ...] = ()
    dots: Sequence[tuple[str, str]] = ()
    entries: Mapping[str, str] = field(default_factory=dict)
    code: bool = False
    short: bool = False

    @property
    def source(self) -> str:
        """Return the picture as a data address."""
        png, svg = self.drawn
        kind, data = ("svg+xml", svg) if len(svg) <= MOST_SVG else ("png", png)
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height of the picture on the page."""
        width, height = struct.unpack(">II", self.drawn[0][16:24])
        return round(width / 1.68), round(height / 1.68)


@dataclass(frozen=True)
class Page:
    """A whole report: what it is called, its answer, its sections, links, and the user's note."""

    title: str
    answer: str
    sections: Sequence[Section]
    links: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    files: Sequence[str] = ()
    about: str = ""


def html(page: Page) -> str:
    """Return index.html, a file that needs nothing from outside.

    Its own style and script are named by their hashes in a content policy, so that no other
    script runs in the page, whatever a name in the store holds.
    """
    environment = _environment(_clean)
    assets: dict[str, str] = {}
    assert environment.loader is not None
    for kind, name in (("style", "page.css"), ("script", "page.js")):
        text = environment.loader.get_source(environment, name)[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assets |= {kind: Markup(text), f"{kind}_hash": f"sha256-{digest}"}
    return environment.get_template("report.html.j2").render(page=page, most=MOST_ROWS, **assets)


def markdown(page: Page) -> str:
    """Return report.md."""
    return _markdown(page, page.sections, None)


def note(page: Page) -> str:
    """Return the parent run's note: the answer as its first line, then the short tables."""
    return _markdown(page, [part for part in page.sections if part.short], NOTE_ROWS)


def _markdown(page: Page, sections: Sequence[Section], most: int | None) -> str:
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
