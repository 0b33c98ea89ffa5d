"""Saved views of MLflow's UI, filled in from the templates in ``page/``.

Without one, the UI shows nested runs as one row without charts, and curves on linear axes. A view
is a tag of the experiment in an internal, undocumented format. The templates were written for
MLflow 3.17; later 3.x versions use the parts that they support.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

OLDEST = (3, 17)  # version of MLflow
TEMPLATES = Path(__file__).parent / "page"
PREFIX = "mlflow.sharedViewState."  # of the tags that hold a view
LONGEST = 5000  # characters; every MLflow 3 accepts an experiment tag of this length

Words = Mapping[str, Sequence[str]]


def is_known(version: str) -> bool:
    """Return whether the UI of this MLflow version supports the views."""
    found = re.match(r"3\.(\d+)", version)
    return found is not None and (3, int(found[1])) >= OLDEST


def words_of(
    sweep_id: str,
    axes: Sequence[str],
    params: Sequence[Mapping[str, str]],
    metrics: Sequence[Mapping[str, float]],
    deciding: str = "final_error",
) -> dict[str, list[str]]:
    """Return the values of each ``$word`` in the templates, from the params and metrics by run.

    `deciding` is the metric that ranks the runs. The final error is plotted as its logarithm; any
    other metric has an additional chart.
    """

    def varied(names: Sequence[str], runs: Sequence[Mapping[str, Any]]) -> list[str]:
        return [name for name in names if len({run[name] for run in runs if name in run}) > 1]

    usual = deciding == "final_error"
    weights = {name for run in metrics for name in run if name.startswith("weights/")}
    ordered = sorted(weights, key=_natural)
    return {
        "sweep": [sweep_id],
        "metric": [deciding],
        "also": [] if usual else ["final_error"],
        "own": [] if usual or deciding == "final_error_log10" else [deciding],
        "drawn": ["final_error_log10" if usual else deciding],
        "axis": list(axes),
        "varied_axis": varied(axes, params),
        "weight": ordered,
        "varied_weight": varied(ordered, metrics),
    }


def _natural(name: str) -> tuple[Any, ...]:
    """Return a sort key: weights before biases, w2 before w10."""
    parts = re.split(r"(\d+)", name.removeprefix("weights/"))
    return (parts[0] == "b", [int(part) if part.isdecimal() else part for part in parts])


def view(
    name: str, words: Words, metrics: Collection[str], more: Mapping[str, Any] = {}
) -> tuple[str, dict[str, Any]] | None:
    """Return a view's name and the UI's state; None if it would have no chart.

    The UI adds a chart for each of the runs' `metrics` that has none, so those not to be shown
    get a deleted one. `more` are further values of the state.
    """
    page = template("page")
    (own,) = _filled(template(name), words)
    charts = [
        {**page["chart"], **page[chart["type"]], **chart}
        for chart in own["charts"]
        if chart["type"] != "PARALLEL"
        or len(chart["selectedParams"]) + len(chart["selectedMetrics"]) > 1
    ]
    if not charts:
        return None
    used = {chart["metricSectionId"] for chart in charts}
    sections = [{**page["section"], **one} for one in own["sections"] if one["uuid"] in used]
    hidden = {"type": "BAR", "metricSectionId": sections[-1]["uuid"], "deleted": True}
    charts += [
        {**page["chart"], **hidden, "metricKey": name, "isGenerated": True}
        for name in sorted(set(metrics) - {chart.get("metricKey") for chart in charts})
    ]
    for chart in charts:
        key = chart.get("metricKey", chart["metricSectionId"])
        chart["uuid"] = f"{chart['type'].lower()}-{key}"
    state = {
        **page["state"],
        **own["state"],
        **more,
        "columnOrder": own["state"]["selectedColumns"],
    }
    return own["name"], {**state, "compareRunSections": sections, "compareRunCharts": charts}


def template(name: str) -> dict[str, Any]:
    """Load a template from ``page/``."""
    loaded: dict[str, Any] = json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def _filled(value: Any, words: Words) -> list[Any]:
    """Expand a template: one copy for each value of the ``$word`` in it."""
    if isinstance(value, str):
        found = re.search(r"\$(\w+)", value)
        return [value.replace(found[0], one) for one in words[found[1]]] if found else [value]
    if isinstance(value, list):
        return [[one for item in value for one in _filled(item, words)]]
    if isinstance(value, dict):
        items = [_filled(item, words) for item in value.values()]
        return [dict(zip(value, each, strict=True)) for each in itertools.product(*items)]
    return [value]


def view_tag(name: str, state: Mapping[str, Any], now: int) -> str | None:
    """Return a view's tag value, or None if it is too long; `now` is in milliseconds."""
    text = json.dumps(state, separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")
    outer = {"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    value = json.dumps(outer)
    return value if len(value) <= LONGEST else None
