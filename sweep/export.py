"""``python -m sweep.export``: copy a stored sweep into a folder that is a complete store.

It has only this sweep, with its data files and report; every command works on it with
``outputs=FOLDER``, also on another machine. It is written under a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cli.app import tool
from sweep.tracking.entities import NOTE

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.config.settings import Settings
    from sweep.tracking.read import StoredRun, StoredSweep
    from sweep.tracking.store import Store

README = """\
# Sweep {sweep_id}

A sweep as a store of its own: `mlflow.db` and `artifacts/` hold its runs, `data/` the files that
they trained on, `reports/{sweep_id}/` the report.

    python -m sweep.verify outputs=FOLDER                train every run again and compare
    python -m sweep.report outputs=FOLDER                build the report again
    python -m sweep.ui outputs=FOLDER                    look at the runs in MLflow
    python -m sweep outputs=FOLDER resume=last           finish it, or add grid points
"""

NOT_COPIED = ("mlflow.parentRunId", "mlflow.runName", NOTE, "sweep.heartbeat")
"""Tags that are written anew, or that belong to the process that wrote the run."""

FILE_KEYS = ("file", "validation")
"""Keys of ``data`` that may name a data file."""


def export(config: DictConfig) -> None:
    """Copy the sweep ``sweep=ID|last`` to the folder or ``.zip`` file ``to``.

    Raises ConfigError if ``to`` exists, NotFoundError if there is no such sweep, and StoreError if
    the store cannot be read or ``to`` cannot be written.
    """
    from sweep import console
    from sweep.cli.hydra_config import to_container
    from sweep.config.settings import Tracking, settings
    from sweep.errors import ConfigError, StoreError
    from sweep.tracking import read
    from sweep.tracking.store import open_store

    plain = to_container(config)
    options = settings(plain, Path.cwd())
    store = open_store(options.tracking, mode="read")
    sweep = read.find_sweep(store, str(plain["sweep"]))
    runs = read.sweep_runs(store, sweep.sweep_id)
    to = plain["to"]
    target = options.outputs / "exports" / sweep.sweep_id if to is None else Path.cwd() / str(to)
    if target.exists() or target.is_symlink():
        raise ConfigError(f"to={target}: it exists already; name one that does not.")
    local = Tracking(kind="local", experiment="sweep", outputs=target)
    there = options.model_copy(update={"outputs": target, "tracking": local})
    try:
        with _appearing(target) as folder, _new_store(folder) as new:
            left_out = _copy(store, sweep, runs, new, there)
        if target.is_dir():  # update MLflow's absolute addresses of artifacts
            with _new_store(target):
                pass
    except OSError as error:
        raise StoreError(f"to={target}: it cannot be written ({error.strerror}).") from error
    for file in left_out:
        console.echo(f"Left out: data file {file} is not there as the runs trained on it.")
    console.echo(f"Sweep {sweep.sweep_id}, {len(runs)} runs, is in {os.path.relpath(target)}")
    if target.suffix == ".zip":
        there = there.model_copy(update={"outputs": Path.cwd() / target.stem})
    unpack = "Unpack it, then verify it: " if target.suffix == ".zip" else "Verify it: "
    console.echo(f"{unpack} python -m sweep.verify {shlex.join(console.store_arguments(there))}")


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `target` if the block succeeds.

    For a ``.zip`` it is packed first; unpacking creates a folder of that name.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    folder = aside / target.stem
    try:
        folder.mkdir(parents=True)
        yield folder
        if target.suffix == ".zip":
            shutil.make_archive(str(folder), "zip", aside, folder.name)
            folder = folder.with_name(target.name)
        os.rename(folder, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _new_store(folder: Path) -> Iterator[Store]:
    """Open the store of a folder and close it, leaving no log beside the database and no locks."""
    from sweep.config.settings import Tracking
    from sweep.tracking import database
    from sweep.tracking.store import open_store

    store = open_store(
        Tracking(kind="local", outputs=folder), mode="write", echo=lambda sentence: None
    )
    yield store
    database.close_all()
    shutil.rmtree(store.tracking.locks, ignore_errors=True)


def _copy(
    source: Store, sweep: StoredSweep, runs: Sequence[StoredRun], target: Store, there: Settings
) -> list[str]:
    """Copy a sweep with its report and data files; return the data files that were left out.

    The copies have new MLflow ids, which replace those in the links of the sweep's note.
    """
    from sweep import console
    from sweep.errors import StoreError
    from sweep.report.build import build_report
    from sweep.tracking import pages, read

    sweep_id, folder, plan = sweep.sweep_id, target.tracking.outputs, sweep.plan()
    try:
        plan, copies, left_out = _with_copies(plan, source.tracking.outputs, folder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"plan.json of sweep {sweep_id} is damaged: {type(error).__name__}: {error}."
        ) from error
    files = {"plan.json": json.dumps(plan, allow_nan=False, ensure_ascii=False).encode()}
    parent = _copy_run(source, sweep, target, sweep_id, files)
    note = sweep.tags.get(NOTE, "").replace(sweep.run_id, parent)
    for run in runs:
        params = _renamed(run.params, copies, "data.")
        run_id = _copy_run(source, run, target, run.name, _files(run, copies), params, parent)
        note = note.replace(run.run_id, run_id)
    here = f"#/experiments/{source.experiment_id}/"
    note = note.replace(here, f"#/experiments/{target.experiment_id}/")
    if note:
        target.call(target.client.set_tag, parent, NOTE, note)
    copy, copied = read.find_sweep(target, sweep_id), read.sweep_runs(target, sweep_id)
    pages.save_views(target, copy, copied)
    report = folder / "reports" / sweep_id
    build_report(copy, copied, report, command_ui=console.ui_command(there))
    shutil.copytree(report, folder / "artifacts" / parent / "artifacts" / "report")
    (folder / "README.md").write_text(README.format(sweep_id=sweep_id), encoding="utf-8")
    return left_out


def _copy_run(
    source: Store,
    stored: StoredRun,
    target: Store,
    name: str,
    files: Mapping[str, bytes],
    params: Mapping[str, str] = {},
    parent: str | None = None,
) -> str:
    """Copy a stored run with these files and return its id; what is RUNNING becomes KILLED."""
    tags = {key: text for key, text in stored.tags.items() if key not in NOT_COPIED}
    tags |= {} if parent is None else {"mlflow.parentRunId": parent}
    create = target.client.create_run
    run = target.call(create, target.experiment_id, stored.start_time, tags, name)
    run_id = str(run.info.run_id)
    metrics = [
        (one.key, one.value, one.timestamp, one.step)
        for key in stored.metrics
        for one in source.call(source.client.get_metric_history, stored.run_id, key)
    ]
    target.log(run_id, metrics, params)
    target.artifacts.copy(run_id, files)
    status = "KILLED" if stored.status == "RUNNING" else stored.status
    target.call(target.client.set_terminated, run_id, status, stored.end_time)
    return run_id


def _files(run: StoredRun, copies: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files of a run; its configuration names the copied data files."""
    from sweep.tracking.artifacts import CONFIG, NAMES, config_bytes

    found = {name: file for name in NAMES if (file := run.file(name)) is not None}
    try:
        config = run.config()
    except Exception:  # damaged bytes are copied unchanged
        return found
    new = _moved(config, copies)
    return found if new == config else {**found, CONFIG: config_bytes(new)}


