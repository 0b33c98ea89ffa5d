"""Build the report of a sweep, or the comparison of two: read, compute, draw, write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sweep.question import Question, question_of
from sweep.report import compare, files, tables
from sweep.report.answer import answer
from sweep.report.axes import main_axis
from sweep.report.colours import shades
from sweep.report.curves import Frame
from sweep.report.data import SweepData, sweep_data
from sweep.report.figures import pictures_of
from sweep.report.figures.comparison import comparison_picture
from sweep.report.figures.rules import rule_pairs
from sweep.report.formats import Table, duration, grouped, plain
from sweep.report.pages import Page, Section, html, markdown

if TYPE_CHECKING:
    from sweep.tracking.read import StoredRun, StoredSweep

    Stored = tuple[StoredSweep, Sequence[StoredRun]]

MOST_UNREAD = 5

PICTURES = (
    *("effect_of_each_axis", "final_error_heatmap", "parallel_coordinates", "error_curves"),
    *("metric_curves", "final_error_by_iterations", "final_error_by_rate", "weights"),
    *("rules", "rules_weights", "comparison"),
)
OPTIONAL = {"repeats.csv", *(f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg"))}
"""The files that some reports do not have."""


@dataclass(frozen=True)
class Report:
    """A report, or a comparison, as written into `folder`.

    `headline` is the answer, plain text on one line; `note` a summary in Markdown that begins with
    it; `final_error` the table for the terminal; `best` the best run (with repeats, the first run
    of the best grid point); `files` are all files written.
    """

    folder: Path
    files: tuple[Path, ...]
    headline: str
    note: str = ""
    final_error: Table | None = None
    best: StoredRun | None = None


@np.errstate(over="ignore", invalid="ignore")  # errors may be close to the largest float
def build_report(
    sweep: StoredSweep,
    runs: Sequence[StoredRun],
    folder: Path,
    *,
    command_ui: str,
    run_pages: str = "",
    store_arguments: str = "",
    question: Question | None = None,
) -> Report:
    """Write the report of a sweep into `folder`; raise OSError if that cannot be written.

    Parameters
    ----------
    sweep, runs
        As `sweep.tracking.read` returns them, runs in plan order.
    folder
        Created if missing; files of an earlier report are replaced atomically or deleted.
    run_pages
        The http or https address of a run's page without its ID; others are ignored.
    store_arguments
        Arguments that select the sweep's store in other commands; empty for the defaults.
    question
        What decides between runs; None uses the plan's question.
    """
    data = sweep_data(sweep, runs, question)
    pairs = rule_pairs(data)
    sweep_id, about = plain(sweep.sweep_id), data.plan.get("about", {})
    frames = {"runs.csv": files.runs_frame(data), "final_error.csv": files.final_error_frame(data)}
    if data.repeats:
        frames["repeats.csv"] = files.repeats_frame(data)
    written = _write_frames(folder, frames)
    pictures = [Section(one.name, one.title, picture=one) for one in pictures_of(data, pairs)]
    final = tables.top_table(data) if data.sparse else tables.final_error_table(data)
    sections = [
        *_tables(data, pairs, final, pictures),
        *_runs(data, run_pages if run_pages.startswith(("http://", "https://")) else ""),
        Section("cost", "Time and cost", entries=cost(data)),
        Section(
            "repeat",
            "Next commands",
            entries=_commands(data, command_ui, store_arguments),
            code=True,
        ),
        Section("origin", "Provenance", entries=_origin(data)),
    ]
    name = about.get("name")
    page = Page(
        f"Sweep {plain(str(name))} ({sweep_id})" if name else f"Sweep {sweep_id}",
        answer(data),
        [part for part in sections if part.table or part.picture or part.entries],
        _notes(data),
        [*frames, "index.html"],
        plain(str(about.get("note") or ""), 2000),
    )
    written += _write_page(folder, page)
    best = None if data.best is None else data.best.run
    return Report(folder, tuple(written), page.answer, markdown(page, note=True), final, best)


@np.errstate(over="ignore", invalid="ignore")
def build_comparison(
    first: Stored, second: Stored, folder: Path, question: Question | None = None
) -> Report:
    """Write the comparison of two stored sweeps; `question` defaults to that of the first."""
    question = question or question_of(first[0].plan(strict=False))
    if len({question.deciding(runs) for _, runs in (first, second)}) > 1:
        question = replace(question, metric="final_error")  # one of them has no validation data
    found = compare.compared(sweep_data(*first, question), sweep_data(*second, question))
    written = _write_frames(folder, {"comparison.csv": compare.exact_frame(found)})
    ids = [plain(data.sweep.sweep_id) for data in found.data]
    picture = comparison_picture(found)
    sections = [Section(picture.name, picture.title, picture=picture)] if picture else []
    made = [compare.result_table(found), compare.change_table(found), compare.cost_table(found)]
    sections += [Section(f"table-{i}", table.title, table) for i, table in enumerate(made)]
    title = f"Sweep {ids[0]} (first) and sweep {ids[1]} (second)"
    page = Page(title, found.answer, sections, files=["comparison.csv", "index.html"])
    written += _write_page(folder, page)
    return Report(folder, tuple(written), found.answer)


def _write_frames(folder: Path, frames: Mapping[str, Frame]) -> list[Path]:
    """Write the CSV files; called before drawing, so that they exist if a signal ends it."""
    folder.mkdir(parents=True, exist_ok=True)
    return [files.write(folder / name, files.csv_text(frame)) for name, frame in frames.items()]


def _write_page(folder: Path, page: Page) -> list[Path]:
    contents: dict[str, str | bytes] = {}
    for picture in filter(None, (part.picture for part in page.sections)):
        contents |= {f"{picture.name}.png": picture.png, f"{picture.name}.svg": picture.svg}
    contents |= {"report.md": markdown(page), "index.html": html(page)}
    for name in OPTIONAL - {*contents, *page.files}:  # of an earlier report
        (folder / name).unlink(missing_ok=True)
    return [files.write(folder / name, content) for name, content in contents.items()]


def _tables(data: SweepData, pairs: Frame, final: Table, pictures: list[Section]) -> list[Section]:
    """Return the tables that have rows, with the pictures after the main ones."""
    several, many = len(data.axes["iters"].values) > 1, len(data.varying) > 2
    top = {"top": tables.top_table(data)} if len(data.ranked) > 1 else {}
    errors = {"errors": final} if (several or not many) and not data.sparse else {}
    errors["spread"] = tables.repeats_table(data)
    rest = {"effects": tables.effect_table(data)} if many else {}
    rest["thresholds"] = tables.threshold_table(data)
    rest |= {"budgets": tables.budget_table(data)} if several else {}
    rest |= {"both-rules": tables.rule_table(data, pairs), "metrics": tables.metrics_table(data)}
    rest["trouble"] = tables.trouble_table(data)
    short = ("top" if many or data.sparse else "errors", "trouble")
    before, after = (
        [Section(n, one.title, one, short=n in short) for n, one in part.items() if one.rows]
        for part in (top | errors if many else errors | top, rest)
    )
    return [*before, *pictures, *after]


def _runs(data: SweepData, base: str) -> list[Section]:
    if data.started.empty:
        return []
    table, key = tables.runs_table(data), main_axis(data)
    colours = dict(zip(key.values, shades(key.name, len(key.values)), strict=True))
    shown = data.values.loc[data.started.index, key.name].map(colours)
    addresses = [base + run.run_id if base else "" for run in data.started.run]
    return [Section("runs", table.title, table, dots=list(zip(shown, addresses, strict=True)))]


def _commands(data: SweepData, command_ui: str, store_arguments: str) -> dict[str, str]:
    """Return commands to run next, in order of use; MLflow's own command comes last."""
    words = " ".join(filter(None, (f"sweep={data.sweep.sweep_id}", store_arguments)))
    command = str(data.plan.get("command", ""))
    return ({"the sweep again": command} if command else {}) | {
        "this report again": f"python -m sweep.report {words}",
        "the runs in MLflow": f"python -m sweep.ui {words}",
        "train again and compare": f"python -m sweep.verify {words}",
        "MLflow's own server": command_ui,
    }


