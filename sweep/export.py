"""``python -m sweep.export``: copy a stored sweep into a folder that is a small store of its own.

``mlflow.db`` and ``artifacts/`` hold the sweep alone, ``data/`` the files that it trained on,
``reports/`` its report: every command works on the folder with ``outputs=FOLDER``, on another
machine too. It is written beside its place and moved there when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.config.settings import Settings
    from sweep.tracking.store import Store

__all__ = ["export"]

README = """\
# Sweep {sweep_id}

One sweep with its report, as a store that needs no other file.

- `reports/{sweep_id}/index.html`, `report.md`: the report; beside them `runs.csv` (a row a run)
  and `final_error.csv` (a column for each number of iterations)
- `mlflow.db`, `artifacts/`: every param, metric and file of every run, as MLflow keeps them
- `data/`: the data files that the runs trained on, if there were any

    python -m sweep.verify outputs=FOLDER                train every run again and compare
    python -m sweep.report outputs=FOLDER                build the report again
    python -m sweep.ui outputs=FOLDER                    look at the runs in MLflow
    python -m sweep outputs=FOLDER resume=last           finish it, or add grid points
"""


def export(config: DictConfig) -> None:
    """Copy the sweep that ``sweep=ID|last`` names into the folder, or ``.zip`` file, ``to``.

    Raises
    ------
    ConfigError
        The folder or file exists already.
    NotFoundError
        There is no such sweep.
    StoreError
        The store cannot be read, or the folder cannot be written.
    """
    from sweep import console
    from sweep.cli.plain import plain_values
    from sweep.config.settings import reading_settings
    from sweep.errors import ConfigError, StoreError
    from sweep.tracking import read
    from sweep.tracking.settings import Tracking, from_options
    from sweep.tracking.store import open_store
    from sweep.ui.links import place_words

    plain = plain_values(config)
    options = reading_settings(plain, Path.cwd())
    store = open_store(from_options(options), mode="read")
    sweep_id = read.find_sweep(store, str(plain["sweep"])).sweep_id
    to = plain["to"]
    target = options.outputs / "exports" / sweep_id if to is None else Path.cwd() / str(to)
    if target.exists() or target.is_symlink():
        raise ConfigError(f"to={target}: it exists already; name one that does not.")
    there = replace(
        options, outputs=target, tracking_kind="local", tracking_uri=None, experiment="sweep"
    )
    try:
        with _appearing(target) as folder:
            count, left_out = _copy(store, sweep_id, folder, there)
        if target.is_dir():  # MLflow keeps addresses of artifacts: they are those of this place
            open_store(Tracking("local", target), mode="write", say=lambda sentence: None)
            _close(target)
    except OSError as error:
        raise StoreError(f"to={target}: it cannot be written ({error.strerror}).") from error
    for file in left_out:
        console.say(f"Left out: data file {file} is not there as the runs trained on it.")
    console.say(f"Sweep {sweep_id}, {count} runs, is in {os.path.relpath(target)}")
    if target.suffix == ".zip":
        there = replace(there, outputs=Path.cwd() / target.stem)
    unpack = "Unpack it, then verify it: " if target.suffix == ".zip" else "Verify it: "
    console.say(f"{unpack} python -m sweep.verify {shlex.join(place_words(there))}")


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of `target` when the block ends well.

    For a ``.zip`` it is packed first, so that unpacking gives a folder of that name.
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


def _copy(store: Store, sweep_id: str, folder: Path, there: Settings) -> tuple[int, list[str]]:
    """Make the store of a sweep in `folder`; return how many runs it has, and the data left out."""
    from sweep import console
    from sweep.errors import StoreError
    from sweep.report.build import build_report
    from sweep.tracking import pages, read
    from sweep.tracking.copies import copy_sweep
    from sweep.tracking.settings import Tracking
    from sweep.tracking.store import open_store

    sweep = read.find_sweep(store, sweep_id)
    base = store.tracking.outputs / str(sweep.plan().get("base"))
    try:
        plan, data_files, left_out = _with_copies(sweep.plan(), base, folder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"plan.json of sweep {sweep_id} is damaged: {type(error).__name__}: {error}."
        ) from error
    new = open_store(Tracking("local", folder), mode="write", say=lambda sentence: None)
    copy_sweep(store, sweep, read.sweep_runs(store, sweep_id), new, plan, data_files)
    copy, runs = read.find_sweep(new, sweep_id), read.sweep_runs(new, sweep_id)
    pages.arrange(new, copy, runs)
    report = folder / "reports" / sweep_id
    build_report(copy, runs, report, command_ui=console.ui_command(there))
    shutil.copytree(report, folder / "artifacts" / copy.run_id / "artifacts" / "report")
    (folder / "README.md").write_text(README.format(sweep_id=sweep_id), encoding="utf-8")
    _close(folder)
    return len(runs), left_out


def _close(folder: Path) -> None:
    """Close the new store: SQLite folds its log into the database, and no lock is left."""
    from sweep.tracking import database

    database.close_all()
    shutil.rmtree(folder / ".locks", ignore_errors=True)


def _with_copies(
    plan: Mapping[str, Any], base: Path, folder: Path
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Copy the data files of a plan below `folder`.

    A file is copied only where it holds what the runs trained on: a plan that names another
    file of this machine does not get it into the folder.

    Returns
    -------
    The plan with the copies in their place, data file -> copy, and the files left out.
    """
    from sweep.tracking.copies import moved, moved_params
    from sweep.training.data.files import paths_of

    data_files: dict[str, str] = {}
    left_out: dict[str, None] = {}
    cells = []
    for cell in plan.get("cells", ()):
        config = cell["config"]
        named = _named_files(config["data"])
        digest = _digest(config, base) if named else None
        if digest is None or _trajectory(config, digest) != cell.get("trajectory"):
            left_out |= dict.fromkeys(named.values())
            cells.append(cell)
            continue
        for key, file in named.items():
            if file not in data_files:
                data_files[file] = _copied(paths_of(file, base, key), folder)
        new = moved(config, data_files)
        keys = "|".join(named)
        kept = [text for text in cell["overrides"] if not re.match(rf"\+*({keys})=", text)]
        kept += [f"++{key}={data_files[file]}" for key, file in named.items()]
        trajectory = _trajectory(new, digest)
        changes = {"config": new, "overrides": kept, "trajectory": trajectory}
        if isinstance(cell.get("params"), Mapping):
            changes["params"] = moved_params(cell["params"], data_files)
        cells.append({**cell, **changes})
    missing = [file for file in left_out if file not in data_files]
    return {**plan, "base": ".", "cells": cells}, data_files, missing


