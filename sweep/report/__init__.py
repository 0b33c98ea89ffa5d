"""The report of a sweep: tables, pictures and pages, built from the store alone.

    data, axes, curves       StoredSweep + StoredRun -> one table of runs, and their curves (pandas)
    answer, results, rules   what the runs say, in words and tables
    tables, compare          exact frames for the CSV files; two sweeps side by side
    figures/                 one module a picture: its data and its drawing (matplotlib)
    content, pages           the sections of a page; HTML and Markdown from templates/ (Jinja2)
    formats, colours         how numbers are written, and every colour
    build                    the files of a report, and of a comparison

The package itself imports nothing heavy: `sweep.report.colours` also colours the runs in the
MLflow UI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.report.build import ComparisonReport, Report, build_comparison, build_report

__all__ = ["ComparisonReport", "Report", "build_comparison", "build_report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sweep.report import build

        return getattr(build, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
