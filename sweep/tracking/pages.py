"""A sweep in MLflow's page: its saved views, the links to them, and its note in words.

Links are addresses below the server's own, by name: ``compare`` (the sweep's view; the plain
comparison of its runs where there is none), ``weights``, ``best run``, ``report``,
``all sweeps`` and ``plain`` (for a page that does not know the views). One that leads nowhere is
left out.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sweep.tracking import views
from sweep.tracking.entities import entity_name, short_lines
from sweep.tracking.question import POINT, question_of
from sweep.tracking.stored import StoredRun, StoredSweep

if TYPE_CHECKING:
    from sweep.tracking.store import Store

__all__ = ["arrange", "describe", "plain_comparison"]

KEPT = 20
"""The views of so many sweeps stay in the page's menu."""

COMPARED = 50
"""Up to so many runs stand in a plain comparison's address by their ids."""

NOTE = "mlflow.note.content"
NOTE_BEGINS = "Sweeps of `python -m sweep`"
"""A note of the experiment that begins otherwise is the user's own and stays."""

LONGEST = 7500
"""Characters of a note; MLflow cuts a tag at 8000."""

LARGEST_PICTURE = 400_000
"""Bytes of an SVG that a note shows; beyond it the note shows the PNG."""

WIDEST_PICTURE = 760.0
"""Points; a wider picture in a note would push aside what the page shows beside the note."""

TRAINING = "workflowType=machine_learning"
"""Without it an experiment's address ends on an empty page for traces of language models."""

TOTALS = ("best_final_error", "runs_total", "runs_finished", "runs_failed", "runs_diverged")
SERVER_SECONDS = 4.0


def arrange(store: Store, sweep: StoredSweep, runs: Sequence[StoredRun]) -> dict[str, str]:
    """Save a sweep's views, remove those of old sweeps, and return the links.

    Raises
    ------
    StoreError
        The store cannot be read or written.
    """
    runs_page = f"#/experiments/{quote(store.experiment_id, safe='')}/runs"
    saved = _save_views(store, sweep, runs) if views.is_known(_version(store)) else {}
    charts = f"compareRunsMode=CHART&{TRAINING}"
    links = {
        name: f"{runs_page}?viewStateShareKey={quote(key, safe='')}&{charts}"
        for name, key in saved.items()
    }
    ids = [run.run_id for run in runs]
    plain = plain_comparison(store.experiment_id, sweep.sweep_id, ids)
    links["plain" if "compare" in links else "compare"] = plain
    best = question_of(sweep.plan()).best_run(runs)
    if best is not None:
        links["best run"] = f"{runs_page}/{best.run_id}?{TRAINING}"
    links["report"] = f"{runs_page}/{sweep.run_id}/artifacts/report/index.html?{TRAINING}"
    order = ("compare", "weights", "best run", "report", "all sweeps", "plain")
    return {name: links[name] for name in order if name in links}


def plain_comparison(experiment_id: str, sweep_id: str, run_ids: Sequence[str]) -> str:
    """Return the comparison of runs that needs no view; of too many the search that finds them."""
    if 1 < len(run_ids) <= COMPARED:
        runs = quote(json.dumps(list(run_ids), separators=(",", ":")), safe="")
        experiments = quote(json.dumps([experiment_id]), safe="")
        return f"#/compare-runs?runs={runs}&experiments={experiments}"
    condition = f"tags.`sweep.id` = '{sweep_id}' and tags.`sweep.role` = 'run'"
    return (
        f"#/experiments/{quote(experiment_id, safe='')}/runs?searchFilter="
        f"{quote(condition, safe='')}&startTime=ALL&compareRunsMode=CHART&{TRAINING}"
    )


def _version(store: Store) -> str:
    """Return the version of MLflow whose page will show the store, empty where it is silent."""
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    if store.tracking.kind == "local":
        return mlflow.__version__
    try:  # by MLflow's own way, which knows the user's password
        creds = get_default_host_creds(store.tracking.address)  # type: ignore[no-untyped-call]
        answer = http_request(  # type: ignore[no-untyped-call]
            creds, "/version", "GET", max_retries=0, timeout=SERVER_SECONDS
        )
    except (MlflowException, OSError):
        return ""
    return str(answer.text[:100]).strip() if answer.status_code == 200 else ""


# --- views -------------------------------------------------------------------------------


