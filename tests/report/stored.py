"""Stored sweeps to report on: stored runs as the store gives them, over real artifact files.

The error curves are closed formulas, so every number that a report may show is known.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweep.report.data import SweepData, sweep_data
from sweep.tracking.artifacts import TRACEBACK, LocalArtifacts
from sweep.tracking.read import StoredRun, StoredSweep
from sweep.tracking.results import run_files
from sweep.training.history import RunResult

START = 1_700_000_000_000


def cells(axes: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Return the cells of a grid as plan.json holds them."""
    found = []
    for index, values in enumerate(itertools.product(*axes.values())):
        cell = dict(zip(axes, values, strict=True))
        name = ",".join(f"{key}={value}" for key, value in cell.items())
        params = {"lr": "0.1", "iters": "1", "rule": "notebook", "seed": "0"}
        params |= {"network": "notebook", "data": "notebook", "trainer": "backprop"}
        params |= {key: str(value) for key, value in cell.items()}
        shared = ",".join(f"{key}={value}" for key, value in cell.items() if key != "iters")
        found.append(
            {
                "index": index,
                "name": name,
                "values": cell,
                "params": params,
                "signature": f"signature of {name}",
                "trajectory": f"trajectory of {shared}",
            }
        )
    return found


def stored_sweep(
    folder: Path,
    plan_cells: Sequence[Mapping[str, Any]],
    sweep_id: str = "20250101-120000-abcd",
    **question: Any,
) -> StoredSweep:
    """Return a sweep that planned these cells; a seed is an axis, unless `repeats` names it."""
    plan = {
        "version": 1,
        "sweep_id": sweep_id,
        "command": "python -m sweep -m lr=0.01,0.05",
        "axes": list(plan_cells[0]["values"]) if plan_cells else [],
        "cells": list(plan_cells),
        "question": {"repeats": [], **question},
    }
    run_id = "f" * 32
    store = LocalArtifacts(folder)
    store.folder(run_id).mkdir(parents=True, exist_ok=True)
    (store.folder(run_id) / "plan.json").write_text(json.dumps(plan))
    tags = {"sweep.id": sweep_id}
    return StoredSweep(run_id, sweep_id, "RUNNING", {}, {}, tags, START, None, store)


def decay(lr: float, iters: int, start: float = 0.6) -> np.ndarray:
    """Return an error curve of n+1 values that falls the faster the larger lr is."""
    return start / (1 + lr * np.arange(iters + 1)) ** 2


def result_of(lr: float, iters: int, errors: np.ndarray, scale: float = 0.1) -> RunResult:
    """Return what training would have given for this error curve; weights move with lr."""
    errors = np.asarray(errors, dtype=np.float64)
    initial = {f"w{i}": round(0.1 * i, 1) for i in range(1, 19)} | {"b1": 0.5, "b2": 0.5}
    below = {k: np.flatnonzero(errors <= float(f"1e-{k}")) for k in range(1, 33)}
    return RunResult(
        iters=iters,
        outcome="completed",
        steps=np.arange(len(errors), dtype=np.int64),
        errors=errors,
        best_error=float(errors.min()),
        best_step=int(errors.argmin()),
        initial_error=float(errors[0]),
        final_error=float(errors[-1]),
        diverged_at=None,
        stalled_at=None,
        thresholds={k: int(at[0]) if len(at) else None for k, at in below.items()},
        initial_weights=initial,
        final_weights={n: v - lr * scale * i for i, (n, v) in enumerate(initial.items())},
        train_seconds=0.25,
    )


def stored_run(
    folder: Path,
    cell: Mapping[str, Any],
    errors: np.ndarray | None = None,
    *,
    result: RunResult | None = None,
    outcome: str = "completed",
    traceback: str | None = None,
    **changed: Any,
) -> StoredRun:
    """Return a run with its artifacts written below `folder`; `changed` replaces its fields.

    A run whose outcome is not completed has no final error, as in the store.
    """
    lr, iters = float(cell["params"]["lr"]), int(cell["params"]["iters"])
    if result is None:
        result = result_of(lr, iters, decay(lr, iters) if errors is None else errors)
    run_id = f"{cell['index']:032x}"
    store = LocalArtifacts(folder)
    place = store.folder(run_id)
    place.mkdir(parents=True)
    for name, content in run_files(result, {"lr": lr, "iters": iters}).items():
        (place / name).write_bytes(content)
    if traceback is not None:
        (place / TRACEBACK).write_text(traceback)
    metrics = {
        "initial_error": result.initial_error,
        "final_error": result.final_error if outcome == "completed" else None,
        "best_error": result.best_error,
        "best_step": result.best_step,
        "stalled_at": result.stalled_at,
        "train_seconds": result.train_seconds,
        **{f"weights/{n}": v for n, v in result.final_weights.items() if np.ndim(v) == 0},
        **changed.pop("metrics", {}),
    }
    status = {"failed": "FAILED", "interrupted": "KILLED"}.get(outcome, "FINISHED")
    known = {"sweep.signature": cell["signature"], "sweep.versions": '{"numpy": "2.1"}'}
    tags = {"sweep.outcome": outcome, "sweep.cell": str(cell["index"])}
    tags |= changed.pop("tags", known)
    fields: dict[str, Any] = {
        "run_id": run_id,
        "name": cell["name"],
        "status": status,
        "params": dict(cell["params"]),
        "metrics": {name: float(v) for name, v in metrics.items() if v is not None},
        "tags": tags,
        "start_time": START,
        "end_time": START + 5000,
    }
    return StoredRun(**{**fields, **changed}, artifacts=store)


def grid(
    folder: Path, axes: Mapping[str, Iterable[Any]], **question: Any
) -> tuple[StoredSweep, list[StoredRun]]:
    """Return a whole sweep whose runs all completed."""
    plan_cells = cells(axes)
    runs = [stored_run(folder, cell) for cell in plan_cells]
    return stored_sweep(folder, plan_cells, **question), runs


def ended(
    folder: Path, axes: Mapping[str, Iterable[Any]], ends: Iterable[float], **question: Any
) -> SweepData:
    """Return the data of a sweep whose runs ended with these errors, in the order of the plan."""
    plan_cells = cells(axes)
    runs = [
        stored_run(folder, cell, np.array([0.6, end]))
        for cell, end in zip(plan_cells, ends, strict=True)
    ]
    return sweep_data(stored_sweep(folder, plan_cells, **question), runs)


DEFAULT = {"lr": [0.01, 0.05, 1.0], "iters": [1, 10, 100, 1000]}
"""A grid of 3 x 4."""
