"""Build a report: read, compute, draw, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.report import canvas
from sweep.report.content import content_of
from sweep.report.facts import Facts, facts_of
from sweep.report.markdown import markdown, note
from sweep.report.page import page
from sweep.report.paths import ReportPaths, write
from sweep.report.pictures import Picture
from sweep.report.tables import Table, csv_text, final_error_frame, runs_frame
from sweep.report.words import grouped, plain

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["Report", "build_report"]


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
        Runs that diverged, stalled, failed or did not finish, for the terminal.
    best
        The run with the smallest final error.
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


def build_report(
    sweep: StoredSweep,
    runs: Sequence[StoredRun],
    folder: Path,
    *,
    command_ui: str,
    links: Mapping[str, str] = {},
    place: str = "",
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
        The words that tell another command where the sweep is stored; empty for the defaults.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    facts = facts_of(sweep, runs)
    content = content_of(facts, command_ui, links, place)
    paths = ReportPaths(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        write(paths.runs, csv_text(runs_frame(facts))),
        write(paths.final_error, csv_text(final_error_frame(facts))),
    ]
    shown: list[tuple[Picture, bytes, bytes]] = []
    for picture in content.pictures:
        figure = picture.draw(_subtitle(facts))
        png, svg = canvas.png_bytes(figure), canvas.svg_bytes(figure, picture.name)
        files.append(write(paths.picture(picture.name, "png"), png))
        files.append(write(paths.picture(picture.name, "svg"), svg))
        shown.append((picture, png, svg))
    files.append(write(paths.markdown, markdown(content)))
    files.append(write(paths.page, page(facts, content, shown)))
    best = facts.best
    return Report(
        folder,
        content.answer,
        content.final_error,
        content.trouble,
        None if best is None else best.run,
        note(content),
        tuple(files),
    )


def _subtitle(facts: Facts) -> str:
    count = len(facts.points)
    noun = "run" if count == 1 else "runs"
    return f"sweep {plain(facts.sweep.sweep_id)} · {grouped(count)} {noun}"
