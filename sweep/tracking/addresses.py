"""Addresses of pages in MLflow's interface, below the server's own address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

__all__ = [
    "Landing",
    "artifact_address",
    "comparison",
    "is_saved",
    "run_address",
    "runs_address",
    "view_address",
]

TRAINING = "workflowType=machine_learning"
"""Without it an experiment's address ends on an empty page for traces of language models."""

COMPARED = 50
"""Up to so many runs stand in a plain comparison's address by their ids."""


@dataclass(frozen=True)
class Landing:
    """Where to look at a sweep: addresses below the server's own.

    Attributes
    ----------
    compare
        The sweep's saved view; the plain comparison of its runs where there is none.
    weights, sweeps
        The views of the weights and of all sweeps, None where they are not saved.
    parent, report
        The page of the sweep's parent run, and of its report there.
    best
        The page of the run with the smallest final error, None where no run has one.
    """

    compare: str
    weights: str | None
    sweeps: str | None
    parent: str
    report: str
    best: str | None

    @property
    def saved(self) -> bool:
        """Whether the runs are compared in a saved view."""
        return is_saved(self.compare)


def view_address(experiment_id: str, key: str) -> str:
    """Return where a saved view is, below the server's own address."""
    return (
        f"{runs_address(experiment_id)}"
        f"?viewStateShareKey={quote(key, safe='')}&compareRunsMode=CHART&{TRAINING}"
    )


def is_saved(link: str) -> bool:
    """Tell whether an address is that of a saved view."""
    return "viewStateShareKey=" in link


def run_address(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """Return the page of one run, or of one of its artifacts."""
    page = f"{runs_address(experiment_id)}/{quote(run_id, safe='')}"
    if artifact:
        page += f"/artifacts/{quote(artifact)}"
    return f"{page}?{TRAINING}"


def runs_address(experiment_id: str) -> str:
    """Return where an experiment's runs are."""
    return f"#/experiments/{quote(experiment_id, safe='')}/runs"


def artifact_address(run_id: str, path: str) -> str:
    """Return where the server gives an artifact as it is, for a picture in a note."""
    return f"get-artifact?path={quote(path, safe='')}&run_uuid={quote(run_id, safe='')}"


def comparison(experiment_id: str, condition: str, run_ids: Sequence[str]) -> str:
    """Return the plain comparison of runs, which needs no saved view.

    Parameters
    ----------
    condition
        A search that finds the runs, for when they are too many for an address.
    """
    if 1 < len(run_ids) <= COMPARED:
        runs = quote(json.dumps(list(run_ids), separators=(",", ":")), safe="")
        experiments = quote(json.dumps([experiment_id]), safe="")
        return f"#/compare-runs?runs={runs}&experiments={experiments}"
    return (
        f"{runs_address(experiment_id)}?searchFilter={quote(condition, safe='')}"
        f"&startTime=ALL&compareRunsMode=CHART&{TRAINING}"
    )
