"""What a store holds of a sweep, read through the program's own door, wherever it is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from sweep.config.settings import Tracking
from sweep.tracking import read
from sweep.tracking.read import StoredRun
from sweep.tracking.store import Store, open_store

FILES = ("config.yaml", "curve.parquet", "weights.json", "weights.npz", "thresholds.json")
TRACEBACK = "traceback.txt"
PARENTS = "tags.`sweep.role` = 'sweep'"


def content(tracking: Tracking, sweep_id: str = "last") -> dict[str, dict[str, Any]]:
    """Return all of a sweep's runs that their specification determines, to the bit, by name."""
    store = open_store(tracking, mode="read")
    runs = read.sweep_runs(store, read.find_sweep(store, sweep_id).sweep_id)
    found = {run.name: run_content(store, run) for run in runs}
    assert len(found) == len(runs)
    return found


def run_content(store: Store, run: StoredRun) -> dict[str, Any]:
    """Return all of a run that its specification determines, to the bit."""
    history = store.client.get_metric_history(run.run_id, "error")
    files = {name: store.artifacts.read(run.run_id, name) for name in FILES}
    # Only a run that failed has one, and asking for a file that is not there is a request too.
    text = store.artifacts.read(run.run_id, TRACEBACK) if run.status == "FAILED" else None
    told = (text or b"").decode().strip().splitlines()
    return {
        "status": run.status,
        "outcome": run.outcome,
        "params": run.params,
        "metrics": {key: value for key, value in run.metrics.items() if key != "train_seconds"},
        "signature": run.tags["sweep.signature"],
        "history": sorted((point.step, point.value) for point in history),
        "error": told[-1:],
        **files,
    }


def client_of(outputs: Path) -> MlflowClient:
    """Return MLflow's own client of a local store."""
    return MlflowClient(f"sqlite:///{outputs}/mlflow.db")


def runs_of(outputs: Path, condition: str = "tags.`sweep.role` = 'run'") -> dict[str, Run]:
    """Return runs of a local store as MLflow's own client gives them, by name, each name once."""
    client = client_of(outputs)
    (experiment,) = client.search_experiments(filter_string="name = 'sweep'")
    found = client.search_runs([experiment.experiment_id], condition)
    runs = {run.info.run_name: run for run in found}
    assert len(runs) == len(found), "a grid point has more than one run"
    return runs


def every_run(tracking: Tracking) -> list[Run]:
    """Return all of the experiment's runs, parents too, as MLflow gives them."""
    return list(read.search(open_store(tracking, mode="read"), ""))


def assert_once(tracking: Tracking, sweeps: int | Sequence[str] = 1) -> None:
    """Assert that these sweeps, or all of so many, are finished: one FINISHED run a cell each."""
    store = open_store(tracking, mode="read")
    if isinstance(sweeps, int):
        found = list(read.list_sweeps(store))
        assert len(found) == sweeps
    else:
        found = [read.find_sweep(store, sweep_id) for sweep_id in sweeps]
    for sweep in found:
        names = [cell["name"] for cell in sweep.plan()["cells"]]
        every = read.sweep_runs(store, sweep.sweep_id, every=True)
        counting = [run for run in every if read.SUPERSEDED not in run.tags]
        assert Counter(run.name for run in counting) == Counter(names)
        assert {run.status for run in counting} == {"FINISHED"}
        assert sweep.status == "FINISHED"
        assert sweep.metrics["runs_finished"] == len(names)
    assert not [run for run in every_run(tracking) if run.info.status == "RUNNING"]
    left = list(tracking.outputs.glob("*/*/results/*"))
    assert not left, "nothing waits on the client's disk"