def _origin(data: SweepData) -> dict[str, str]:
    """Return the user's tags, the data's preparation, versions, platform and best signature."""
    tags = data.plan.get("about", {}).get("tags")
    tags = tags if isinstance(tags, dict) else {}
    found = {"tags": plain(", ".join(f"{key}={value}" for key, value in tags.items()), 500)}
    for name in ("data", "versions", "platform"):
        seen = dict.fromkeys(_flat(run.tags.get(f"sweep.{name}", "")) for run in data.started.run)
        found[name] = " | ".join(filter(None, seen))
    if data.best is not None:
        found["signature of the best run"] = data.best.run.tags.get("sweep.signature", "")
    return {name: text for name, text in found.items() if text}


def _flat(text: str) -> str:
    """Return a tag that holds a JSON object as name value, name value; others unchanged."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        text = ", ".join(f"{name} {item}" for name, item in value.items())
    return plain(text, 500)


def _notes(data: SweepData) -> list[str]:
    found = []
    if data.unread:
        shown = [plain(text, 160) for text in data.unread[:MOST_UNREAD]]
        more = len(data.unread) - len(shown)
        shown += [f"and {more} more"] if more else []
        found.append(f"Could not be read: {'; '.join(shown)}.")
    for reason, count in data.plan.get("left_out", {}).items():
        were = "s were" if count != 1 else " was"
        found.append(f"{count} grid point{were} left out: {plain(reason, 500)}")
    return found


def cost(data: SweepData) -> dict[str, str]:
    """Return the numbers of runs, trajectories and iterations, and the times, as text."""
    count = len(data.trajectories)
    found = {"runs": grouped(len(data.started)), "trajectories": grouped(count)}
    iterations, seconds = compare.trained(data)
    found["iterations trained"] = grouped(iterations)
    separate = sum(data.started.iters)
    if 100 * separate >= 101 * iterations > 0:  # integers: they may exceed the range of a float
        few = separate <= 10**9 * iterations
        times = f"{separate / iterations:.2f}" if few else grouped(separate // iterations)
        found["separate training"] = f"{grouped(separate)} iterations ({times} times as many)"
    found["training"] = duration(seconds)
    ends = pd.Series([data.sweep.end_time, *(run.end_time for run in data.started.run)]).max()
    start = data.sweep.start_time
    if start is not None and ends >= start:
        found["from start to end"] = duration((ends - start) / 1000)
    return found
