"""All that a report says, once: Markdown and HTML only dress it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sweep.report import alts, infos, tables, weights
from sweep.report.facts import Facts
from sweep.report.tables import Table
from sweep.report.words import answer, duration, figure, grouped, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Content", "Picture", "content_of"]


@dataclass(frozen=True)
class Picture:
    """One picture: `draw` makes the figure, `alt` says what it shows."""

    name: str
    title: str
    alt: str
    caption: str
    draw: Callable[[str], Figure] = field(repr=False)


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


def content_of(facts: Facts, command_ui: str, links: Mapping[str, str]) -> Content:
    """Compute everything that a report says from a sweep's facts."""
    safe = {name: url for name, url in links.items() if url.startswith(("http://", "https://"))}
    notes = []
    if facts.unread:
        shown = "; ".join(plain(text, 160) for text in facts.unread[:5])
        more = f"; and {len(facts.unread) - 5} more" if len(facts.unread) > 5 else ""
        notes.append(f"Could not be read: {shown}{more}.")
    return Content(
        f"Sweep {plain(facts.sweep.sweep_id)}",
        answer(facts),
        tables.final_error_table(facts),
        tuple(_pictures(facts)),
        (tables.threshold_table(facts), tables.budget_table(facts)),
        tables.trouble_table(facts),
        _cost(facts),
        _repeat(facts, command_ui),
        tuple(notes),
        {name: url for name, url in safe.items() if name != "runs"},
        safe.get("runs", ""),
    )


def _pictures(facts: Facts) -> list[Picture]:
    """Return the pictures; drawing modules are imported when the first one is drawn."""
    found = []
    curves = infos.curves_info(facts)
    if any(panel.lines for panel in curves.panels):

        def draw_curves(subtitle: str) -> Figure:
            from sweep.report.plots import draw_curves as draw

            return draw(curves, subtitle)

        found.append(
            Picture(
                "error_curves",
                curves.title,
                alts.curves_alt(facts, curves),
                "Every iteration count of the grid is marked on its curve.",
                draw_curves,
            )
        )
    heat, lines = infos.heat_info(facts), infos.lines_info(facts)

    def draw_heat(subtitle: str) -> Figure:
        from sweep.report.plots import draw_heat as draw

        return draw(heat, subtitle)

    def draw_lines(subtitle: str) -> Figure:
        from sweep.report.plots import draw_curves as draw

        return draw(lines, subtitle)

    if facts.points:
        caption = "The best run is outlined."
        alt = alts.heat_alt(facts)
        found.append(Picture("final_error_heatmap", heat.title, alt, caption, draw_heat))
    if facts.completed:
        alt = alts.lines_alt(facts)
        found.append(Picture("final_error_lines", lines.title, alt, "", draw_lines))
    moved = weights.weights_info(facts)
    if moved is not None:
        kept = moved

        def draw_weights(subtitle: str) -> Figure:
            from sweep.report.weight_plots import draw_weights as draw

            return draw(kept, subtitle)

        alt = alts.weights_alt(facts, moved)
        found.append(Picture("weights", moved.title, alt, "", draw_weights))
    return found


def _cost(facts: Facts) -> dict[str, str]:
    """Return what the sweep took."""
    cost = {"runs": grouped(len(facts.points)), "trajectories": grouped(len(facts.lines))}
    trained = sum(line.reach or 0 for line in facts.lines)
    cost["iterations trained"] = grouped(trained)
    asked = sum(point.iters for point in facts.points)
    if asked > trained > 0:
        cost["iterations asked for"] = f"{grouped(asked)} ({figure(asked / trained, 3)} times)"
    seconds = [max((p.metric("train_seconds") or 0.0) for p in ln.points) for ln in facts.lines]
    cost["training"] = duration(sum(seconds))
    ends = [p.run.end_time for p in facts.points if p.run.end_time is not None]
    end = facts.sweep.end_time or max(ends, default=None)
    start = facts.sweep.start_time
    if start is not None and end is not None and end >= start:
        cost["from start to end"] = duration((end - start) / 1000)
    return cost


def _repeat(facts: Facts, command_ui: str) -> dict[str, str]:
    """Return how to run it again: command, versions, signature of the best run."""
    found = {"command": str(facts.plan.get("command", ""))}
    found["report again"] = f"python -m sweep.report sweep={facts.sweep.sweep_id}"
    found["train again and compare"] = f"python -m sweep.verify sweep={facts.sweep.sweep_id}"
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
