"""How the best run is chosen: the metric, whether it is minimised, and the repeated axes.

plan.json stores a sweep's question; it is part of no signature, and reports may override it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sweep.tracking.entities import entity_name

if TYPE_CHECKING:
    from sweep.tracking.read import StoredRun

FLOOR = 1e-26
"""Smaller squared errors count as equal: they are at the limit of double precision."""

REPEATS = ("seed", "data.fold")
"""Default axes whose values are repeats of one grid point."""

POINT = "sweep.point"
"""Tag shared by the repeats of a grid point: its name without the repeated axes."""


@dataclass(frozen=True)
class Question:
    """How the best run is chosen.

    Attributes
    ----------
    metric
        None means `best_validation_error` if a run has it, else `final_error`.
    mode
        ``min`` or ``max``.
    repeats
        Axes whose values repeat a grid point instead of adding another one.
    """

    metric: str | None = None
    mode: str = "min"
    repeats: tuple[str, ...] = REPEATS

    def document(self) -> dict[str, Any]:
        """Return the entry of plan.json."""
        return {"metric": self.metric, "mode": self.mode, "repeats": list(self.repeats)}

    def deciding(self, runs: Iterable[StoredRun]) -> str:
        """Return the name of the metric by which these runs are compared."""
        if self.metric is not None:
            return self.metric
        validated = any("best_validation_error" in run.metrics for run in runs)
        return "best_validation_error" if validated else "final_error"

    def decisive(self, metric: str, value: float) -> float:
        """Return a value for comparing runs: smaller is better, errors below FLOOR are equal."""
        if self.mode == "max":
            return -value
        return FLOOR if metric.endswith("error") and 0 <= value < FLOOR else value

    def unanswered(self, runs: Sequence[StoredRun]) -> str:
        """Return an error message if no run has the metric; empty if one does or `runs` is."""
        names = {name for run in runs for name in run.metrics}
        if self.metric is None or self.metric in names or not runs:
            return ""
        shown = sorted(name for name in names if not name.startswith("weights/"))
        listed = ", ".join(shown) or "none at all"
        return f"metric={self.metric}: no run has this metric; the runs have {listed}."

    def best_metrics(self, runs: Sequence[StoredRun]) -> dict[str, float]:
        """Return ``best_<name>`` of the final errors and of the deciding metric over all runs.

        With repeats, ``best_mean_<metric>`` is the best mean over the repeats of a grid point.
        """
        found = {
            name: min(values)
            for name in ("final_error", "final_error_log10")
            if (values := [run.metrics[name] for run in runs if name in run.metrics])
        }
        metric = self.deciding(runs)
        completed = _values(runs, metric)
        choose = max if self.mode == "max" else min
        if completed:
            found[metric] = choose(value for value, _ in completed)
        if completed and repeated(runs):
            found[f"mean_{metric}"] = choose(map(_mean, _points(runs, metric).values()))
        return {entity_name(f"best_{name}"): value for name, value in found.items()}

    def best_run(self, runs: Sequence[StoredRun]) -> StoredRun | None:
        """Return the best run of the grid point with the best mean; None if no run has a value.

        A point with a diverged repeat is the best only if all have one. Ties are resolved in
        favour of fewer iterations needed.
        """
        metric = self.deciding(runs)

        def rank(own: list[tuple[float, StoredRun]]) -> tuple[float, ...]:
            counts = [float(run.params.get("iters", "inf")) for _, run in own]
            needed = [min(n, last_change(run)) for n, (_, run) in zip(counts, own, strict=True)]
            return self.decisive(metric, _mean(own)), max(needed), counts[0]

        points = _points(runs, metric)
        if not points:
            return None
        best = min(points.values(), key=rank)
        return min(best, key=lambda one: rank([one]))[1]


def last_change(run: StoredRun) -> float:
    """Return the iteration after which nothing changed or the run was stopped, else infinity."""
    ends = (run.metrics.get(name, math.inf) for name in ("stalled_at", "stopped_at"))
    return min(ends)


def question_of(
    plan: Mapping[str, Any],
    metric: str | None = None,
    mode: str | None = None,
    repeats: Sequence[str] | None = None,
) -> Question:
    """Return the question in a sweep's plan.json, overridden by arguments that are not None.

    The stored mode belongs to the stored metric: with another `metric` the default is ``min``.
    """
    stored = plan.get("question")
    stored = stored if isinstance(stored, Mapping) else {}
    own = stored.get("repeats", REPEATS)
    name = stored.get("metric")
    if metric is None:
        metric = None if name is None else str(name)
    way = mode or (stored.get("mode") if metric == name else None)
    if repeats is None:
        repeats = [str(one) for one in own] if isinstance(own, list | tuple) else REPEATS
    return Question(metric, "max" if way == "max" else "min", tuple(repeats))


def repeat_problems(repeats: Iterable[str], axes: Sequence[str]) -> list[str]:
    """Return a message for each of `repeats` that is no valid repeated axis."""
    others = [key for key in axes if key not in ("lr", "iters")]
    advice = f"name one of {', '.join(others)}" if others else "write []"
    return [
        f"repeats=[{key}]: {'its values are compared' if key in axes else 'this is no axis'}; "
        f"{advice}."
        for key in repeats
        if key not in others and key not in REPEATS
    ]


def _point(run: StoredRun) -> str:
    return run.tags.get(POINT, run.run_id)


def repeated(runs: Sequence[StoredRun]) -> bool:
    """Return whether some grid point has several runs."""
    return len(set(map(_point, runs))) < len(runs)


def _values(runs: Iterable[StoredRun], metric: str) -> list[tuple[float, StoredRun]]:
    """Return the completed runs with their finite values of the metric."""
    found = [(run.metrics.get(metric, math.nan), run) for run in runs]
    return [(v, run) for v, run in found if run.outcome == "completed" and math.isfinite(v)]


def _points(runs: Sequence[StoredRun], metric: str) -> dict[str, list[tuple[float, StoredRun]]]:
    """Return grid point -> its `_values`, without points that have a diverged repeat.

    If all have one, none is left out.
    """
    found: dict[str, list[tuple[float, StoredRun]]] = {}
    for value, run in _values(runs, metric):
        found.setdefault(_point(run), []).append((value, run))
    diverged = {_point(run) for run in runs if run.outcome == "diverged"}
    return {name: own for name, own in found.items() if name not in diverged} or found


def _mean(own: Sequence[tuple[float, StoredRun]]) -> float:
    return fmean(value for value, _ in own)


def totals_of(runs: Sequence[StoredRun], question: Question) -> dict[str, float]:
    """Return the metrics of a sweep: counts by outcome, and the best values."""
    totals = {
        "runs_finished": float(sum(run.status == "FINISHED" for run in runs)),
        "runs_failed": float(sum(run.status == "FAILED" for run in runs)),
        "runs_diverged": float(sum(run.outcome == "diverged" for run in runs)),
    }
    return totals | question.best_metrics(runs)
