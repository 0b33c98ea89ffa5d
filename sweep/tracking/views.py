"""Saved views of MLflow's own page: the format of its interface, in this one place.

Left alone the page shows nested runs as one row without a chart, the curves on linear axes
and the ten newest runs. A saved view arranges it: an experiment tag that the page reads. The
format belongs to the page's own program and is documented nowhere, so a version that was not
tried gets no view, and the plain address that compares the same runs in its stead.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ALL_SWEEPS",
    "PREFIX",
    "TESTED",
    "View",
    "charts_view",
    "is_known",
    "sweep_condition",
    "sweeps_view",
    "tag_name",
    "tag_value",
    "view_key",
    "weights_view",
]

TESTED = "3.17"
"""The only version of MLflow whose page was seen to show these views."""

PREFIX = "mlflow.sharedViewState."
ALL_SWEEPS = "all-sweeps"
"""Key of the view that compares sweeps."""

LONGEST = 5000
"""No view is larger: what every MLflow 3 takes as the value of an experiment's tag."""

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

WIDE = 190
"""Pixels of a column whose numbers end in an exponent: cut off, 2.8e-30 looks like 2.8."""

WIDE_METRICS = ("final_error", "final_error_log10", "best_error", "best_final_error")


@dataclass(frozen=True)
class View:
    """A saved view: its key in addresses, its name in the menu, and the page's state."""

    key: str
    name: str
    state: Mapping[str, Any]


def is_known(version: str) -> bool:
    """Tell whether this version of MLflow shows the views as they were seen."""
    return version == TESTED or version.startswith(f"{TESTED}.")


def view_key(sweep_id: str, part: str = "") -> str:
    """Return the key of a sweep's view; `part` is empty or ``weights``."""
    return f"sweep-{sweep_id}-{part}" if part else f"sweep-{sweep_id}"


def tag_name(key: str) -> str:
    """Return the experiment's tag that holds the view of a key."""
    return PREFIX + key


def tag_value(view: View, now: int) -> str | None:
    """Return the tag's value, None for a view that is larger than every MLflow takes.

    Parameters
    ----------
    now
        Milliseconds since the epoch.
    """
    state = json.dumps(view.state, separators=(",", ":"), ensure_ascii=True)
    packed = base64.b64encode(zlib.compress(state.encode("ascii"), 9)).decode("ascii")
    outer = {"name": view.name, "createdAt": now, "updatedAt": now}
    value = json.dumps(outer | {"state": f"deflate;{packed}"})
    return value if len(value) <= LONGEST else None


def sweep_condition(sweep_id: str) -> str:
    """Return the search that finds exactly the runs of a sweep, flat."""
    return f"tags.`sweep.id` = '{sweep_id}' and tags.`sweep.role` = 'run'"


# --- the three views ---------------------------------------------------------------------


def charts_view(sweep_id: str, axes: Sequence[str], metrics: Iterable[str]) -> View:
    """Return a sweep's view: error curves, final errors, and the grid against the result.

    Parameters
    ----------
    axes
        The swept keys: the first columns, and the axes of the parallel coordinates.
    metrics
        Every metric that a run of the sweep has.
    """
    shown = ("error", "final_error_log10")
    sections = [
        _section("curves", "Error by iteration", 1, 420),
        _section("finals", "Final error, log10", 1, 360),
        _section("grid", "Settings and final error", 1, 360),
    ]
    charts = [
        _curve_chart("curves", "error"),
        _bar_chart("finals", "final_error_log10"),
        _parallel_chart("grid", axes, ["final_error_log10"]),
    ]
    columns = [
        *(_param(axis) for axis in axes),
        _tag("sweep.outcome"),
        *(_metric(name) for name in RESULTS),
    ]
    return View(
        view_key(sweep_id),
        f"sweep {sweep_id}",
        _state(sweep_condition(sweep_id), _metric("final_error"), True, columns)
        | _charts(sections, charts, metrics, shown),
    )


