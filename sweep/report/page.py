"""Dress a report as one HTML file that needs nothing from outside.

Its own style and script are named by their hashes in a content policy, so that no other
script runs in the page, whatever a name in the store holds.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from importlib.resources import files

from sweep.report.colours import colour_scale
from sweep.report.content import Content
from sweep.report.facts import Facts, Point
from sweep.report.markup import Markup, raw, tag
from sweep.report.pictures import Picture
from sweep.report.tables import Table
from sweep.report.words import plain, rate

__all__ = ["document", "page", "pictured", "section", "shown"]

MOST_SVG = 400_000
"""A larger SVG is shown as PNG: thousands of paths would make the page slow."""

MOST_ROWS = 200
"""Of longer tables the page shows so many rows; its table of all runs holds every run."""

Drawn = tuple[Picture, bytes, bytes]


def page(facts: Facts, content: Content, drawn: Sequence[Drawn]) -> str:
    """Return index.html; `drawn` are the pictures with their PNG and SVG bytes."""
    sections = [
        section("errors", content.final_error.title, shown(content.final_error)),
        *(pictured(item) for item in drawn),
        *(section(f"table-{i}", t.title, shown(t)) for i, t in enumerate(content.tables)),
    ]
    if content.trouble.rows:
        sections.append(section("trouble", content.trouble.title, shown(content.trouble)))
    sections.append(section("runs", "All runs", _runs(facts, content)))
    sections.append(section("cost", "Time and cost", _list(content.cost, code=False)))
    sections.append(section("repeat", "How to repeat it", _list(content.repeat, code=True)))
    sections += [tag("p", text, class_="note") for text in content.notes]
    skip = tag("a", "Skip to all runs", href="#runs", class_="skip")
    head = raw(_links(content), _contents(drawn))
    return document(content.title, content.answer, sections, before=skip, head=head)


def document(
    title: str, answer: str, sections: Sequence[Markup], *, before: Markup, head: Markup
) -> str:
    """Return a whole page: title and answer, then `head`, then the sections."""
    header = tag("header", tag("h1", title), tag("p", answer, class_="answer"), head)
    script = tag("script", raw(_asset("page.js")))
    body = tag("body", before, header, tag("main", *sections), script)
    return f'<!doctype html>\n<html lang="en">\n{_head(title)}\n{body}\n</html>\n'


def _asset(name: str) -> str:
    return (files("sweep.report") / name).read_text(encoding="utf-8")


def _head(title: str) -> Markup:
    style = _asset("page.css")
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(_asset('page.js'))}'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", raw(style)),
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def section(anchor: str, title: str, *children: Markup) -> Markup:
    """Return a titled section that the contents can point to."""
    return tag("section", tag("h2", title), *children, id=anchor)


def _links(content: Content) -> Markup:
    links = [tag("a", name, href=url) for name, url in content.links.items()]
    spaced = [part for link in links for part in (link, " ")]
    return tag("p", *spaced, class_="links") if links else raw()


def _contents(drawn: Sequence[Drawn]) -> Markup:
    entries = [("errors", "Final errors")]
    entries += [(picture.name, picture.title) for picture, _, _ in drawn]
    entries += [("runs", "All runs"), ("repeat", "How to repeat it")]
    links = [tag("a", text, href=f"#{anchor}") for anchor, text in entries]
    return tag("nav", *links, aria_label="Contents")


def pictured(item: Drawn) -> Markup:
    """Return a picture's section: the image with its alternative text, the caption, its files."""
    picture, png, svg = item
    kind, data = ("svg+xml", svg) if len(svg) <= MOST_SVG else ("png", png)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    width, height = (round(side / 1.68) for side in struct.unpack(">II", png[16:24]))
    image = tag("img", alt=picture.alt, width=width, height=height, src=source)
    view = tag(
        "div", image, class_="picture scroll", tabindex=0, role="group", aria_label=picture.title
    )
    words = f"{picture.caption} Files: {picture.name}.png, {picture.name}.svg.".strip()
    figure = tag("figure", view, tag("figcaption", words))
    return section(picture.name, picture.title, figure)


