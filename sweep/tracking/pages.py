"""A sweep in MLflow's page: its saved views, the links to them, and its note.

Links are addresses below the server's own, by name: ``compare`` (the sweep's view; the plain
comparison of its runs where there is none), ``weights``, ``best run``, ``report``,
``all sweeps`` and ``plain`` (for a page that does not know the views).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mlflow

from sweep.tracking import read, views
from sweep.tracking.entities import entity_name, short_lines
from sweep.tracking.question import POINT, question_of
from sweep.tracking.store import Store
from sweep.tracking.stored import StoredRun, StoredSweep

KEPT = 20  # sweeps whose views stay in the page's menu
COMPARED = 50  # most runs that stand in a plain comparison's address by their ids
SERVER_SECONDS = 4.0

NOTE = "mlflow.note.content"
NOTE_BEGINS = "Sweeps of `python -m sweep`"  # another note of the experiment is the user's own
LONGEST_NOTE = 7500  # characters; MLflow cuts a tag at 8000
LARGEST_PICTURE = 400_000  # bytes of an SVG; beyond it a note shows the PNG
WIDEST_PICTURE = 760.0  # points; a wider one would push aside what stands beside the note

TRAINING = "workflowType=machine_learning"
"""Without it an experiment's address ends on an empty page for traces of language models."""


def save_views(store: Store, sweep: StoredSweep, runs: Sequence[StoredRun]) -> dict[str, str]:
    """Save a sweep's views, remove those of old sweeps, and return the links."""
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
    """Return the comparison of runs that needs no view; of too many the search that finds them."""
    if 1 < len(run_ids) <= COMPARED:
        runs = quote(json.dumps(list(run_ids), separators=(",", ":")), safe="")
        experiments = quote(json.dumps([experiment_id]), safe="")
        return f"#/compare-runs?runs={runs}&experiments={experiments}"
    condition = quote(f"tags.`sweep.id` = '{sweep_id}' and tags.`sweep.role` = 'run'", safe="")
    return (
        f"#/experiments/{quote(experiment_id, safe='')}/runs?searchFilter={condition}"
        f"&startTime=ALL&compareRunsMode=CHART&{TRAINING}"
    )


# --- views -------------------------------------------------------------------------------


def _version(store: Store) -> str:
    """Return the version of MLflow whose page will show the store, as far as it is known."""
    from mlflow.utils import credentials, rest_utils

    if store.tracking.kind == "local":
        return mlflow.__version__
    get: Any = rest_utils.http_request  # MLflow's own way, which knows the user's password
    creds: Any = credentials.get_default_host_creds
    try:
        address = creds(store.tracking.address)
        return str(get(address, "/version", "GET", max_retries=0, timeout=SERVER_SECONDS).text)
    except (mlflow.MlflowException, OSError):
        return ""


def _save_views(
    store: Store, sweep_id: str, plan: Mapping[str, Any], runs: Sequence[StoredRun]
) -> dict[str, str]:
    """Save the views and remove old ones; return link -> the view's key."""
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
    return dict(store.call(partial(store.client.get_experiment, store.experiment_id)).tags)


def _change(store: Store, change: Callable[..., None], *words: str) -> None:
    store.call(partial(change, store.experiment_id, *words))


# --- notes -------------------------------------------------------------------------------


def describe(
    store: Store, sweep: StoredSweep, links: Mapping[str, str], text: str, report: Path | None
) -> str:
    """Write the experiment's note and return the sweep's: answer, links, tables, pictures.

    Closed, a note shows its first lines alone: so the links stand right after the answer.

    Parameters
    ----------
    text
        Markdown: the answer in the first line, then tables, cut where the note would be too long.
    report
        The folder whose pictures the note shows; they are the parent run's artifacts.
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
    # MLflow's style sheet sets no padding between the cells of a table.
    spaced = re.sub(r"^\| .*", lambda row: row[0].replace(" |", " &emsp;|"), tables, flags=re.M)
    room = max(LONGEST_NOTE - len(head) - len(shown), 1)
    return head + short_lines(spaced.strip("\n"), room) + "\n" + shown


def _linked(links: Mapping[str, str]) -> str:
    return " · ".join(f"[{name}]({url})" for name, url in links.items())


def _pictures(run_id: str, report: Path | None) -> str:
    """Return Markdown that shows the pictures of a report from where the server gives them.

    SVG, because MLflow shows a picture in its own size and that of the PNG is for print.
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
