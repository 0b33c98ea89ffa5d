"""Where a person lands who looks at a sweep in MLflow: its views, its notes, its links."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from sweep.errors import StoreError
from sweep.tracking import addresses, arranged, notes, read, views
from sweep.tracking.addresses import Landing
from sweep.tracking.store import Store
from sweep.tracking.stored import StoredRun, StoredSweep
from sweep.tracking.texts import entity_name

__all__ = ["KEPT", "Landing", "describe", "landing_of", "remove_old_views", "save_views"]

KEPT = 20
"""The views of so many sweeps stay in the menu; those of older ones are removed."""

LARGEST_PICTURE = 400_000
"""Bytes of an SVG that a note shows; beyond it the note shows the PNG."""

WIDEST_PICTURE = 760.0
"""Points; a wider picture in a note would push aside what the page shows beside the note."""

SERVER_SECONDS = 4.0


def save_views(store: Store, sweep: StoredSweep, runs: Sequence[StoredRun]) -> None:
    """Write a sweep's views and that of all sweeps.

    A server of another version gets none. What cannot be written is not worth a sweep: the
    links lead to the plain comparison then.
    """
    if not views.is_known(_version(store)):
        return
    axes = [entity_name(axis) for axis in sweep.plan().get("axes") or ("lr", "iters")]
    found = arranged.Varying.of([run.params for run in runs], [run.metrics for run in runs])
    wanted = [
        arranged.charts_view(sweep.sweep_id, axes, found),
        arranged.weights_view(sweep.sweep_id, axes, found),
        arranged.sweeps_view(),
    ]
    now = time.time_ns() // 1_000_000
    for view in wanted:
        value = None if view is None else views.tag_value(view, now)
        if view is not None and value is not None:
            _set_tag(store, views.tag_name(view.key), value)


def landing_of(store: Store, sweep: StoredSweep, runs: Iterable[StoredRun]) -> Landing:
    """Return where to look at a sweep, by the views that are saved now."""
    runs, ident = list(runs), store.experiment_id
    saved = _tags(store) if views.is_known(_version(store)) else {}

    def view(key: str) -> str | None:
        return addresses.view_address(ident, key) if views.tag_name(key) in saved else None

    condition = arranged.sweep_condition(sweep.sweep_id)
    plain = addresses.comparison(ident, condition, [run.run_id for run in runs])
    best = _best(runs)
    return Landing(
        compare=view(arranged.view_key(sweep.sweep_id)) or plain,
        weights=view(arranged.view_key(sweep.sweep_id, "weights")),
        sweeps=view(arranged.ALL_SWEEPS),
        parent=addresses.run_address(ident, sweep.run_id),
        report=addresses.run_address(ident, sweep.run_id, "report/index.html"),
        best=addresses.run_address(ident, best.run_id) if best else None,
    )


def describe(
    store: Store, sweep: StoredSweep, landing: Landing, text: str, report: Path | None
) -> str:
    """Write the experiment's note and return the sweep's, from the report's `text`.

    Parameters
    ----------
    report
        The folder whose pictures the note shows; they are the parent run's artifacts.
    """
    newest = {f"the newest sweep, {sweep.sweep_id}": landing.compare}
    others = {"all sweeps": landing.sweeps} if landing.sweeps else {}
    before = _tags(store).get(notes.NOTE, "")
    if not before.strip() or before.startswith(notes.EXPERIMENT_NOTE_BEGINS):
        _set_tag(store, notes.NOTE, notes.experiment_note({**newest, **others}))
    links = {
        "Compare the runs": landing.compare,
        "weights": landing.weights,
        "best run": landing.best,
        "report": landing.report,
        "all sweeps": landing.sweeps,
    }
    shown = {name: url for name, url in links.items() if url}
    return notes.sweep_note(text, shown, _pictures(sweep.run_id, report))


def _pictures(run_id: str, report: Path | None) -> Mapping[str, str]:
    """Return what each picture of a report shows -> where the server gives it.

    SVG, because MLflow shows a picture in its own size and that of the PNG is for print.
    """
    found = {}
    for png in sorted(report.glob("*.png")) if report else ():
        svg = png.with_suffix(".svg")
        if _width(svg) > WIDEST_PICTURE:
            continue
        small = svg.is_file() and svg.stat().st_size <= LARGEST_PICTURE
        name = png.stem.replace("_", " ").capitalize()
        found[name] = addresses.artifact_address(run_id, f"report/{(svg if small else png).name}")
    return found


def _width(svg: Path) -> float:
    """Return the width of a picture in points, 0 where it does not say."""
    if not svg.is_file():
        return 0.0
    with svg.open("rb") as file:
        head = re.search(rb'<svg[^>]* width="([0-9.]+)pt"', file.read(2000))
    return float(head[1]) if head else 0.0


def _best(runs: Iterable[StoredRun]) -> StoredRun | None:
    """Return the run with the smallest final error; of equal ones that with fewer iterations."""

    def key(run: StoredRun) -> tuple[float, float]:
        return run.metrics["final_error"], float(run.params.get("iters", "inf"))

    return min((run for run in runs if "final_error" in run.metrics), key=key, default=None)


def remove_old_views(store: Store) -> None:
    """Remove the views of all sweeps but the newest KEPT: the menu lists every one."""
    newest = [sweep.sweep_id for sweep in read.list_sweeps(store)][:KEPT]
    kept = {arranged.view_key(ident, part) for ident in newest for part in ("", "weights")}
    ours = f"{views.PREFIX}{arranged.view_key('')}"
    for tag in _tags(store):
        if tag.startswith(ours) and tag.removeprefix(views.PREFIX) not in kept:
            _delete_tag(store, tag)


def _tags(store: Store) -> dict[str, str]:
    found = store.call(lambda: store.client.get_experiment(store.experiment_id))
    return dict(found.tags)


def _set_tag(store: Store, key: str, value: str) -> None:
    try:
        store.call(lambda: store.client.set_experiment_tag(store.experiment_id, key, value))
    except StoreError as error:
        store.say(f"The tag {key} of the experiment was not written: {error}")


def _delete_tag(store: Store, key: str) -> None:
    try:
        store.call(partial(store.client.delete_experiment_tag, store.experiment_id, key))
    except StoreError:
        return  # another sweep's end has removed it, and if not, the next one does


def _version(store: Store) -> str:
    """Return the version of MLflow whose page will show the store, empty where it is silent."""
    if store.tracking.kind == "local":
        return mlflow.__version__
    try:  # by MLflow's own way, which knows the user's password
        creds = get_default_host_creds(store.uri)  # type: ignore[no-untyped-call]
        answer = http_request(  # type: ignore[no-untyped-call]
            creds, "/version", "GET", max_retries=0, timeout=SERVER_SECONDS
        )
    except (MlflowException, OSError):
        return ""
    return str(answer.text[:100]).strip() if answer.status_code == 200 else ""
