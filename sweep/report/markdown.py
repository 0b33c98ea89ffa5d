"""Dress a report as Markdown: report.md and the short note of the parent run."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sweep.report.content import Content
from sweep.report.tables import Table

__all__ = ["code", "escaped", "markdown", "note", "table_lines"]

# Markup inside a line, HTML, tables, formulas, mentions and addresses that become links by
# themselves. Entities where a viewer might read HTML or a table before Markdown.
_SPECIAL = re.compile(r"[\\*_\[\]~]|[<>&|$`@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_BACKSLASH = frozenset("\\*_[]~")

NOTE_ROWS = 20


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is inside a line: no markup, HTML or formula."""
    flat = _line(text)
    return _SPECIAL.sub(lambda found: _entity(found.group()), flat)


def _entity(char: str) -> str:
    return "\\" + char if char in _BACKSLASH else f"&#{ord(char)};"


def code(text: str) -> str:
    """Return text as inline code; where a viewer might stumble over it, escaped instead."""
    flat = _line(text)
    return escaped(flat) if set(flat) & set("<>&|`$") or not flat else f"`{flat}`"


def _line(text: str) -> str:
    """Return text on one line; spaces that do not break stay."""
    return re.sub(r"[\x00-\x20\x7f\x85\u2028\u2029]+", " ", text).strip(" ")


def table_lines(table: Table, most: int | None = None) -> list[str]:
    """Return a table as Markdown lines; beyond `most` rows a last line says what is left out."""
    head = "| " + " | ".join(map(escaped, table.columns)) + " |"
    rule = "|" + "|".join("---:" if numeric else "---" for numeric in table.numeric) + "|"
    lines = [head, rule]
    for i, row in enumerate(table.rows[:most]):
        cells = [
            f"**{escaped(text)}**" if (i, j) in table.marked else escaped(text)
            for j, text in enumerate(row)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if most is not None and len(table.rows) > most:
        lines += ["", f"… and {len(table.rows) - most} rows more."]
    return lines


def markdown(content: Content) -> str:
    """Return report.md."""
    lines = [escaped(content.answer), "", f"# {escaped(content.title)}", ""]
    for name, url in content.links.items():
        lines += [f"[{escaped(name)}](<{_url(url)}>)", ""]
    lines += _section(content.final_error)
    for picture in content.pictures:
        lines += [f"## {picture.title}", "", f"![{escaped(picture.alt)}]({picture.name}.png)", ""]
        if picture.caption:
            lines += [picture.caption, ""]
    for table in content.tables:
        lines += _section(table)
    if content.trouble.rows:
        lines += _section(content.trouble)
    lines += ["## Time and cost", "", *_facts(content.cost, plain=True), ""]
    lines += ["## How to repeat it", "", *_facts(content.repeat, plain=False), ""]
    lines += [line for text in content.notes for line in (escaped(text), "")]
    lines += ["Files: [runs.csv](runs.csv), [final_error.csv](final_error.csv), "]
    lines[-1] += "pictures as PNG and SVG, [index.html](index.html)."
    return "\n".join(lines) + "\n"


def note(content: Content) -> str:
    """Return the parent run's note: the answer as its first line, then the short tables."""
    lines = [escaped(content.answer), ""]
    lines += [f"**{content.final_error.title}**", ""]
    lines += table_lines(content.final_error, NOTE_ROWS)
    if content.trouble.rows:
        lines += ["", f"**{content.trouble.title}**", ""]
        lines += table_lines(content.trouble, NOTE_ROWS // 2)
    return "\n".join(lines) + "\n"


def _section(table: Table) -> list[str]:
    if not table.rows:
        return []
    lines = [f"## {table.title}", "", *table_lines(table), ""]
    return lines + ([escaped(table.note), ""] if table.note else [])


def _facts(values: Mapping[str, str], *, plain: bool) -> list[str]:
    dress = escaped if plain else code
    return [f"- {name}: {dress(text)}" for name, text in values.items()]


def _url(url: str) -> str:
    return "".join(c if c not in "<>\\ \n\r\t" else f"%{ord(c):02X}" for c in url)
