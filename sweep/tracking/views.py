"""Saved views of MLflow's own page, filled in from the templates in ``page/``.

Left alone the page shows nested runs as one row without a chart, the curves on linear axes
and the ten newest runs. A saved view arranges it: an experiment's tag that the page reads. The
format belongs to the page's own program and is documented nowhere; it was written for MLflow
3.17, and a later 3.x takes of it what it knows.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["PREFIX", "grouped", "is_known", "view", "view_tag", "words_of"]

PREFIX = "mlflow.sharedViewState."
"""How the names of the tags that hold a view begin."""

OLDEST = (3, 17)
LONGEST = 5000
"""No view is larger: what every MLflow 3 takes as the value of an experiment's tag."""

TEMPLATES = Path(__file__).parent / "page"
WEIGHT = "weights/"

Words = Mapping[str, Sequence[str]]


def is_known(version: str) -> bool:
    """Return whether the page of this version of MLflow reads the views."""
    found = re.match(r"3\.(\d+)", version)
    return found is not None and (3, int(found[1])) >= OLDEST


def words_of(
    sweep_id: str,
    axes: Sequence[str],
    params: Sequence[Mapping[str, str]],
    metrics: Sequence[Mapping[str, float]],
    deciding: str = "final_error",
) -> dict[str, list[str]]:
    """Return what stands for each ``$word`` of the templates.

    Parameters
    ----------
    params, metrics
        Those of each run. A coordinate whose values are all equal tells nothing: the words
        ``varied_axis`` and ``varied_weight`` leave it out.
    deciding
        The metric that decides: ``$metric``. It has a chart of its own (``$own``) unless it is
        the final error, which is drawn by its logarithm; ``$also`` names the final error beside
        another metric.
    """
    usual = deciding == "final_error"
    weights = {name for run in metrics for name in run if name.startswith(WEIGHT)}
    ordered = sorted(weights, key=_natural)
    return {
        "sweep": [sweep_id],
        "metric": [deciding],
        "also": [] if usual else ["final_error"],
        "own": [] if usual or deciding == "final_error_log10" else [deciding],
        "drawn": ["final_error_log10" if usual else deciding],
        "axis": list(axes),
        "varied_axis": [name for name in axes if _varies(name, params)],
        "weight": ordered,
        "varied_weight": [name for name in ordered if _varies(name, metrics)],
    }


def _varies(name: str, runs: Sequence[Mapping[str, Any]]) -> bool:
    return len({run[name] for run in runs if name in run}) > 1


def _natural(name: str) -> tuple[Any, ...]:
    """Return a sort key: weights before biases, w2 before w10."""
    parts = re.split(r"(\d+)", name.removeprefix(WEIGHT))
    return (parts[0] == "b", [int(part) if part.isdecimal() else part for part in parts])


def view(template: str, words: Words, metrics: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """Return the name of a view and the page's state; None where it would have no chart.

    Parameters
    ----------
    template
        ``sweep``, ``weights`` or ``all-sweeps``.
    metrics
        Every metric of the runs. The page adds a chart for each that it finds none for, so those
        that are not shown get a deleted one.
    """
    page, own = (
        json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("page", template)
    )
    drawn = [
        {**page["chart"], **page[chart["type"]], **chart, "uuid": _uuid(chart)}
        for chart in _filled(own["charts"], words)
        if chart["type"] != "PARALLEL"
        or len(chart["selectedParams"]) + len(chart["selectedMetrics"]) > 1
    ]
    if not drawn:
        return None
    used = {chart["metricSectionId"] for chart in drawn}
    named = _filled(own["sections"], words)
    sections = [{**page["section"], **one} for one in named if one["uuid"] in used]
    shown = {chart.get("metricKey") for chart in drawn}
    hidden = {"type": "BAR", "metricSectionId": sections[-1]["uuid"]}
    drawn += [
        {**page["chart"], **hidden, "metricKey": name, "uuid": _uuid({**hidden, "metricKey": name})}
        | {"deleted": True, "isGenerated": True}
        for name in sorted(set(metrics) - shown)
    ]
    state = {**page["state"], **_filled(own["state"], words)}
    state |= {"columnOrder": state["selectedColumns"]}
    state |= {"compareRunSections": sections, "compareRunCharts": drawn}
    return _filled([own["name"]], words)[0], state


def grouped(tag: str) -> dict[str, Any]:
    """Return the state that shows runs of one value of a tag as one line, by their mean."""
    keys = [{"mode": "tag", "groupByData": tag}]
    how = {"aggregateFunction": "average", "groupByKeys": keys}
    return {"groupBy": how, "groupsExpanded": {}, "useGroupedValuesInCharts": True}


def _uuid(chart: Mapping[str, Any]) -> str:
    return f"{chart['type'].lower()}-{chart.get('metricKey', chart['metricSectionId'])}"


def _filled(value: Any, words: Words) -> Any:
    """Return a template with its words filled in; an item of a list once for each value."""
    if isinstance(value, Mapping):
        return {
            key: _filled([item], words)[0] if isinstance(item, str) else _filled(item, words)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [filled for item in value for filled in _each(item, words)]
    return value


def _each(item: Any, words: Words) -> Iterator[Any]:
    text = item if isinstance(item, str) else item.get("metricKey", "")
    found = re.search(r"\$(\w+)", text)
    if found is None:
        yield _filled(item, words)
        return
    for value in words[found[1]]:
        if isinstance(item, str):
            yield text.replace(found[0], value)
        else:
            yield {**item, "metricKey": value}


def view_tag(name: str, state: Mapping[str, Any], now: int) -> str | None:
    """Return the tag's value; None for a view that is larger than every MLflow takes.

    Parameters
    ----------
    now
        Milliseconds since the epoch.
    """
    text = json.dumps(state, separators=(",", ":"), ensure_ascii=True)
    packed = base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")
    outer = {"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    value = json.dumps(outer)
    return value if len(value) <= LONGEST else None
