"""All that a report says, once: Markdown and HTML only dress it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sweep.report import tables
from sweep.report.cost import cost
from sweep.report.extras import extra_table
from sweep.report.facts import Facts
from sweep.report.pictures import Picture, pictures_of
from sweep.report.rules import rule_pairs, rule_table
from sweep.report.tables import Table
from sweep.report.words import answer, plain

__all__ = ["Content", "content_of"]


@dataclass(frozen=True)
class Content:
    """The whole report.

    `repeat` is how to run the sweep again and look at it, name by text; `links` are named
    web addresses, `run_base` the address that a run's id is appended to.
    """

    title: str
    answer: str
    final_error: Table
    pictures: tuple[Picture, ...]
    tables: tuple[Table, ...]
    trouble: Table
    cost: Mapping[str, str]
    repeat: Mapping[str, str]
    notes: tuple[str, ...]
    links: Mapping[str, str]
    run_base: str


def content_of(facts: Facts, command_ui: str, links: Mapping[str, str], place: str = "") -> Content:
    """Compute everything that a report says from a sweep's facts."""
    safe = {name: url for name, url in links.items() if url.startswith(("http://", "https://"))}
    pairs = rule_pairs(facts)
    found = (
        tables.threshold_table(facts),
        tables.budget_table(facts),
        rule_table(facts, pairs),
        extra_table(facts),
    )
    notes = []
    if facts.unread:
        shown = "; ".join(plain(text, 160) for text in facts.unread[:5])
        more = f"; and {len(facts.unread) - 5} more" if len(facts.unread) > 5 else ""
        notes.append(f"Could not be read: {shown}{more}.")
    return Content(
        f"Sweep {plain(facts.sweep.sweep_id)}",
        answer(facts),
        tables.final_error_table(facts),
        tuple(pictures_of(facts, pairs)),
        tuple(table for table in found if table.rows),
        tables.trouble_table(facts),
        cost(facts),
        _repeat(facts, command_ui, place),
        tuple(notes),
        {name: url for name, url in safe.items() if name != "runs"},
        safe.get("runs", ""),
    )


def _repeat(facts: Facts, command_ui: str, place: str) -> dict[str, str]:
    """Return how to run it again: command, versions, signature of the best run."""
    words = " ".join(filter(None, (f"sweep={facts.sweep.sweep_id}", place)))
    found = {"command": str(facts.plan.get("command", ""))}
    found["report again"] = f"python -m sweep.report {words}"
    found["train again and compare"] = f"python -m sweep.verify {words}"
    found["MLflow UI"] = command_ui
    for name, tag in (("versions", "sweep.versions"), ("platform", "sweep.platform")):
        seen = dict.fromkeys(_flat(p.run.tags.get(tag, "")) for p in facts.points)
        found[name] = " | ".join(filter(None, seen))
    if facts.best is not None:
        found["signature of the best run"] = facts.best.run.tags.get("sweep.signature", "")
    return {name: text for name, text in found.items() if text}


def _flat(text: str) -> str:
    """Return a tag that holds JSON as name value, name value; any other as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return plain(text, 500)
    if not isinstance(value, dict):
        return plain(text, 500)
    return plain(", ".join(f"{name} {item}" for name, item in value.items()), 500)
