"""All that a report says, in its order; the templates only render it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sweep.report import results
from sweep.report.answer import answer
from sweep.report.axes import Axis
from sweep.report.colours import shades
from sweep.report.data import Frame, SweepData
from sweep.report.figures.panels import main_axis
from sweep.report.formats import figure, natural, plain
from sweep.report.pages import Drawn, Page, RunsTable, Section
from sweep.report.tables import Table, final_error_table

__all__ = ["content_of"]

MOST_UNREAD = 5

CURVES = ("error", "validation_error")
"""Metrics that are curves in the store; their last values have names of their own."""

HINT = "Words to look for, or a column and a value: lr=0.05 iters>100 final_error<1e-9 completed"


def content_of(
    data: SweepData,
    pairs: Frame,
    drawn: Sequence[Drawn],
    command_ui: str,
    links: Mapping[str, str],
    place: str = "",
) -> Page:
    """Return the whole report of a sweep.

    Parameters
    ----------
    pairs
        The grid points that ran under both rules.
    drawn
        The pictures, in their order.
    command_ui, links, place
        As `build_report` takes them.
    """
    safe = {name: url for name, url in links.items() if url.startswith(("http://", "https://"))}
    many = len(data.varying) > 2
    tables = {
        "top": results.top_table(data) if many else None,
        "errors": final_error_table(data),
        "effects": results.effect_table(data) if many else None,
        "thresholds": results.threshold_table(data),
        "budgets": results.budget_table(data) if len(data.axes["iters"].values) > 1 else None,
        "both-rules": results.rule_table(data, pairs),
        "metrics": results.metrics_table(data),
        "stalled": results.stalled_table(data),
        "trouble": results.trouble_table(data),
        "missing": results.missing_table(data),
    }
    parts = {name: _part(name, table) for name, table in tables.items() if table and table.rows}
    head = [parts.pop("top", None), parts.pop("errors", None)]
    if many and len(data.axes["iters"].values) == 1:
        head.pop()  # the best runs come first, and the table of all runs holds the rest
    pictures = [Section(one.picture.name, one.picture.title, drawn=one) for one in drawn]
    sections = [
        *(part for part in head if part is not None),
        *pictures,
        *parts.values(),
        Section("runs", "All runs", runs=_runs(data, safe.pop("runs", ""))),
        Section("cost", "Time and cost", entries=results.cost(data)),
        Section("repeat", "How to go on", entries=_commands(data, command_ui, place), code=True),
        Section("origin", "What made it", entries=_origin(data)),
    ]
    return Page(
        _title(data),
        answer(data),
        tuple(part for part in sections if part.code or part.entries != {} or _full(part)),
        safe,
        (*_unread(data), *_left_out(data)),
        ("runs.csv", "final_error.csv", "index.html"),
        ("top" if many else "errors", "stalled", "trouble"),
        plain(str((data.plan.get("about") or {}).get("note") or ""), 2000),
    )


def _title(data: SweepData) -> str:
    name = (data.plan.get("about") or {}).get("name")
    sweep_id = plain(data.sweep.sweep_id)
    return f"Sweep {plain(str(name))} ({sweep_id})" if name else f"Sweep {sweep_id}"


def _left_out(data: SweepData) -> list[str]:
    left_out = data.plan.get("left_out") or {}
    return [
        f"{count} grid point{'s were' if count != 1 else ' was'} left out: {plain(reason, 500)}"
        for reason, count in left_out.items()
    ]


def _part(name: str, table: Table) -> Section:
    return Section(name, table.title, table=table)


def _full(part: Section) -> bool:
    return any(item is not None for item in (part.table, part.drawn, part.runs))


def _runs(data: SweepData, base: str) -> RunsTable:
    """Return all runs with every swept key and every metric, numbers as the store has them."""
    runs = data.started
    key: Axis = main_axis(data)
    colour = dict(zip(key.values, shades(key.name, len(key.values)), strict=True))
    found = {name for run in runs.run for name in run.metrics}
    found -= {name for name in found if name in CURVES or name.startswith("weights/")}
    order = ["final_error", "best_error", "best_step", "final_validation_error"]
    later = ["initial_error", "final_error_log10", "train_seconds"]
    metrics = sorted(found, key=lambda n: (n in later, n not in order, natural(n)))
    metrics.sort(key=lambda n: order.index(n) if n in order else len(order))
    rows, texts = [], data.texts(data.keys)
    at = data.keys.index(key.name)
    for row in runs.itertuples():
        values = texts[row.Index]
        name = plain(row.name, 120)
        cells = [name, *(plain(text, 120) for text in values), plain(row.outcome)]
        cells += [_exact(name, row.run.metrics.get(name)) for name in metrics]
        address = base + row.run.run_id if base else ""
        rows.append((colour[values[at]], address, tuple(cells)))
    columns = ["run", *map(plain, data.keys), "outcome", *map(plain, metrics)]
    numeric = [False, *(bool(data.axes[k].numbers) for k in data.keys), False]
    hint = HINT
    if any(name.startswith("weights/") for run in runs.run for name in run.metrics):
        hint += ". Weights are in runs.csv."
    shown = tuple(numeric + [True] * len(metrics))
    return RunsTable(tuple(columns), shown, tuple(rows), hint)


def _exact(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "train_seconds":
        return figure(value, 3)
    return (
        str(int(value))
        if value == int(value) and abs(value) < 1e15 and _step(name)
        else repr(value)
    )


def _step(name: str) -> bool:
    return name.endswith(("_step", "_at"))


def _commands(data: SweepData, command_ui: str, place: str) -> dict[str, str]:
    """Return what to run next, in the order of use; MLflow's own command comes last."""
    words = " ".join(filter(None, (f"sweep={data.sweep.sweep_id}", place)))
    found = {
        "the sweep again": str(data.plan.get("command", "")),
        "this report again": f"python -m sweep.report {words}",
        "the runs in MLflow": f"python -m sweep.ui {words}",
        "train again and compare": f"python -m sweep.verify {words}",
        "MLflow by itself": command_ui,
    }
    return {name: text for name, text in found.items() if text}


def _origin(data: SweepData) -> dict[str, str]:
    """Return the user's tags, the data's preparation, versions, platform, the best signature."""
    about = data.plan.get("about") or {}
    found = {}
    tags = about.get("tags") or {}
    found["tags"] = plain(", ".join(f"{key}={value}" for key, value in tags.items()), 500)
    kinds = {"data": "sweep.data", "versions": "sweep.versions", "platform": "sweep.platform"}
    for name, tag in kinds.items():
        seen = dict.fromkeys(_flat(run.tags.get(tag, "")) for run in data.started.run)
        found[name] = " | ".join(filter(None, seen))
    if data.best is not None:
        found["signature of the best run"] = data.best.run.tags.get("sweep.signature", "")
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


def _unread(data: SweepData) -> list[str]:
    if not data.unread:
        return []
    shown = "; ".join(plain(text, 160) for text in data.unread[:MOST_UNREAD])
    more = len(data.unread) - MOST_UNREAD
    return [f"Could not be read: {shown}{f'; and {more} more' if more > 0 else ''}."]
