"""All that a report says, in its order; the templates only render it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from sweep.report import results
from sweep.report.answer import answer
from sweep.report.axes import axis_of
from sweep.report.colours import shades
from sweep.report.data import Frame, SweepData
from sweep.report.figures.panels import main_axis
from sweep.report.formats import duration, figure, grouped, natural, plain
from sweep.report.pages import Page, Section
from sweep.report.tables import table_of

__all__ = ["content_of", "cost", "trained"]

MOST_UNREAD = 5

HINT = "Words to look for, or a column and a value: lr=0.05 iters>100 final_error<1e-9 completed"


def content_of(
    data: SweepData,
    pairs: Frame,
    drawn: Sequence[Section],
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
    several, many = len(data.axes["iters"].values) > 1, len(data.varying) > 2
    top = [("top", results.top_table(data))] if len(data.ranked) > 1 else []
    errors = [("errors", results.final_error_table(data))]
    spread = [("spread", results.repeats_table(data))]
    # With many keys the best come first; the table of all runs holds the rest.
    head = [*top, *(errors if several else []), *spread] if many else [*errors, *spread, *top]
    tail = [
        *([("effects", results.effect_table(data))] if many else []),
        ("thresholds", results.threshold_table(data)),
        *([("budgets", results.budget_table(data))] if several else []),
        ("both-rules", results.rule_table(data, pairs)),
        ("metrics", results.metrics_table(data)),
        ("stalled", results.stalled_table(data)),
        ("trouble", results.trouble_table(data)),
        ("missing", results.missing_table(data)),
    ]
    short = ("top" if many else "errors", "stalled", "trouble")
    before, after = (
        [Section(n, table.title, table, short=n in short) for n, table in part if table.rows]
        for part in (head, tail)
    )
    ends = [
        Section("cost", "Time and cost", entries=cost(data)),
        Section("repeat", "How to go on", entries=_commands(data, command_ui, place), code=True),
        Section("origin", "What made it", entries=_origin(data)),
    ]
    return Page(
        _title(data),
        answer(data),
        [
            *before,
            *drawn,
            *after,
            *_runs(data, safe.pop("runs", "")),
            *(e for e in ends if e.entries),
        ],
        safe,
        (*_unread(data), *_left_out(data)),
        ["runs.csv", "final_error.csv", *(["repeats.csv"] if data.repeats else []), "index.html"],
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


def _runs(data: SweepData, base: str) -> list[Section]:
    """Return all runs with every swept key and every metric, numbers as the store has them."""
    runs, key = data.started, main_axis(data)
    if runs.empty:
        return []
    order = [data.metric, "final_error", "best_error", "best_step", "final_validation_error"]
    later = ["initial_error", "final_error_log10", "train_seconds"]
    unusual = pd.DataFrame([run.not_finite() for run in runs.run], runs.index)
    names = {key: name for run in runs.run for key, name in run.metric_names().items()}
    found = {*data.metrics, *unusual}
    metrics = sorted(found - set(order), key=lambda name: (name in later, natural(name)))
    metrics = [name for name in dict.fromkeys(order) if name in found] + metrics
    shown = pd.concat(
        [
            runs[["name"]].set_axis(["run"], axis=1),
            data.values.loc[runs.index],
            runs[["outcome"]],
            data.metrics.reindex(columns=metrics)
            .apply(lambda column: column.map(lambda value: _exact(str(column.name), value)))
            .astype(object)
            .mask(unusual.reindex(columns=metrics).notna(), unusual)
            .rename(columns=names),
        ],
        axis=1,
    )
    hint = HINT
    if any(name.startswith("weights/") for run in runs.run for name in run.metrics):
        hint += ". Weights are in runs.csv."
    words = [k for k in data.swept if not axis_of(k, data.values[k]).numbers]
    words = ["run", "outcome", *words]
    table = table_of("All runs", shown, hint, text=words)
    colour = dict(zip(key.values, shades(key.name, len(key.values)), strict=True))
    colours = [colour[text] for text in data.values.loc[runs.index, key.name]]
    addresses = [base + run.run_id if base else "" for run in runs.run]
    return [Section("runs", table.title, table, dots=list(zip(colours, addresses, strict=True)))]


def _exact(name: str, value: float) -> str:
    if name == "train_seconds" or math.isnan(value):
        return figure(value, 3)
    whole = name.endswith(("_step", "_at")) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else repr(float(value))


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


def cost(data: SweepData) -> dict[str, str]:
    """Return what the sweep took."""
    count = len(data.trajectories)
    found = {"runs": grouped(len(data.started)), "trajectories": grouped(count)}
    iterations, seconds = trained(data)
    found["iterations trained"] = grouped(iterations)
    alone = sum(data.started.iters)
    if alone > iterations > 0:
        times = f"{alone / iterations:.2f}"
        if times != "1.00":
            found["separate training"] = f"{grouped(alone)} iterations ({times} times as many)"
    found["training"] = duration(seconds)
    ends = pd.Series([data.sweep.end_time, *(run.end_time for run in data.started.run)]).max()
    start = data.sweep.start_time
    if start is not None and ends >= start:
        found["from start to end"] = duration((ends - start) / 1000)
    return found


def trained(data: SweepData) -> tuple[int, float]:
    """Return the iterations that this sweep trained itself, and the seconds they took.

    Runs that were taken over from another sweep cost nothing. The runs of a trajectory share
    its training, unless the sweep's launcher or trainer cannot.
    """
    iterations, seconds = 0, 0.0
    whole = max if data.plan.get("shared", True) else sum
    rows = list(data.runs.itertuples())
    for line in data.trajectories:
        own = [
            (min(row.iters, line.reach or 0), row.run.metrics.get("train_seconds", 0.0))
            for row in (rows[at] for at in line.rows)
            if "sweep.reused_from" not in row.run.tags
        ]
        steps, times = [n for n, _ in own], [s for _, s in own]
        iterations += whole(steps) if own else 0
        seconds += whole(times) if own else 0.0
    return iterations, seconds
