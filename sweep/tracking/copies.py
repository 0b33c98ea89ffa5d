"""Copy a sweep into another local store: its runs through MLflow's client, their files beside.

MLflow gives the copies ids of their own; what the sweep's note links to is changed with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mlflow.entities import Metric, Param

from sweep.tracking import files
from sweep.tracking.store import Store
from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["copy_sweep", "moved", "moved_params"]

RUN_FILES = (
    files.CONFIG,
    files.CURVE,
    files.PREPARATION,
    files.WEIGHTS,
    files.WEIGHTS_LARGE,
    files.THRESHOLDS,
    files.TRACEBACK,
)

NOTE = "mlflow.note.content"
OWN_TAGS = ("mlflow.parentRunId", "mlflow.runName", "sweep.heartbeat")
"""Tags that are not copied: MLflow writes them anew, or they name the process that wrote a run."""

FILE_KEYS = ("data.file", "data.validation")
"""Keys that may name a data file."""

BATCH = 900
"""So many metrics at once; MLflow takes 1000 entries."""


def copy_sweep(
    source: Store,
    sweep: StoredSweep,
    runs: Sequence[StoredRun],
    target: Store,
    plan: Mapping[str, Any],
    data_files: Mapping[str, str],
) -> None:
    """Copy a sweep and its runs into a local store.

    What still runs is copied as KILLED: no process trains it there.

    Parameters
    ----------
    plan
        The copy's plan.json.
    data_files
        Data file as the configurations name it -> its copy, which the copied ones name.

    Raises
    ------
    StoreError
        A store cannot be read or written.
    """
    parent = _create(source, sweep, target, sweep.sweep_id, {})
    text = json.dumps(plan, allow_nan=False, ensure_ascii=False)
    _write(target, parent, "plan.json", text.encode("utf-8"))
    ids = {
        sweep.run_id: parent,
        f"#/experiments/{source.experiment_id}/": f"#/experiments/{target.experiment_id}/",
    }
    for run in runs:
        params = moved_params(run.params, data_files)
        copy = _create(source, run, target, run.name, params, {"mlflow.parentRunId": parent})
        for name in RUN_FILES:
            content = run.artifacts.read(run.run_id, name) if run.artifacts else None
            if content is not None:
                if name == files.CONFIG:
                    content = _moved_config(content, data_files)
                _write(target, copy, name, content)
        _end(target, copy, run)
        ids[run.run_id] = copy
    note = sweep.tags.get(NOTE, "")
    for old, new in ids.items():
        note = note.replace(old, new)
    if note:
        target.call(partial(target.client.set_tag, parent, NOTE, note))
    _end(target, parent, sweep)


def _create(
    source: Store,
    stored: StoredRun | StoredSweep,
    target: Store,
    name: str,
    params: Mapping[str, str],
    more: Mapping[str, str] = {},
) -> str:
    """Create a run with the tags, params and every value of every metric; return its id."""
    tags = {key: text for key, text in stored.tags.items() if key not in OWN_TAGS} | dict(more)
    create = partial(target.client.create_run, target.experiment_id, stored.start_time, tags, name)
    run_id = str(target.call(create).info.run_id)
    values: list[Metric] = []
    for key in stored.metrics:
        history = source.call(partial(source.client.get_metric_history, stored.run_id, key))
        values += [Metric(one.key, one.value, one.timestamp, one.step) for one in history]
    texts = [Param(key, value) for key, value in params.items()]
    for at in range(0, max(len(values), 1), BATCH):
        some = values[at : at + BATCH]
        target.call(partial(target.client.log_batch, run_id, some, [] if at else texts))
    return run_id


def _end(target: Store, run_id: str, stored: StoredRun | StoredSweep) -> None:
    status = "KILLED" if stored.status == "RUNNING" else stored.status
    end = partial(target.client.set_terminated, run_id, status, stored.end_time)
    target.call(end)


def _write(target: Store, run_id: str, name: str, content: bytes) -> None:
    path = target.tracking.artifacts / run_id / "artifacts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _moved_config(content: bytes, data_files: Mapping[str, str]) -> bytes:
    """Return a ``config.yaml`` that names the copy of its data file."""
    try:
        config = files.read_config(content)
    except Exception:  # damaged bytes are copied as they are
        return content
    new = moved(config, data_files)
    return content if new == config else files.config_bytes(new)


def moved_params(params: Mapping[str, str], data_files: Mapping[str, str]) -> dict[str, str]:
    """Return params that name the copies of data files, where they name one."""
    return {
        key: data_files.get(text, text) if key in FILE_KEYS else text
        for key, text in params.items()
    }


def moved(config: Mapping[str, Any], data_files: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a configuration that names the copies of its data files."""
    data = config.get("data")
    if not isinstance(data, Mapping):
        return config
    keys = [key.removeprefix("data.") for key in FILE_KEYS]
    new = {key: data_files[str(data[key])] for key in keys if str(data.get(key)) in data_files}
    return {**config, "data": {**data, **new}} if new else config
