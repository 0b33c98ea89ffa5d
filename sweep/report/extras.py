"""What runs say beside their error: the validation error, and metrics of a trainer's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sweep.report.facts import Facts, Point
from sweep.report.tables import Table
from sweep.report.words import figure, plain, rate

__all__ = ["extra_metrics", "extra_table"]

OWN = frozenset(
    (
        "best_error",
        "best_step",
        "diverged_at",
        "error",
        "final_error",
        "final_error_log10",
        "initial_error",
        "stalled_at",
        "train_seconds",
        "validation_error",
    )
)
"""What every run has, and the report says elsewhere; the validation curve's last value, too."""

MOST = 8
"""So many metrics are shown, the first by name; runs.csv holds all."""


def extra_metrics(points: Sequence[Point]) -> list[str]:
    """Return the metrics that some run has beside the usual, those of the validation first."""
    names = {name for point in points for name in point.run.metrics}
    extra = sorted(name for name in names if name not in OWN and not name.startswith("weights/"))
    return sorted(extra, key=lambda name: "validation_error" not in name)


def extra_table(facts: Facts) -> Table:
    """Return a row a run with its metrics beside the error, in plan order."""
    names = extra_metrics(facts.points)
    shown = names[:MOST]
    rows = []
    for point in facts.points if shown else ():
        values = [point.metric(name) for name in shown]
        cells = ["" if v is None or not math.isfinite(v) else figure(v) for v in values]
        rows.append((rate(point.lr), *map(plain, point.others), str(point.iters), *cells))
    left = len(names) - len(shown)
    return Table(
        "Other metrics at the end of each run",
        ("lr", *map(plain, facts.others), "iterations", *map(plain, shown)),
        tuple(rows),
        (True, *[False] * len(facts.others), True, *[True] * len(shown)),
        f"{left} more are in runs.csv." if left > 0 else "",
    )
