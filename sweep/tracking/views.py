"""Saved views of MLflow's own page: the format of its interface, in this one place.

Left alone the page shows nested runs as one row without a chart, the curves on linear axes
and the ten newest runs. A saved view arranges it: an experiment tag that the page reads. The
format belongs to the page's own program and is documented nowhere, so a version that was not
tried gets no view, and the plain address that compares the same runs in its stead.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "PREFIX",
    "TESTED",
    "View",
    "bar_chart",
    "charts",
    "curve_chart",
    "is_known",
    "listing",
    "metric_column",
    "parallel_chart",
    "param_column",
    "section",
    "tag_column",
    "tag_name",
    "tag_value",
]

TESTED = "3.17"
"""The only version of MLflow whose page was seen to show these views."""

PREFIX = "mlflow.sharedViewState."
LONGEST = 5000
"""No view is larger: what every MLflow 3 takes as the value of an experiment's tag."""

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


# --- parts of the page's state -----------------------------------------------------------


def listing(condition: str, order: str, ascending: bool, columns: Sequence[str]) -> dict[str, Any]:
    """Return which runs are listed, by which column they are sorted, and their columns.

    Parameters
    ----------
    condition
        MLflow's search; nested runs that meet it are listed flat.
    order
        A column, as `param_column` and its like write it.
    """
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
        "columnWidths": {metric_column(name): WIDE for name in WIDE_METRICS},
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "isAccordionReordered": True,
    }


def charts(
    sections: Sequence[Mapping[str, Any]],
    drawn: Sequence[Mapping[str, Any]],
    metrics: Iterable[str],
    shown: Iterable[str],
) -> dict[str, Any]:
    """Return sections, the charts `drawn`, and a deleted chart for each metric not `shown`.

    The page adds a chart for every metric that it finds none for; a deleted one counts.
    """
    hidden = sorted(set(metrics) - set(shown))
    last = sections[-1]["uuid"]
    deleted = [
        {**_chart("BAR", last, name), "metricKey": name, "deleted": True, "isGenerated": True}
        for name in hidden
    ]
    return {"compareRunSections": list(sections), "compareRunCharts": [*drawn, *deleted]}


def section(uuid: str, name: str, columns: int, height: int) -> dict[str, Any]:
    """Return a section of charts, so many beside each other, of a height in pixels."""
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


def curve_chart(section: str, metric: str) -> dict[str, Any]:
    """Return a line for each run, metric against step, both axes logarithmic."""
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


def bar_chart(section: str, metric: str) -> dict[str, Any]:
    """Return a bar for each run, on a linear axis."""
    return {**_chart("BAR", section, metric), "metricKey": metric}


def parallel_chart(section: str, params: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    """Return parallel coordinates on linear axes, a line for each run."""
    return {
        **_chart("PARALLEL", section, section),
        "selectedParams": list(params),
        "selectedMetrics": list(metrics),
        "showAllRuns": True,
    }


def param_column(name: str) -> str:
    """Return how the page names the column of a param."""
    return f"params.`{name}`"


def metric_column(name: str) -> str:
    """Return how the page names the column of a metric."""
    return f"metrics.`{name}`"


def tag_column(name: str) -> str:
    """Return how the page names the column of a tag."""
    return f"tags.`{name}`"
