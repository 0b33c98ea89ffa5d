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

COLUMNS = (
    "experiment",
    "sweep",
    "name",
    "begun",
    "status",
    "runs",
    "failed",
    "best final error",
    "about",
)
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
    experiments: dict[str, list[StoredSweep]] = {}
    for sweep in read.list_sweeps(store):
        experiments.setdefault(str(sweep.plan().get("experiment", "")), []).append(sweep)
    if not experiments:
        console.echo(f"{store.where} holds no sweep{'' if every else ' of this experiment'}.")
        return
    newest = sorted(experiments.items(), key=lambda one: -(one[1][0].start_time or 0))
    rows = [[name, *_row(sweep)] for name, sweeps in newest for sweep in sweeps]
    first = len(experiments) == 1  # no need of a column for the experiment
    console.table(COLUMNS[first:], [row[first:] for row in rows])


def _row(sweep: StoredSweep) -> list[str]:
    begun = time.localtime((sweep.start_time or 0) / 1000)
    finished, failed, total = (
        int(sweep.metrics.get(f"runs_{name}", 0)) for name in ("finished", "failed", "total")
    )
    best = sweep.metrics.get("best_final_error")
    about = sweep.plan().get("about") or {}
    tags = ", ".join(f"{key}={value}" for key, value in (about.get("tags") or {}).items())
    note = " ".join(str(about.get("note") or "").split())
    words = "; ".join(filter(None, (tags, note)))
    return [
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
