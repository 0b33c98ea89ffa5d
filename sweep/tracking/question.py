"""The question that decides between runs: by which metric, smallest or largest, over which repeats.

It is in no signature. plan.json keeps the sweep's own; a report may ask another one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sweep.tracking.entities import entity_name

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun

REPEATS = ("seed", "data.fold")
"""The axes that make repeats where the sweep names no others."""

POINT = "sweep.point"
"""The tag that the repeats of one grid point share: its name without the repeated axes."""


@dataclass(frozen=True)
class Question:
    """What decides between runs.

    Attributes
    ----------
    metric
        None for `final_error`, or `best_validation_error` where a run has one.
    mode
        ``min`` where smaller is better, ``max`` where larger is.
    repeats
        Axes whose values repeat a grid point instead of making another one.
    """

    metric: str | None = None
    mode: str = "min"
    repeats: tuple[str, ...] = REPEATS

    def document(self) -> dict[str, Any]:
        """Return it as plan.json holds it."""
        return {"metric": self.metric, "mode": self.mode, "repeats": list(self.repeats)}

    def deciding(self, runs: Iterable[StoredRun]) -> str:
        """Return the name of the metric that decides between these runs."""
        if self.metric is not None:
            return self.metric
        validated = any("best_validation_error" in run.metrics for run in runs)
        return "best_validation_error" if validated else "final_error"

    def unanswered(self, runs: Sequence[StoredRun]) -> str:
        """Return the sentence that no run has the metric; empty where one does, or none ran."""
        names = {name for run in runs for name in run.metrics}
        if self.metric is None or self.metric in names or not runs:
            return ""
        shown = sorted(name for name in names if not name.startswith("weights/"))
        listed = ", ".join(shown) or "none at all"
        return f"metric={self.metric}: no run has this metric; the runs have {listed}."

    def best_metrics(self, runs: Sequence[StoredRun]) -> dict[str, float]:
        """Return the best of the final errors and of the deciding metric over all runs.

        Where grid points were repeated, ``best_mean_<metric>`` is the best mean of a point.
        """
        found = {
            name: min(values)
            for name in ("final_error", "final_error_log10")
            if (values := [run.metrics[name] for run in runs if name in run.metrics])
        }
        metric = self.deciding(runs)
        points = _points(runs, metric)
        choose = max if self.mode == "max" else min
        if points:
            found[metric] = choose(value for own in points.values() for value, _ in own)
        if any(POINT in run.tags for run in runs) and points:
            found[f"mean_{metric}"] = choose(map(_mean, points.values()))
        return {entity_name(f"best_{name}"): value for name, value in found.items()}

    def best_run(self, runs: Sequence[StoredRun]) -> StoredRun | None:
        """Return the best run of the grid point with the best mean; None where none has a value.

        Of equal ones it is that with fewer iterations.
        """
        points = _points(runs, self.deciding(runs))
        sign = -1.0 if self.mode == "max" else 1.0
        if not points:
            return None

        def iterations(run: StoredRun) -> float:
            return float(run.params.get("iters", "inf"))

        best = min(points.values(), key=lambda own: (sign * _mean(own), iterations(own[0][1])))
        return min(best, key=lambda one: (sign * one[0], iterations(one[1])))[1]


def question_of(
    plan: Mapping[str, Any],
    metric: str | None = None,
    mode: str | None = None,
    repeats: Sequence[str] | None = None,
) -> Question:
    """Return the question that a sweep's plan.json asks, with what is asked otherwise."""
    stored = plan.get("question")
    stored = stored if isinstance(stored, Mapping) else {}
    own = stored.get("repeats", REPEATS)
    if metric is None:
        name, way = stored.get("metric"), mode or stored.get("mode")
        metric = None if name is None else str(name)
    else:
        way = mode
    if repeats is None:
        repeats = [str(one) for one in own] if isinstance(own, list | tuple) else REPEATS
    return Question(metric, "max" if way == "max" else "min", tuple(repeats))


def repeat_problems(repeats: Iterable[str], axes: Sequence[str]) -> list[str]:
    """Return why some of `repeats` cannot repeat the grid points of these axes."""
    others = [key for key in axes if key not in ("lr", "iters")]
    advice = f"name one of {', '.join(others)}" if others else "write []"
    return [
        f"repeats=[{key}]: {'its values are compared' if key in axes else 'this is no axis'}; "
        f"{advice}."
        for key in repeats
        if key not in others and key not in REPEATS
    ]


def _points(runs: Iterable[StoredRun], metric: str) -> dict[str, list[tuple[float, StoredRun]]]:
    """Return the completed runs of each grid point with their values of the metric."""
    found: dict[str, list[tuple[float, StoredRun]]] = {}
    for run in runs:
        value = run.metrics.get(metric, math.nan)
        if run.outcome == "completed" and math.isfinite(value):
            found.setdefault(run.tags.get(POINT, run.run_id), []).append((value, run))
    return found


def _mean(own: Sequence[tuple[float, StoredRun]]) -> float:
    return fmean(value for value, _ in own)


def totals_of(runs: Sequence[StoredRun], question: Question) -> dict[str, float]:
    """Return the metrics of a sweep, counted from its runs."""
    totals = {
        "runs_finished": float(sum(run.status == "FINISHED" for run in runs)),
        "runs_failed": float(sum(run.status == "FAILED" for run in runs)),
        "runs_diverged": float(sum(run.outcome == "diverged" for run in runs)),
    }
    return totals | question.best_metrics(runs)