def weights_view(sweep_id: str, axes: Sequence[str], metrics: Iterable[str]) -> View | None:
    """Return the view of a sweep's final weights, None where no run has them as metrics."""
    metrics = list(metrics)
    weights = sorted((name for name in metrics if name.startswith(WEIGHT)), key=_natural)
    if not weights:
        return None
    sections = [
        _section("all", "Weights after training, all runs", 1, 400),
        _section("each", "Each weight after training", 3, 300),
    ]
    charts = [_parallel_chart("all", [], weights)]
    charts += [_bar_chart("each", name) for name in weights]
    columns = [_param(axis) for axis in axes] + [_metric("final_error")]
    columns += [_metric(name) for name in weights]
    return View(
        view_key(sweep_id, "weights"),
        f"sweep {sweep_id}: weights",
        _state(sweep_condition(sweep_id), _metric("final_error"), True, columns)
        | _charts(sections, charts, metrics, weights),
    )


def sweeps_view() -> View:
    """Return the experiment's view that compares its sweeps, the newest first."""
    totals = ("runs_total", "runs_finished", "runs_failed", "runs_diverged")
    best = ("best_final_error", "best_final_error_log10")
    sections = [
        _section("best", "Best final error, log10", 1, 360),
        _section("runs", "Runs", 2, 300),
    ]
    charts = [_bar_chart("best", "best_final_error_log10")]
    charts += [_bar_chart("runs", name) for name in totals]
    columns = ["attributes.`Created`", "attributes.`Duration`"]
    columns += [_metric(name) for name in (best[0], *totals)]
    condition = "tags.`sweep.role` = 'sweep'"
    return View(
        ALL_SWEEPS,
        "all sweeps",
        _state(condition, "attributes.`start_time`", False, columns)
        | _charts(sections, charts, [*best, *totals], [best[1], *totals]),
    )


# --- parts of the page's state -----------------------------------------------------------


def _state(condition: str, order: str, ascending: bool, columns: Sequence[str]) -> dict[str, Any]:
    return {
        "searchFilter": condition,
        "orderByKey": order,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "columnWidths": {_metric(name): WIDE for name in WIDE_METRICS},
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "isAccordionReordered": True,
    }


def _charts(
    sections: Sequence[Mapping[str, Any]],
    charts: Sequence[Mapping[str, Any]],
    metrics: Iterable[str],
    shown: Iterable[str],
) -> dict[str, Any]:
    """Return the sections and charts, and a deleted chart for each metric that has none.

    The page adds a chart for every metric that it finds none for, deleted ones included.
    """
    hidden = sorted(set(metrics) - set(shown))
    last = sections[-1]["uuid"]
    deleted = [
        {**_chart("BAR", last, name), "metricKey": name, "deleted": True, "isGenerated": True}
        for name in hidden
    ]
    return {"compareRunSections": list(sections), "compareRunCharts": [*charts, *deleted]}


def _section(uuid: str, name: str, columns: int, height: int) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "columns": columns,
        "cardHeight": height,
        "display": True,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }


def _chart(kind: str, section: str, name: str) -> dict[str, Any]:
    return {
        "uuid": f"{kind.lower()}-{name}",
        "type": kind,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 1000,
    }


def _curve_chart(section: str, metric: str) -> dict[str, Any]:
    return {
        **_chart("LINE", section, metric),
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "xAxisScaleType": "log",
        "scaleType": "log",
        "yAxisKey": "metric",
        "lineSmoothness": 0,
        "range": {},
        "ignoreOutliers": False,
        "useGlobalXaxisKey": False,
    }


def _bar_chart(section: str, metric: str) -> dict[str, Any]:
    return {**_chart("BAR", section, metric), "metricKey": metric}


def _parallel_chart(section: str, params: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    return {
        **_chart("PARALLEL", section, section),
        "selectedParams": list(params),
        "selectedMetrics": list(metrics),
        "showAllRuns": True,
    }


def _param(name: str) -> str:
    return f"params.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _natural(name: str) -> tuple[Any, ...]:
    """Return a sort key: weights before biases, w2 before w10."""
    parts = re.split(r"(\d+)", name.removeprefix(WEIGHT))
    return (parts[0] == "b", [int(part) if part.isdecimal() else part for part in parts])