def _with_copies(
    plan: Mapping[str, Any], outputs: Path, folder: Path
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Copy the data files of a plan; return the new plan, file -> copy, and the files left out.

    A file is copied only if it has the content that the runs trained on, so that a manipulated
    plan cannot export other files of this machine.
    """
    from sweep.config.spec import trajectory_key
    from sweep.errors import ConfigError
    from sweep.training.data import load_data
    from sweep.training.data.files import kind_of, paths_of

    base = outputs / str(plan.get("base"))
    copies: dict[str, str] = {}
    left_out: list[str] = []
    cells = []
    for cell in plan.get("cells", ()):
        config, data = cell["config"], cell["config"]["data"]
        named = {"file": str(data["file"])} if data.get("file") is not None else {}
        if named and kind_of(Path(str(data.get("validation")))):
            named["validation"] = str(data["validation"])
        try:
            digest = load_data(data, seed=config["seed"], base=base).digest
        except ConfigError:
            digest = ""
        if trajectory_key(config, digest) != cell.get("trajectory"):
            left_out += named.values()
            cells.append(cell)
            continue
        for key, file in named.items():
            if file not in copies:
                copies[file] = _copied(paths_of(file, base, f"data.{key}"), folder)
        new = _moved(config, copies)
        keys = "|".join(named)
        kept = [text for text in cell["overrides"] if not re.match(rf"\+*data\.({keys})=", text)]
        kept += [f"++data.{key}={copies[file]}" for key, file in named.items()]
        changed = {"config": new, "overrides": kept, "trajectory": trajectory_key(new, digest)}
        if isinstance(cell.get("params"), Mapping):
            changed["params"] = _renamed(cell["params"], copies, "data.")
        cells.append({**cell, **changed})
    missing = [file for file in dict.fromkeys(left_out) if file not in copies]
    return {**plan, "base": ".", "cells": cells}, copies, missing


def _moved(config: Mapping[str, Any], copies: Mapping[str, str]) -> dict[str, Any]:
    """Return a configuration that names the copied data files."""
    data = config.get("data")
    new = {"data": _renamed(data, copies)} if isinstance(data, Mapping) else {}
    return {**config, **new}


def _renamed(values: Mapping[str, Any], copies: Mapping[str, str], at: str = "") -> dict[str, Any]:
    keys = [at + key for key in FILE_KEYS]
    return {key: copies.get(str(one), one) if key in keys else one for key, one in values.items()}


def _copied(paths: Sequence[Path], folder: Path) -> str:
    """Copy the files of a data set, named by content; return their path or glob below `folder`."""
    total = hashlib.sha256(b"".join(hashlib.sha256(one.read_bytes()).digest() for one in paths))
    name = f"data/{total.hexdigest()[:32]}"
    found = re.search(r"(\.\w+){1,2}$", paths[0].name, re.ASCII)
    suffix = found[0].lower() if found else ""
    if len(paths) == 1:
        copies, named = [f"{name}{suffix}"], f"{name}{suffix}"
    else:  # numbered to keep their order
        copies = [f"{name}/{at:06d}{suffix}" for at in range(len(paths))]
        named = f"{name}/*{suffix}"
    for path, copy in zip(paths, copies, strict=True):
        (folder / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / copy)
    return named


if __name__ == "__main__":
    sys.exit(tool(export, "export"))
