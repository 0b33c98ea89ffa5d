"""Saved views, links and notes of a sweep in the MLflow UI.

Links are relative to the server's address, by name: ``compare`` (the sweep's view, or ``plain`` if
views are not supported), ``weights``, ``best run``, ``report``, ``all sweeps``, ``plain``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mlflow

from sweep.tracking import read, views
from sweep.tracking.entities import NOTE, NOTE_LENGTH, entity_name, short_lines
from sweep.tracking.question import POINT, question_of
from sweep.tracking.store import Store
from sweep.tracking.stored import StoredRun, StoredSweep

KEPT = 20  # number of sweeps whose views are kept
COMPARED = 50  # maximum number of run ids in the link of a plain comparison
SERVER_SECONDS = 4.0

NOTE_BEGINS = "Sweeps of `python -m sweep`"  # other notes are the user's and are kept
LARGEST_PICTURE = 400_000  # bytes of an SVG; notes show the PNG of larger ones
WIDEST_PICTURE = 760.0  # points; wider ones would displace the column beside the note

TRAINING = "workflowType=machine_learning"
"""Without it MLflow opens an experiment on an empty page for LLM traces."""


def save_views(store: Store, sweep: StoredSweep, runs: Sequence[StoredRun]) -> dict[str, str]:
    """Save a sweep's views, delete those of old sweeps, and return the links."""
    page = f"#/experiments/{quote(store.experiment_id, safe='')}/runs"
    charts = f"compareRunsMode=CHART&{TRAINING}"
    plan = sweep.plan()
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
    if not views.is_known(_version(store)):
        return {}
    question = question_of(plan)
    axes = [entity_name(axis) for axis in plan.get("axes") or ("lr", "iters")]
    params, metrics = [run.params for run in runs], [run.metrics for run in runs]
    words = views.words_of(sweep_id, axes, params, metrics, question.deciding(runs))
    names = {name for each in metrics for name in each}
    order: dict[str, Any] = {"orderByAsc": question.mode == "min"}
    means = views.template("means") if any(POINT in run.tags for run in runs) else {}
    own = f"sweep-{sweep_id}"
    saved = {}
    for link, key, made in (
        ("compare", own, views.view("sweep", words, names, {**order, **means})),
        ("weights", f"{own}-weights", views.view("weights", words, names, order)),
        ("all sweeps", "all-sweeps", views.view("all-sweeps", words, ["best_final_error"])),
    ):
        value = None if made is None else views.view_tag(*made, now=time.time_ns() // 1_000_000)
        if value is not None:
            _change(store, store.client.set_experiment_tag, views.PREFIX + key, value)
            saved[link] = key
    newest = read.search(store, read.SWEEPS, *read.NEWEST, most=KEPT)
    kept = {own, *(f"sweep-{run.data.tags.get('sweep.id')}" for run in newest)}
    for tag in _tags(store):
        key = tag.removeprefix(views.PREFIX)
        if tag.startswith(f"{views.PREFIX}sweep-") and key.removesuffix("-weights") not in kept:
            _change(store, store.client.delete_experiment_tag, tag)
    return saved


def _tags(store: Store) -> dict[str, str]:
    return dict(store.call(store.client.get_experiment, store.experiment_id).tags)


def _change(store: Store, change: Callable[..., None], *words: str) -> None:
    store.call(change, store.experiment_id, *words)


def describe(
    store: Store, sweep: StoredSweep, links: Mapping[str, str], text: str, report: Path | None
) -> str:
    """Write the experiment's note and return the sweep's: answer, links, tables, pictures.

    The links follow the answer because a collapsed note shows only its first lines.

    Parameters
    ----------
    text
        Markdown: the answer in the first line, then tables, truncated to the length of a note.
    report
        Folder of the report, whose pictures are artifacts of the parent run; None for none.
    """
    before = _tags(store).get(NOTE, "")
    if not before.strip() or before.startswith(NOTE_BEGINS):
        newest = {f"the newest sweep, {sweep.sweep_id}": links["compare"]}
        others = {name: url for name, url in links.items() if name == "all sweeps"}
        _change(
            store,
            store.client.set_experiment_tag,
            NOTE,
            f"{NOTE_BEGINS}: each is one parent run with the answer, the report and its runs "
            f"below it. Look at {_linked({**newest, **others})}.\n\nA sweep's runs draw no chart "
            "in the list below, because they are nested; its view in the menu *Views* shows them "
            "flat, with error curves on logarithmic axes.\n",
        )
    answer, _, tables = text.partition("\n")
    named = {"Compare the runs": links["compare"], **links}
    named = {name: url for name, url in named.items() if name not in ("compare", "plain")}
    head = f"{answer}\n\n{_linked(named)}\n\n"
    shown = _pictures(sweep.run_id, report)
    # MLflow's style sheet has no padding between table cells.
    spaced = re.sub(r"^\| .*", lambda row: row[0].replace(" |", " &emsp;|"), tables, flags=re.M)
    room = max(NOTE_LENGTH - len(head) - len(shown), 1)
    return head + short_lines(spaced.strip("\n"), room) + "\n" + shown


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