def _named_files(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys that name data files -> what they name."""
    from sweep.training.data.files import is_file_name

    file, second = data.get("file"), data.get("validation")
    if file is None:
        return {}
    if isinstance(second, str) and is_file_name(second):
        return {"data.file": str(file), "data.validation": second}
    return {"data.file": str(file)}


def _copied(paths: Sequence[Path], folder: Path) -> str:
    """Copy the files of a data set, named by their content; return their place below `folder`."""
    total = hashlib.sha256(b"".join(hashlib.sha256(one.read_bytes()).digest() for one in paths))
    place = f"data/{total.hexdigest()[:32]}"
    if len(paths) > 1:
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(paths):  # in their order
            shutil.copyfile(path, folder / place / f"{number:06d}{_ending(path)}")
        return f"{place}/*{_ending(paths[0])}"
    (folder / "data").mkdir(exist_ok=True)
    shutil.copyfile(paths[0], folder / f"{place}{_ending(paths[0])}")
    return f"{place}{_ending(paths[0])}"


def _ending(path: Path) -> str:
    found = re.search(r"(\.\w+){1,2}$", path.name, re.ASCII)
    return found[0].lower() if found else ""


def _digest(config: Mapping[str, Any], base: Path) -> str | None:
    """Return the digest of the samples that a configuration takes from files."""
    from sweep.errors import ConfigError
    from sweep.training.data import load_data

    try:
        return load_data(config["data"], seed=config["seed"], base=base).digest
    except ConfigError:
        return None


def _trajectory(config: Mapping[str, Any], digest: str) -> str:
    """Return what plan.json calls the trajectory of a configuration with these samples."""
    from sweep.config.spec import canonical

    shared = {key: value for key, value in config.items() if key != "iters"}
    return hashlib.sha256(canonical([shared, digest]).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(tool(export, "export"))
