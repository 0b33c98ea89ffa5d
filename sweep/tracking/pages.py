"""Saved views, links and notes of a sweep in the MLflow UI.

Without a view, the UI shows nested runs as one row without charts, and curves on linear axes. A
view is a tag of the experiment in an internal, undocumented format, filled in from the templates in
``page/``, which were written for MLflow 3.17; later 3.x versions use the parts that they support.

Links are relative to the server's address, by name: ``compare`` (the sweep's view, or ``plain`` if
views are not supported), ``weights``, ``best run``, ``report``, ``all sweeps``, ``plain``.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mlflow

from sweep.question import question_of, repeated
from sweep.tracking import read
from sweep.tracking.entities import NOTE, NOTE_LENGTH, entity_name, short_lines
from sweep.tracking.read import StoredRun, StoredSweep
from sweep.tracking.settings import SERVER_SECONDS
from sweep.tracking.store import Store

OLDEST = (3, 17)  # version of MLflow
PREFIX = "mlflow.sharedViewState."  # of the tags that hold a view
LONGEST = 5000  # characters; every MLflow 3 accepts an experiment tag of this length

Words = Mapping[str, Sequence[str]]

KEPT = 20  # number of sweeps whose views are kept
COMPARED = 50  # maximum number of run ids in the link of a plain comparison

NOTE_BEGINS = "Sweeps of `python -m sweep`"  # other notes are the user's and are kept
LARGEST_PICTURE = 400_000  # bytes of an SVG; notes show the PNG of larger ones
WIDEST_PICTURE = 760.0  # points; wider ones would displace the column beside the note

TRAINING = "workflowType=machine_learning"
"""Without it MLflow opens an experiment on an empty page for LLM traces."""


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
    name: str,
    words: Words,
    metrics: Collection[str],
    more: Mapping[str, Any] = {},
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
    path = Path(__file__).parent / "page" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
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


def save_views(store: Store, sweep: StoredSweep, runs: Sequence[StoredRun]) -> dict[str, str]:
    """Save a sweep's views, delete those of old sweeps, and return the links."""
    page = f"#/experiments/{quote(store.experiment_id, safe='')}/runs"
    charts = f"compareRunsMode=CHART&{TRAINING}"
    plan = sweep.plan(strict=False)
    saved = {
        name: f"{page}?viewStateShareKey={quote(key, safe='')}&{charts}"
        for name, key in _save_views(store, sweep.sweep_id, plan, runs).items()
    }
    ids = [run.run_id for run in runs]
    plain = plain_comparison(store.experiment_id, sweep.sweep_id, ids)
    best = question_of(plan).best_run(runs)
    links = {
        "compare": saved.get("compare", plain),
        "weights": saved.get("weights"),
        "best run": None if best is None else f"{page}/{best.run_id}?{TRAINING}",
        "report": f"{page}/{sweep.run_id}/artifacts/report/index.html?{TRAINING}",
        "all sweeps": saved.get("all sweeps"),
        "plain": plain if "compare" in saved else None,
    }
    return {name: link for name, link in links.items() if link is not None}


def plain_comparison(experiment_id: str, sweep_id: str, run_ids: Sequence[str]) -> str:
    """Return a link that needs no view: the comparison of up to COMPARED runs, else a search."""
    if 1 < len(run_ids) <= COMPARED:
        runs = quote(json.dumps(list(run_ids), separators=(",", ":")), safe="")
        experiments = quote(json.dumps([experiment_id]), safe="")
        return f"#/compare-runs?runs={runs}&experiments={experiments}"
    condition = quote(f"tags.`sweep.id` = '{sweep_id}' and tags.`sweep.role` = 'run'", safe="")
    return (
        f"#/experiments/{quote(experiment_id, safe='')}/runs?searchFilter={condition}"
        f"&startTime=ALL&compareRunsMode=CHART&{TRAINING}"
    )


def _version(store: Store) -> str:
    """Return the MLflow version of the UI that shows the store, empty if unknown."""
    from mlflow.utils import credentials, rest_utils

    if store.tracking.kind == "local":
        return mlflow.__version__
    get: Any = rest_utils.http_request  # applies the user's credentials
    creds: Any = credentials.get_default_host_creds
    try:
        address = creds(store.tracking.address)
        return str(get(address, "/version", "GET", max_retries=0, timeout=SERVER_SECONDS).text)
    except (mlflow.MlflowException, OSError):
        return ""


