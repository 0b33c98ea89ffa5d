"""``python -m sweep.list``: list the sweeps of a store, newest first."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.tracking.read import StoredSweep

COLUMNS = (*"experiment sweep name begun status runs failed".split(), "best final error", "about")
MOST_WORDS = 60
"""Characters shown of tags and note."""


def list_sweeps(config: DictConfig) -> None:
    """Print a line for each sweep of the store, or of one experiment.

    Raises NotFoundError if there is no store, StoreError if it cannot be read.
    """
    from sweep import console
    from sweep.cli.hydra_config import to_container
    from sweep.config.settings import settings
    from sweep.tracking import read
    from sweep.tracking.store import open_store

    given = to_container(config)
    if every := given["tracking"]["experiment"] is None:
        del given["tracking"]["experiment"]
    tracking = settings(given, Path.cwd()).tracking
    if every:
        tracking = tracking.model_copy(update={"experiment": ""})
    store = open_store(tracking, mode="read")
    sweeps = read.list_sweeps(store)
    if not sweeps:
        console.echo(f"{store.where} holds no sweep{'' if every else ' of this experiment'}.")
        return
    rows = [_row(sweep) for sweep in sweeps]
    newest: dict[str, int] = {}
    for row, sweep in zip(rows, sweeps, strict=True):
        newest.setdefault(row[0], sweep.start_time or 0)
    rows.sort(key=lambda row: (-newest[row[0]], row[0]))  # stable
    first = len(newest) == 1  # no need of a column for the experiment
    console.table(COLUMNS[first:], [row[first:] for row in rows])


def _row(sweep: StoredSweep) -> list[str]:
    from sweep.report.curves import artifact, typed_fields

    unread: list[str] = []
    stored = artifact(sweep.plan, "plan.json", unread) or {}
    plan = typed_fields(stored, {"about": dict}, "plan.json", unread)
    about = typed_fields(plan.get("about", {}), {"tags": dict}, "plan.json about", unread)
    begun = time.localtime((sweep.start_time or 0) / 1000)
    finished, failed, total = (
        int(sweep.metrics.get(f"runs_{name}", 0)) for name in ("finished", "failed", "total")
    )
    best = sweep.metrics.get("best_final_error")
    tags = ", ".join(f"{key}={value}" for key, value in about.get("tags", {}).items())
    note = " ".join(str(about.get("note") or "").split())
    damaged = f"damaged: {', '.join(unread)}" if unread else ""
    words = "; ".join(filter(None, (tags, note, damaged)))
    return [
        str(plan.get("experiment", "")),
        sweep.sweep_id,
        str(about.get("name") or ""),
        time.strftime("%Y-%m-%d %H:%M", begun),
        sweep.status,
        f"{finished}/{total}",
        str(failed or ""),
        "" if best is None else f"{best:.4g}",
        words if len(words) <= MOST_WORDS else words[: MOST_WORDS - 1] + "…",
    ]


if __name__ == "__main__":
    sys.exit(tool(list_sweeps, "list"))
