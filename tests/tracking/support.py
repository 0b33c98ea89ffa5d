"""Results, plans and processes for the tests of the store."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sweep.tracking import read, results
from sweep.tracking.results import RunRecord
from sweep.tracking.runs import create_run, store_result
from sweep.tracking.store import Store
from sweep.training.curve import THRESHOLDS, kept_steps
from sweep.training.history import RunResult
from sweep.training.surroundings import Failure
from tests.processes import ROOT, clean_environment

SIGNATURE = "ab" * 32
SWEEP = "20260102-030405-wxyz"
CONFIG = {
    "lr": 0.05,
    "iters": 1000,
    "rule": None,
    "network": {"layers": [4, 3, 2], "weights": [[[0.82, 1e-17], [0.1, 1 / 3]]]},
}
PARAMS = {"lr": "0.05", "iters": "1000", "rule": "notebook", "seed": "0", "network": "notebook"}
NAMES = [*(f"w{n}" for n in range(1, 19)), "b1", "b2"]


def result(iters: int = 1000, **changes: Any) -> RunResult:
    """Return a completed result: a falling curve and the notebook's number of weights."""
    steps = kept_steps(iters)
    errors = 0.3 / (1.0 + steps) ** 0.5
    made = RunResult(
        iters=iters,
        outcome="completed",
        steps=steps,
        errors=errors,
        best_error=float(errors[-1]),
        best_step=iters,
        initial_error=float(errors[0]),
        final_error=float(errors[-1]),
        diverged_at=None,
        stalled_at=None,
        thresholds={k: 8 if k == 1 else None for k in THRESHOLDS},
        initial_weights={name: at / 7 for at, name in enumerate(NAMES)},
        final_weights={name: at / 3 for at, name in enumerate(NAMES)},
        train_seconds=0.25,
    )
    return replace(made, **changes)


def diverged(at: int = 5) -> RunResult:
    """Return a result whose step `at` was not finite."""
    errors = np.array([0.5, 0.4, 0.45, 2.0, 1.7e308])[:at]
    return result(
        iters=1000,
        outcome="diverged",
        steps=np.arange(len(errors)),
        errors=errors,
        best_error=0.4,
        best_step=1,
        initial_error=0.5,
        final_error=None,
        diverged_at=at,
        final_weights={name: float("nan") if name == "w2" else 1e300 for name in NAMES},
    )


def cell(index: int, name: str, signature: str = SIGNATURE) -> dict[str, Any]:
    """Return a cell as plan.json holds it."""
    found = {"index": index, "name": name, "signature": signature}
    return {**found, "params": PARAMS, "config": CONFIG}


def plan(*names: str) -> dict[str, Any]:
    """Return a plan with a cell for each name."""
    cells = [cell(index, name) for index, name in enumerate(names)]
    return {"version": 1, "sweep_id": SWEEP, "cells": cells}


_records: dict[str, RunRecord] = {}
"""Id of each run that `start_run` created -> its record."""


def record_of(
    store: Store,
    name: str = "a",
    params: Mapping[str, str] = PARAMS,
    tags: Mapping[str, str] = {},
    sweep_id: str | None = None,
    parent_run_id: str | None = None,
) -> RunRecord:
    """Return the record of a run that begins now; its cell is that of its name in the plan."""
    cell = 0
    ours = {"sweep.role": "run", "mlflow.user": "me", "mlflow.source.name": "python -m sweep"}
    if sweep_id is not None and parent_run_id is not None:
        names = [one["name"] for one in read.find_sweep(store, sweep_id).plan()["cells"]]
        cell = names.index(name) if name in names else len(names)
        ours |= {"sweep.id": sweep_id, "mlflow.parentRunId": parent_run_id}
        ours["sweep.cell"] = str(cell)
    start = time.time_ns() // 1_000_000
    return RunRecord(store.tracking.name, cell, name, params, {**tags, **ours}, start)


def start_run(store: Store, **options: Any) -> str:
    """Create a run and return its id."""
    record = record_of(store, **options)
    run_id = create_run(store, record)
    _records[run_id] = record
    return run_id


def saved(
    store: Store,
    record: RunRecord,
    outcome: RunResult | Failure | None,
    config: Mapping[str, Any] = CONFIG,
) -> Path:
    """Write the result file of a run that ends now."""
    owner = f"sweeps/{record.sweep_id}" if record.sweep_id else "runs/single"
    folder = results.folder_of(store.tracking.outputs, owner)
    files = results.run_files(outcome, config)
    return results.write(folder, results.ended(record, outcome, 0.25), files)


def finish(
    store: Store,
    run_id: str,
    outcome: RunResult | Failure | None,
    config: Mapping[str, Any] = CONFIG,
) -> Path:
    """Store the end of a run that was created; return where its result file was."""
    path = saved(store, _records[run_id], outcome, config)
    found = results.read(path)
    assert found is not None
    store_result(store, path, found, run_id)
    return path


def start_script(text: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program that ends its standard output with what a test waits for."""
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        cwd=ROOT,
        env=clean_environment({"MLFLOW_DISABLE_TELEMETRY": "true"}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, path to content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
