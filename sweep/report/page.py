"""Dress a report as one HTML file that needs nothing from outside."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from sweep.report.content import Content
from sweep.report.facts import Facts
from sweep.report.pictures import Picture
from sweep.report.tables import Table

__all__ = ["page"]


def page(facts: Facts, content: Content, pictures: Sequence[tuple[Picture, bytes, bytes]]) -> str:
    """Return index.html; `pictures` come with their PNG and SVG bytes."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(content.title)}</title></head><body>",
        f"<h1>{html.escape(content.title)}</h1><p>{html.escape(content.answer)}</p>",
        _table(content.final_error),
    ]
    for picture, _, svg in pictures:
        data = base64.b64encode(svg).decode()
        parts.append(f"<h2>{html.escape(picture.title)}</h2>")
        parts.append(
            f"<img alt='{html.escape(picture.alt)}' src='data:image/svg+xml;base64,{data}'>"
        )
    parts += [_table(table) for table in (*content.tables, content.trouble)]
    return "".join(parts) + "</body></html>\n"


def _table(table: Table) -> str:
    head = _cells("th", table.columns)
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in table.rows)
    title = html.escape(table.title)
    return f"<h2>{title}</h2><table><tr>{head}</tr>{body}</table>"


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
