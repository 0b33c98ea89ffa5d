"""Build a report, or the comparison of two sweeps: read, compute, draw, write."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.report import compare
from sweep.report.content import content_of
from sweep.report.data import sweep_data
from sweep.report.figures import pictures_of
from sweep.report.figures.canvas import Picture, png_bytes, svg_bytes
from sweep.report.figures.comparison import comparison_picture
from sweep.report.figures.rules import rule_pairs
from sweep.report.formats import counted, plain
from sweep.report.pages import Drawn, Page, Section, html, markdown, note
from sweep.report.results import final_error_table, trouble_table
from sweep.report.tables import Table, csv_text, final_error_frame, repeats_frame, runs_frame
from sweep.tracking.question import Question, question_of

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun, StoredSweep

    Stored = tuple[StoredSweep, Sequence[StoredRun]]

__all__ = ["ComparisonReport", "Report", "build_comparison", "build_report", "write"]


@dataclass(frozen=True)
class Report:
    """What a report came to.

    Attributes
    ----------
    folder
        Where its files are.
    headline
        The answer in words, plain text on one line.
    final_error
        The table of final errors, for the terminal.
    trouble
        Runs that diverged, failed or did not finish, for the terminal.
    best
        The best run.
    note
        A short summary in Markdown: the headline as first line, then the tables.
    files
        Every file that was written.
    """

    folder: Path
    headline: str
    final_error: Table
    trouble: Table
    best: StoredRun | None
    note: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class ComparisonReport:
    """What a comparison came to: its answer in words, its tables, its files."""

    folder: Path
    headline: str
    results: Table
    changes: Table
    files: tuple[Path, ...]


def build_report(
    sweep: StoredSweep,
    runs: Sequence[StoredRun],
    folder: Path,
    *,
    command_ui: str,
    links: Mapping[str, str] = {},
    place: str = "",
    question: Question | None = None,
) -> Report:
    """Write the report of a sweep into `folder` and return what it says.

    Parameters
    ----------
    sweep, runs
        As `sweep.tracking.read` gives them, runs in plan order.
    folder
        Made if it is not there; files of an earlier report are replaced one by one.
    command_ui
        The command that opens the MLflow UI.
    links
        Named web addresses. ``runs`` is the one that a run's id is appended to; the others
        are shown by their name. Only http and https are taken.
    place
        The words that give another command the place where the sweep is stored; empty for the
        defaults.
    question
        What decides between runs; None for what the sweep's plan says.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    data = sweep_data(sweep, runs, question)
    folder.mkdir(parents=True, exist_ok=True)
    frames = {"runs": runs_frame, "final_error": final_error_frame}
    if data.repeats:
        frames["repeats"] = repeats_frame
    files = [write(folder / f"{name}.csv", csv_text(make(data))) for name, make in frames.items()]
    pairs = rule_pairs(data)
    subtitle = f"sweep {plain(sweep.sweep_id)} · {counted(len(data.started), 'run')}"
    drawn = _draw(pictures_of(data, pairs), subtitle, folder, files)
    page = content_of(data, pairs, drawn, command_ui, links, place)
    files += _pages(page, folder)
    best = None if data.best is None else data.best.run
    shown = (final_error_table(data), trouble_table(data))
    return Report(folder, page.answer, *shown, best, note(page), tuple(files))


def build_comparison(
    first: Stored, second: Stored, folder: Path, question: Question | None = None
) -> ComparisonReport:
    """Compare two stored sweeps, write the files into `folder` and return what they say.

    Parameters
    ----------
    first, second
        A sweep and its runs, as `sweep.tracking.read` gives them.
    question
        What decides between runs; None for what the first sweep's plan says.
    folder
        Made if it is not there; gets comparison.csv, report.md, index.html and the picture.
    """
    question = question or question_of(first[0].plan())
    metrics = {question.deciding(runs) for _, runs in (first, second)}
    if len(metrics) > 1:  # one of them has no validation
        question = replace(question, metric="final_error")
    found = compare.compared(sweep_data(*first, question), sweep_data(*second, question))
    folder.mkdir(parents=True, exist_ok=True)
    files = [write(folder / "comparison.csv", csv_text(compare.exact_frame(found)))]
    ids = [plain(data.sweep.sweep_id) for data in found.data]
    picture = comparison_picture(found)
    pictures = [] if picture is None else [picture]
    drawn = _draw(pictures, f"sweeps {ids[0]} and {ids[1]}", folder, files)
    tables = [compare.result_table(found), compare.change_table(found), compare.cost_table(found)]
    sections = [Section(one.picture.name, one.picture.title, drawn=one) for one in drawn]
    sections += [Section(f"table-{i}", table.title, table=table) for i, table in enumerate(tables)]
    title = f"Sweep {ids[0]} (first) and sweep {ids[1]} (second)"
    page = Page(title, found.answer, tuple(sections), files=("comparison.csv", "index.html"))
    files += _pages(page, folder)
    return ComparisonReport(folder, found.answer, tables[0], tables[1], tuple(files))


def _draw(
    pictures: Sequence[Picture], subtitle: str, folder: Path, files: list[Path]
) -> list[Drawn]:
    """Draw and write pictures as PNG and SVG; their paths are added to `files`."""
    drawn = []
    for picture in pictures:
        figure = picture.draw(subtitle)
        one = Drawn(picture, png_bytes(figure), svg_bytes(figure, picture.name))
        files.append(write(folder / f"{picture.name}.png", one.png))
        files.append(write(folder / f"{picture.name}.svg", one.svg))
        drawn.append(one)
    return drawn


def _pages(page: Page, folder: Path) -> list[Path]:
    text = write(folder / "report.md", markdown(page))
    return [text, write(folder / "index.html", html(page))]


def write(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name and move it into place; return `path`."""
    if isinstance(content, str):
        content = content.encode("utf-8", errors="backslashreplace")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