def _save_views(
    store: Store, sweep_id: str, plan: Mapping[str, Any], runs: Sequence[StoredRun]
) -> dict[str, str]:
    """Save the views and delete old ones; return link name -> key of the view."""
    if not is_known(_version(store)):
        return {}
    question = question_of(plan)
    axes = [entity_name(axis) for axis in plan.get("axes") or ("lr", "iters")]
    params, metrics = [run.params for run in runs], [run.metrics for run in runs]
    words = words_of(sweep_id, axes, params, metrics, question.deciding(runs))
    names = {name for each in metrics for name in each}
    order: dict[str, Any] = {"orderByAsc": question.mode == "min"}
    means = template("means") if repeated(runs) else {}
    own = f"sweep-{sweep_id}"
    saved = {}
    for link, key, made in (
        ("compare", own, view("sweep", words, names, {**order, **means})),
        ("weights", f"{own}-weights", view("weights", words, names, order)),
        ("all sweeps", "all-sweeps", view("all-sweeps", words, ["best_final_error"])),
    ):
        value = None if made is None else view_tag(*made, now=time.time_ns() // 1_000_000)
        if value is not None:
            store.call(store.client.set_experiment_tag, store.experiment_id, PREFIX + key, value)
            saved[link] = key
    newest = read.search(store, read.SWEEPS, *read.NEWEST, most=KEPT)
    kept = {own, *(f"sweep-{run.data.tags.get('sweep.id')}" for run in newest)}
    for tag in store.call(store.client.get_experiment, store.experiment_id).tags:
        key = tag.removeprefix(PREFIX)
        if tag.startswith(f"{PREFIX}sweep-") and key.removesuffix("-weights") not in kept:
            store.call(store.client.delete_experiment_tag, store.experiment_id, tag)
    return saved


def describe(
    store: Store, sweep: StoredSweep, links: Mapping[str, str], text: str, report: Path | None
) -> str:
    """Write the experiment's note and return the sweep's: answer, links, tables, pictures.

    The links follow the answer because a collapsed note shows only its first lines. `text` is
    Markdown: the answer in the first line, then tables, truncated to the length of a note. The
    pictures in the folder `report` are artifacts of the parent run.
    """
    tags = store.call(store.client.get_experiment, store.experiment_id).tags
    before = str(tags.get(NOTE, ""))
    if not before.strip() or before.startswith(NOTE_BEGINS):
        shown = {f"the newest sweep, {sweep.sweep_id}": links["compare"]}
        shown |= {name: url for name, url in links.items() if name == "all sweeps"}
        about = (
            f"{NOTE_BEGINS}: each is one parent run with the answer, the report and its runs "
            f"below it. Look at {_linked(shown)}.\n\nA sweep's runs draw no chart "
            "in the list below, because they are nested; its view in the menu *Views* shows them "
            "flat, with error curves on logarithmic axes.\n"
        )
        store.call(store.client.set_experiment_tag, store.experiment_id, NOTE, about)
    answer, _, tables = text.partition("\n")
    named = {"Compare the runs": links["compare"], **links}
    named = {name: url for name, url in named.items() if name not in ("compare", "plain")}
    head, pictures = f"{answer}\n\n{_linked(named)}\n\n", _pictures(sweep.run_id, report)
    # MLflow's style sheet has no padding between table cells.
    spaced = re.sub(r"^\| .*", lambda row: row[0].replace(" |", " &emsp;|"), tables, flags=re.M)
    room = max(NOTE_LENGTH - len(head) - len(pictures), 1)
    return head + short_lines(spaced.strip("\n"), room) + "\n" + pictures


def _linked(links: Mapping[str, str]) -> str:
    return " · ".join(f"[{name}]({url})" for name, url in links.items())


def _pictures(run_id: str, report: Path | None) -> str:
    """Return Markdown images of a report's pictures, addressed as artifacts on the server.

    SVG is preferred: MLflow does not scale images, and the PNGs have print size.
    """
    shown = ""
    for png in sorted(report.glob("*.png")) if report else ():
        svg = png.with_suffix(".svg")
        head = svg.read_bytes() if svg.is_file() else b""
        width = re.search(rb'<svg[^>]* width="([0-9.]+)pt"', head[:2000])
        if width is not None and float(width[1]) > WIDEST_PICTURE:
            continue
        file = svg if 0 < len(head) <= LARGEST_PICTURE else png
        path = quote(f"report/{file.name}", safe="")
        name = png.stem.replace("_", " ").capitalize()
        shown += f"\n![{name}](get-artifact?path={path}&run_uuid={run_id})\n"
    return shown
