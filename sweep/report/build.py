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
from sweep.report.pages import Page, Section, html, markdown, note
from sweep.report.results import final_error_table
from sweep.report.tables import Table, csv_text, final_error_frame, repeats_frame, runs_frame
from sweep.tracking.question import Question, question_of

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun, StoredSweep

    Stored = tuple[StoredSweep, Sequence[StoredRun]]

__all__ = ["Report", "build_comparison", "build_report", "write"]


@dataclass(frozen=True)
class Report:
    """What a report, or a comparison, came to.

    Attributes
    ----------
    folder, files
        Where it is, and every file that was written.
    headline
        The answer in words, plain text on one line.
    note
        A short summary in Markdown: the headline as first line, then the tables.
    final_error
        The table of a report for the terminal.
    best
        The best run of a report; of repeats the first of the best point.
    """

    folder: Path
    files: tuple[Path, ...]
    headline: str
    note: str = ""
    final_error: Table | None = None
    best: StoredRun | None = None


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
    drawn = _drawn(pictures_of(data, pairs), subtitle)
    page = content_of(data, pairs, drawn, command_ui, links, place)
    files += _written(page, folder)
    best = None if data.best is None else data.best.run
    return Report(folder, tuple(files), page.answer, note(page), final_error_table(data), best)


def build_comparison(
    first: Stored, second: Stored, folder: Path, question: Question | None = None
) -> Report:
    """Compare two stored sweeps, write the files into `folder` and return what they say.

    Parameters
    ----------
    first, second
        A sweep and its runs, as `sweep.tracking.read` gives them.
    folder
        Made if it is not there; gets comparison.csv, report.md, index.html and the picture.
    question
        What decides between runs; None for what the first sweep's plan says.
    """
    question = question or question_of(first[0].plan())
    if len({question.deciding(runs) for _, runs in (first, second)}) > 1:
        question = replace(question, metric="final_error")  # one of them has no validation
    found = compare.compared(sweep_data(*first, question), sweep_data(*second, question))
    folder.mkdir(parents=True, exist_ok=True)
    files = [write(folder / "comparison.csv", csv_text(compare.exact_frame(found)))]
    ids = [plain(data.sweep.sweep_id) for data in found.data]
    picture = comparison_picture(found)
    sections = _drawn([picture] if picture else [], f"sweeps {ids[0]} and {ids[1]}")
    tables = [compare.result_table(found), compare.change_table(found), compare.cost_table(found)]
    sections += [Section(f"table-{i}", table.title, table) for i, table in enumerate(tables)]
    title = f"Sweep {ids[0]} (first) and sweep {ids[1]} (second)"
    page = Page(title, found.answer, sections, files=["comparison.csv", "index.html"])
    files += _written(page, folder)
    return Report(folder, tuple(files), found.answer)


def _drawn(pictures: Sequence[Picture], subtitle: str) -> list[Section]:
    sections = []
    for picture in pictures:
        figure = picture.draw(subtitle)
        both = png_bytes(figure), svg_bytes(figure, picture.name)
        sections.append(Section(picture.name, picture.title, picture=picture, drawn=both))
    return sections


def _written(page: Page, folder: Path) -> list[Path]:
    """Write the pictures of a page, then the page itself."""
    files = []
    for part in page.sections:
        for content, kind in zip(part.drawn, ("png", "svg"), strict=False):
            files.append(write(folder / f"{part.anchor}.{kind}", content))
    files.append(write(folder / "report.md", markdown(page)))
    return [*files, write(folder / "index.html", html(page))]


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
