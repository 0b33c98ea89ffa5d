"""``python -m sweep.export``: write a stored sweep as one folder that stands alone.

The folder has tables for analysis, the files of the runs, the data files, the report and the
versions. It is written beside its place and moved there when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.config.settings import Settings
    from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["export"]

DATA_KINDS = (".csv", ".npz", ".parquet")

README = """\
# Sweep {sweep_id}

One sweep of learning rates and iterations, as it was stored.

- `report/index.html`, `report/report.md`: the report, with its pictures
- `tables/runs`, `tables/final_error`, `tables/metrics`: a row a run, the grid of final errors,
  and every value of every metric; as Parquet and as CSV
- `runs/<run id>/`: configuration, error curve, weights and thresholds of each run
- `plan.json`, `versions.json`, `manifest.json`: the plan with every resolved configuration,
  what it ran with, and every run's params, tags and metrics with the digest of each file
- `data/`: the data files that the runs trained on, if there were any
"""


def export(config: DictConfig) -> None:
    """Write the sweep that ``sweep=ID|last`` names into the folder ``to``.

    Raises
    ------
    ConfigError
        The folder exists already.
    NotFoundError
        There is no such sweep.
    StoreError
        The store cannot be read, or the folder cannot be written.
    """
    from sweep import console
    from sweep.cli.plain import plain_values
    from sweep.config.settings import reading_settings
    from sweep.errors import ConfigError, StoreError
    from sweep.tracking import histories, read
    from sweep.tracking import settings as tracking_settings
    from sweep.tracking import store as tracking_store
    from sweep.tracking.folder_write import finish_folder, write_run

    plain = plain_values(config)
    options = reading_settings(plain, Path.cwd())
    store = tracking_store.open_store(tracking_settings.from_options(options), mode="read")
    sweep = read.find_sweep(store, str(plain["sweep"]))
    runs = read.sweep_runs(store, sweep.sweep_id)
    target = options.outputs / "exports" / sweep.sweep_id
    if plain["to"] is not None:
        target = Path.cwd() / str(plain["to"])
    if target.exists() or target.is_symlink():
        raise ConfigError(f"to={target}: it exists already; name a folder that does not.")
    try:
        with _appearing(target) as folder:
            for run in runs:
                write_run(folder, run)
            _write_tables(folder, sweep, runs, options)
            _write_versions(folder, runs)
            text = README.format(sweep_id=sweep.sweep_id)
            (folder / "README.md").write_text(text, encoding="utf-8")
            copies, left_out = _copy_data(folder, sweep.plan())
            finish_folder(
                folder,
                sweep,
                runs,
                {run.run_id: histories.histories(store, run) for run in runs},
                copies,
            )
    except OSError as error:
        raise StoreError(f"to={target}: it cannot be written ({error.strerror}).") from error
    for file in left_out:
        console.say(f"Left out: data file {file} is not there as the runs trained on it.")
    shown = os.path.relpath(target)
    console.say(f"Sweep {sweep.sweep_id}, {len(runs)} runs, is in {shown}")


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of `target` when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    folder.mkdir()
    try:
        yield folder
        os.rename(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_tables(
    folder: Path, sweep: StoredSweep, runs: Sequence[StoredRun], options: Settings
) -> None:
    from sweep import console
    from sweep.report.build import build_report
    from sweep.report.facts import facts_of
    from sweep.report.tables import csv_text, final_error_frame, runs_frame

    ui = console.ui_command(options)
    build_report(sweep, runs, folder / "report", command_ui=ui)
    facts = facts_of(sweep, runs)
    place = folder / "tables"
    place.mkdir()
    for name, frame in (("runs", runs_frame(facts)), ("final_error", final_error_frame(facts))):
        frame.to_parquet(place / f"{name}.parquet", index=False)
        (place / f"{name}.csv").write_text(csv_text(frame), encoding="utf-8")


def _write_versions(folder: Path, runs: Sequence[StoredRun]) -> None:
    """Write the kinds of machines, versions and commits that the runs name."""
    keys = ("sweep.platform", "sweep.versions", "mlflow.source.git.commit")
    found = {key: sorted({run.tags[key] for run in runs if key in run.tags}) for key in keys}
    (folder / "versions.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def _copy_data(folder: Path, plan: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Copy the data files that the plan names; return name -> copy, and those left out.

    A file is copied only where it holds what the runs trained on: a plan that names another
    file of this machine does not get it into the folder.
    """
    copies: dict[str, str] = {}
    left_out: dict[str, None] = {}
    for cell in plan.get("cells", ()):
        config = cell["config"]
        data = config.get("data")
        file = data.get("file") if isinstance(data, Mapping) else None
        if file is None or str(file) in copies:
            continue
        path = Path(str(plan.get("base"))) / str(file)
        if not _trained_on(cell, path):
            left_out[str(file)] = None
            continue
        name = hashlib.sha256(path.read_bytes()).hexdigest()[:32] + path.suffix.lower()
        (folder / "data").mkdir(exist_ok=True)
        shutil.copyfile(path, folder / "data" / name)
        copies[str(file)] = name
    return copies, [file for file in left_out if file not in copies]


def _trained_on(cell: Mapping[str, Any], path: Path) -> bool:
    """Tell whether a data file gives the trajectory that the plan stored for this cell."""
    from sweep.config.spec import canonical
    from sweep.errors import ConfigError
    from sweep.training.data import load_data

    if path.suffix.lower() not in DATA_KINDS or not path.is_file():
        return False
    config = cell["config"]
    try:
        data = load_data(
            {**config["data"], "file": str(path)}, seed=config["seed"], base=path.parent
        )
    except ConfigError:
        return False
    shared = {key: value for key, value in config.items() if key != "iters"}
    text = canonical([shared, data.digest])
    return hashlib.sha256(text.encode()).hexdigest() == cell.get("trajectory")


if __name__ == "__main__":
    sys.exit(tool(export, "export"))