def _save_views(store: Store, sweep: StoredSweep, runs: Sequence[StoredRun]) -> dict[str, str]:
    """Save the views and remove old ones; return link -> the view's key."""
    from sweep.tracking import read

    plan = sweep.plan()
    question = question_of(plan)
    axes = [entity_name(axis) for axis in plan.get("axes") or ("lr", "iters")]
    metrics = [run.metrics for run in runs]
    params = [run.params for run in runs]
    words = views.words_of(sweep.sweep_id, axes, params, metrics, question.deciding(runs))
    own = f"sweep-{sweep.sweep_id}"
    wanted = (
        ("compare", own, "sweep", set[str]().union(*metrics)),
        ("weights", f"{own}-weights", "weights", set[str]().union(*metrics)),
        ("all sweeps", "all-sweeps", "all-sweeps", set(TOTALS)),
    )
    saved = {}
    for link, key, template, names in wanted:
        made = views.view(template, words, sorted(names))
        if made is not None and link != "all sweeps":
            made[1]["orderByAsc"] = question.mode == "min"
        if made is not None and link == "compare" and any(POINT in run.tags for run in runs):
            made[1].update(views.grouped(POINT))
        value = made and views.view_tag(*made, now=time.time_ns() // 1_000_000)
        if made is not None and value is not None:
            _set_tag(store, views.PREFIX + key, value)
            saved[link] = key
    newest = [one.sweep_id for one in read.list_sweeps(store)][:KEPT]
    kept = {f"sweep-{ident}{part}" for ident in newest for part in ("", "-weights")}
    for tag in _tags(store):
        key = tag.removeprefix(views.PREFIX)
        if tag.startswith(f"{views.PREFIX}sweep-") and key not in {*kept, own, f"{own}-weights"}:
            delete = partial(store.client.delete_experiment_tag, store.experiment_id, tag)
            store.call(delete)
    return saved


def _tags(store: Store) -> dict[str, str]:
    return dict(store.call(lambda: store.client.get_experiment(store.experiment_id)).tags)


def _set_tag(store: Store, key: str, value: str) -> None:
    store.call(lambda: store.client.set_experiment_tag(store.experiment_id, key, value))


# --- notes -------------------------------------------------------------------------------


def describe(
    store: Store, sweep: StoredSweep, links: Mapping[str, str], text: str, report: Path | None
) -> str:
    """Write the experiment's note and return the sweep's: answer, links, tables, pictures.

    Closed, a note shows its first lines alone: so the links stand right after the answer.

    Parameters
    ----------
    text
        Markdown whose first line is the answer; its tables follow, and are cut where the
        whole would become too long.
    report
        The folder whose pictures the note shows; they are the parent run's artifacts.
    """
    before = _tags(store).get(NOTE, "")
    if not before.strip() or before.startswith(NOTE_BEGINS):
        newest = {f"the newest sweep, {sweep.sweep_id}": links["compare"]}
        others = {name: url for name, url in links.items() if name == "all sweeps"}
        _set_tag(
            store,
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
    pictures = _pictures(sweep.run_id, report)
    shown = "".join(f"\n![{name}]({url})\n" for name, url in pictures.items())
    # MLflow's style sheet sets no padding between the cells of a table.
    lines = tables.strip("\n").split("\n")
    spaced = [line.replace(" |", " &emsp;|") if line[:2] == "| " else line for line in lines]
    room = max(LONGEST - len(head) - len(shown), 1)
    return head + short_lines("\n".join(spaced), room) + "\n" + shown


def _linked(links: Mapping[str, str]) -> str:
    return " · ".join(f"[{name}]({url})" for name, url in links.items())


def _pictures(run_id: str, report: Path | None) -> dict[str, str]:
    """Return what each picture of a report shows -> where the server gives it.

    SVG, because MLflow shows a picture in its own size and that of the PNG is for print.
    """
    found = {}
    for png in sorted(report.glob("*.png")) if report else ():
        svg = png.with_suffix(".svg")
        head = svg.read_bytes() if svg.is_file() else b""
        width = re.search(rb'<svg[^>]* width="([0-9.]+)pt"', head[:2000])
        if width is not None and float(width[1]) > WIDEST_PICTURE:
            continue
        file = svg if 0 < len(head) <= LARGEST_PICTURE else png
        place = quote(f"report/{file.name}", safe="")
        name = png.stem.replace("_", " ").capitalize()
        found[name] = f"get-artifact?path={place}&run_uuid={run_id}"
    return found