def shown(table: Table) -> Markup:
    """Return a table that scrolls in its own box, with its note."""
    head = [
        tag("th", text, scope="col", class_="n" if numeric else None)
        for text, numeric in zip(table.columns, table.numeric, strict=True)
    ]
    rows = [tag("tr", *_cells(table, i)) for i in range(min(len(table.rows), MOST_ROWS))]
    inner = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows))
    words = table.note
    if len(table.rows) > MOST_ROWS:
        words = f"{words} The first {MOST_ROWS} of {len(table.rows)} rows; all are in report.md."
    note = tag("p", words.strip(), class_="note") if words else raw()
    return raw(_scroll(inner, table.title), note)


def _cells(table: Table, i: int) -> list[Markup]:
    cells = []
    for j, (text, numeric) in enumerate(zip(table.rows[i], table.numeric, strict=True)):
        names = ["n" if numeric else "text"]
        names += ["best"] if (i, j) in table.marked else []
        words = f"{text} (best)" if (i, j) in table.marked else text
        cells.append(tag("td", words, class_=" ".join(names)))
    return cells


def _scroll(inner: Markup, title: str) -> Markup:
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=title)


def _runs(facts: Facts, content: Content) -> Markup:
    """Return the table of all runs: sortable, filterable, numbers as the store has them."""
    columns = [("run", "run"), ("lr", "lr"), ("iters", "iterations")]
    columns += [(axis, axis) for axis in facts.others]
    columns += [("final_error", "final error"), ("best_error", "best error")]
    columns += [("best_step", "best step"), ("outcome", "outcome")]
    columns += [("where", "diverged or stalled at"), ("train_seconds", "seconds")]
    head = [
        tag("th", tag("button", plain(text), type="button"), scope="col", data_key=key)
        for key, text in columns
    ]
    colours = colour_scale(facts.rates)
    rows = [_run(point, colours[point.lr], content.run_base) for point in facts.points]
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), id="runs-table")
    search = tag("input", id="filter", type="search", autocomplete="off", spellcheck="false")
    tools = tag(
        "div",
        tag("label", "Filter", search),
        tag("span", id="count", role="status"),
        tag("button", "Show all", id="more", type="button", hidden=True),
        class_="tools",
        id="tools",
        hidden=True,
    )
    hint = (
        "Words to look for, or a column and a value: lr=0.05 iters>100 final_error<1e-9 completed"
    )
    return raw(tools, tag("p", hint, class_="hint"), _scroll(table, "All runs"))


def _run(point: Point, colour: str, base: str) -> Markup:
    dot = raw('<svg class="dot" viewBox="0 0 8 8" aria-hidden="true"><circle cx="4" cy="4" ')
    dot = raw(dot, f'r="4" fill="{colour}"/></svg>')
    name = plain(point.run.name, 120)
    link = tag("a", name, href=base + point.run.run_id) if base else tag("span", name)
    where = point.step("diverged_at")
    where = point.step("stalled_at") if where is None else where
    numbers = (point.final_error, point.metric("best_error"), point.step("best_step"))
    outcome = plain(point.outcome)
    bad = None if outcome == "completed" else "bad"
    return tag(
        "tr",
        tag("td", dot, link, class_="text"),
        tag("td", rate(point.lr), class_="n"),
        tag("td", str(point.iters), class_="n"),
        *(tag("td", plain(value, 120), class_="text") for value in point.others),
        *(tag("td", "" if value is None else repr(value), class_="n") for value in numbers),
        tag("td", outcome, class_=bad),
        tag("td", "" if where is None else str(where), class_="n"),
        tag("td", _seconds(point), class_="n"),
    )


def _seconds(point: Point) -> str:
    value = point.metric("train_seconds")
    return "" if value is None else f"{value:.3g}"


def _list(values: Mapping[str, str], *, code: bool) -> Markup:
    entries = []
    for name, text in values.items():
        entries += [tag("dt", name), tag("dd", tag("code", text) if code else text)]
    return tag("dl", *entries)
