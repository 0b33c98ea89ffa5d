"""The comparison of a sweep: tables, pictures and pages, built from the store alone.

    facts                    StoredSweep + StoredRun -> Facts, everything read once
    words, tables            the answer, numbers as text; data frames and tables   (pandas)
    looks, scale, colours    what all pictures share: panels, log axes, one colour a rate
    curves, heat, weights, rules     what each picture shows, as plain positions
    *_plots, canvas          those positions on paper                              (matplotlib)
    pictures, alts           which pictures there are, and what they show in words
    content                  all that a report says; markdown and page only dress it
    build, build_compare     the files of a report, and of two sweeps side by side

The package itself imports nothing heavy: `sweep.report.colours` is also what colours the
runs in the MLflow UI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.report.build import Report, build_report
    from sweep.report.build_compare import ComparisonReport, build_comparison

__all__ = ["ComparisonReport", "Report", "build_comparison", "build_report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sweep.report import build, build_compare

        return getattr(build if hasattr(build, name) else build_compare, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
