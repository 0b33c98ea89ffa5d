"""The comparison of a sweep: tables, pictures and pages, built from the store alone.

    facts       StoredSweep + StoredRun -> Facts, everything read once
    words       the answer in sentences and numbers as text
    tables      Facts -> data frames -> tables to show          (the one pandas import)
    infos       Facts -> what each picture shows, as plain positions
    plots       infos -> Figure                                 (the one matplotlib import)
    markdown, page     the same tables and pictures as report.md and index.html
    build       all of it, written to one folder

The package itself imports nothing heavy: `sweep.report.colours` is also what colours the
runs in the MLflow UI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.report.build import Report, build_report

__all__ = ["Report", "build_report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sweep.report import build

        return getattr(build, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
