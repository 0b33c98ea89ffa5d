"""Build the comparison of two sweeps: CSV, Markdown, page and picture in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.report import canvas
from sweep.report.compare import (
    Comparison,
    change_table,
    compared,
    cost_table,
    exact_columns,
    result_table,
)
from sweep.report.compare_plots import draw_comparison
from sweep.report.facts import facts_of
from sweep.report.markdown import escaped, table_lines
from sweep.report.markup import raw, tag
from sweep.report.page import document, pictured, section, shown
from sweep.report.paths import ReportPaths, write
from sweep.report.pictures import Picture
from sweep.report.tables import Table, csv_text, exact_frame
from sweep.report.words import plain

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun, StoredSweep

    Stored = tuple[StoredSweep, Sequence[StoredRun]]

__all__ = ["ComparisonReport", "build_comparison"]

PICTURE = "comparison"


@dataclass(frozen=True)
class ComparisonReport:
    """What a comparison came to: its answer in words, its tables, its files."""

    folder: Path
    headline: str
    results: Table
    changes: Table
    files: tuple[Path, ...]


def build_comparison(first: Stored, second: Stored, folder: Path) -> ComparisonReport:
    """Compare two stored sweeps, write the files into `folder` and return what they say.

    Parameters
    ----------
    first, second
        A sweep and its runs, as `sweep.tracking.read` gives them.
    folder
        Made if it is not there; gets comparison.csv, report.md, index.html and the picture.
    """
    comparison = compared(facts_of(*first), facts_of(*second))
    ids = [plain(facts.sweep.sweep_id) for facts in comparison.facts]
    title = f"Sweep {ids[0]} (first) and sweep {ids[1]} (second)"
    tables = [result_table(comparison), change_table(comparison), cost_table(comparison)]
    folder.mkdir(parents=True, exist_ok=True)
    paths = ReportPaths(folder)
    files = [write(folder / "comparison.csv", csv_text(exact_frame(exact_columns(comparison))))]
    drawn = []
    if any(None not in match.errors for match in comparison.matches):
        picture = _picture(comparison)
        figure = picture.draw(f"sweeps {ids[0]} and {ids[1]}")
        png, svg = canvas.png_bytes(figure), canvas.svg_bytes(figure, PICTURE)
        files.append(write(paths.picture(PICTURE, "png"), png))
        files.append(write(paths.picture(PICTURE, "svg"), svg))
        drawn.append((picture, png, svg))
    lines = [escaped(comparison.answer), "", f"# {escaped(title)}", ""]
    for picture, _, _ in drawn:
        lines += [f"![{escaped(picture.alt)}]({PICTURE}.png)", ""]
    for table in tables:
        lines += [f"## {table.title}", "", *(table_lines(table) if table.rows else []), ""]
        lines += [escaped(table.note), ""] if table.note else []
    files.append(write(paths.markdown, "\n".join(lines)))
    sections = [pictured(item) for item in drawn]
    sections += [section(f"table-{i}", t.title, shown(t)) for i, t in enumerate(tables)]
    skip = tag("a", "Skip to the tables", href="#table-0", class_="skip")
    text = document(title, comparison.answer, sections, before=skip, head=raw())
    files.append(write(paths.page, text))
    return ComparisonReport(folder, comparison.answer, tables[0], tables[1], tuple(files))


def _picture(comparison: Comparison) -> Picture:
    alt = (
        f"The final error of the second sweep against that of the first at "
        f"{len(comparison.matches)} grid points, on logarithmic axes. {comparison.answer}"
    )
    caption = "Marks below the dashed line: the second sweep ended lower."
    draw = partial(draw_comparison, comparison)
    return Picture(PICTURE, "Final errors against each other", alt, caption, draw)
