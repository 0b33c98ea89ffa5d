"""What MLflow's page shows of sweeps: the views that are saved, in the format of `views`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.tracking.stored import SUPERSEDED
from sweep.tracking.views import (
    View,
    bar_chart,
    charts,
    curve_chart,
    listing,
    metric_column,
    parallel_chart,
    param_column,
    section,
    tag_column,
)

__all__ = [
    "ALL_SWEEPS",
    "Varying",
    "charts_view",
    "sweep_condition",
    "sweeps_view",
    "view_key",
    "weights_view",
]

ALL_SWEEPS = "all-sweeps"
"""Key of the view that compares sweeps."""

WEIGHT = "weights/"

RESULTS = (
    "final_error",
    "final_error_log10",
    "best_error",
    "best_step",
    "stalled_at",
    "diverged_at",
    "train_seconds",
)
"""Columns of a run's results, in this order."""


@dataclass(frozen=True)
class Varying:
    """What a sweep's runs have, and what of it is not the same in all of them.

    A parallel coordinate whose values are all equal takes room and tells nothing.

    Attributes
    ----------
    all_metrics
        Every metric that a run has.
    metrics, params
        Names whose values differ between runs.
    """

    all_metrics: frozenset[str]
    metrics: frozenset[str]
    params: frozenset[str]

    @classmethod
    def of(
        cls, params: Sequence[Mapping[str, str]], metrics: Sequence[Mapping[str, float]]
    ) -> Varying:
        """Return it for the params and metrics of the runs."""
        return cls(frozenset().union(*metrics), _varied(metrics), _varied(params))


def _varied(runs: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    names = frozenset[str]().union(*runs)
    return frozenset(n for n in names if len({run[n] for run in runs if n in run}) > 1)


def view_key(sweep_id: str, part: str = "") -> str:
    """Return the key of a sweep's view; `part` is empty or ``weights``."""
    return f"sweep-{sweep_id}-{part}" if part else f"sweep-{sweep_id}"


def sweep_condition(sweep_id: str) -> str:
    """Return the search that finds the runs of a sweep, flat; every MLflow 3 reads it."""
    return f"tags.`sweep.id` = '{sweep_id}' and tags.`sweep.role` = 'run'"


def _counting(sweep_id: str) -> str:
    """Return the search that leaves out attempts which a later one stands for."""
    return f"{sweep_condition(sweep_id)} and tags.`{SUPERSEDED}` IS NULL"


def charts_view(sweep_id: str, axes: Sequence[str], runs: Varying) -> View:
    """Return a sweep's view: error curves, final errors, and the grid against the result.

    Parameters
    ----------
    axes
        The swept keys: the first columns, and the axes of the parallel coordinates.
    """
    sections = [section("curves", "Error by iteration", 1, 420)]
    sections += [section("finals", "Final error, log10", 1, 360)]
    sections += [section("grid", "Settings and final error", 1, 360)]
    varied = [axis for axis in axes if axis in runs.params]
    drawn = [curve_chart("curves", "error"), bar_chart("finals", "final_error_log10")]
    drawn += [parallel_chart("grid", varied or axes, ["final_error_log10"])]
    columns = [
        *(param_column(axis) for axis in axes),
        tag_column("sweep.outcome"),
        *(metric_column(name) for name in RESULTS),
    ]
    return View(
        view_key(sweep_id),
        f"sweep {sweep_id}",
        listing(_counting(sweep_id), metric_column("final_error"), True, columns)
        | charts(sections, drawn, runs.all_metrics, ("error", "final_error_log10")),
    )


def weights_view(sweep_id: str, axes: Sequence[str], runs: Varying) -> View | None:
    """Return the view of a sweep's final weights, None where no run has them as metrics."""
    weights = sorted((n for n in runs.all_metrics if n.startswith(WEIGHT)), key=_natural)
    if not weights:
        return None
    sections = [section("each", "Each weight after training", 3, 300)]
    drawn = [bar_chart("each", name) for name in weights]
    varied = [name for name in weights if name in runs.metrics]
    if len(varied) > 1:
        sections.insert(0, section("all", "Weights after training, all runs", 1, 400))
        drawn.insert(0, parallel_chart("all", [], varied))
    columns = [param_column(axis) for axis in axes] + [metric_column("final_error")]
    columns += [metric_column(name) for name in weights]
    return View(
        view_key(sweep_id, "weights"),
        f"sweep {sweep_id}: weights",
        listing(_counting(sweep_id), metric_column("final_error"), True, columns)
        | charts(sections, drawn, runs.all_metrics, weights),
    )


def sweeps_view() -> View:
    """Return the experiment's view that compares its sweeps, the newest first."""
    totals = ("runs_total", "runs_finished", "runs_failed", "runs_diverged")
    best = ("best_final_error", "best_final_error_log10")
    sections = [
        section("best", "Best final error, log10", 1, 360),
        section("runs", "Runs", 2, 300),
    ]
    drawn = [bar_chart("best", "best_final_error_log10")]
    drawn += [bar_chart("runs", name) for name in totals]
    columns = ["attributes.`Created`", "attributes.`Duration`"]
    columns += [metric_column(name) for name in (best[0], *totals)]
    condition = "tags.`sweep.role` = 'sweep'"
    return View(
        ALL_SWEEPS,
        "all sweeps",
        listing(condition, "attributes.`start_time`", False, columns)
        | charts(sections, drawn, [*best, *totals], [best[1], *totals]),
    )


def _natural(name: str) -> tuple[Any, ...]:
    """Return a sort key: weights before biases, w2 before w10."""
    parts = re.split(r"(\d+)", name.removeprefix(WEIGHT))
    return (parts[0] == "b", [int(part) if part.isdecimal() else part for part in parts])
