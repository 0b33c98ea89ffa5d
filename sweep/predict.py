"""``python -m sweep.predict``: predict new rows with the network of a stored run.

Rows are prepared as the run's data was (``preparation.json``). Outputs are exact, in the targets'
units if these were standardized; for classes they are the predicted class and the shares.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.tracking.read import StoredRun
    from sweep.tracking.store import Store


def predict(config: DictConfig) -> None:
    """Write the network's outputs for the rows of ``data.file`` to the file ``to``, or print them.

    Raises ConfigError if the rows cannot be prepared, ``to`` exists, or the run has no network of
    the built-in trainer; NotFoundError if there is no such run; StoreError if the store cannot be
    read or the file cannot be written.
    """
    from sweep import console
    from sweep.cli.hydra_config import to_container
    from sweep.config.models import Data
    from sweep.config.settings import settings
    from sweep.config.validation import validated
    from sweep.errors import ConfigError, StoreError
    from sweep.model import model_of
    from sweep.tracking.store import open_store
    from sweep.training.data.files import TEXT, kind_of, open_source, paths_of

    if config.data.get("file") is None:
        raise ConfigError("data.file: name the file with the new rows, as data.file=new.csv.")
    plain = to_container(config)
    read = plain["data"]["read"] or {}
    if isinstance(read, dict):
        plain["data"]["read"] = read = {key: one for key, one in read.items() if one != "run"}
    data = validated(Data, plain["data"], "data").without_unset()
    if data["missing"] not in (None, "drop"):
        raise ConfigError(
            f"data.missing={data['missing']}: missing values are filled in as the run's were; "
            "write drop to leave out such rows, or null."
        )
    target = None if plain["to"] is None else Path.cwd() / str(plain["to"])
    if target is not None and target.suffix != ".csv":
        raise ConfigError(f"to={plain['to']}: name a file that ends with .csv.")
    if target is not None and (target.exists() or target.is_symlink()):
        raise ConfigError(f"to={plain['to']}: it exists already; name a file that does not.")
    store = open_store(settings(plain, Path.cwd()).tracking, mode="read")
    run = _run(store, str(plain["run"]), str(plain["sweep"]))
    if run.outcome != "completed":
        raise ConfigError(f"run={run.run_id} is {run.outcome}: name a run that is completed.")
    what = f"run={run.run_id}"
    model = model_of(run.config(), run.weights(), run.preparation(), what=what)
    paths = paths_of(str(data["file"]), Path.cwd())
    source = open_source(paths, {**(model.read if kind_of(paths[0]) in TEXT else {}), **read})
    frame, dropped = model.predict(source, drop=data["missing"] == "drop")
    if dropped:
        shown = ", ".join(map(str, dropped[:10])) + (", ..." if len(dropped) > 10 else "")
        rows_of = "row" if len(dropped) == 1 else "rows"
        console.notice(f"Left out {len(dropped)} {rows_of} for a missing value: {shown}")
    if target is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # as a file; no name is to be escaped
        try:
            frame.to_csv(sys.stdout, index=False, na_rep="nan")  # floats by repr: exact
            sys.stdout.flush()
        except BrokenPipeError:  # as by `head`; avoid a second error at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        frame.to_csv(target, mode="x", index=False, na_rep="nan")
    except OSError as error:
        raise StoreError(f"to={target}: it cannot be written ({error.strerror}).") from error
    rows = "1 row" if len(frame) == 1 else f"{len(frame)} rows"
    console.echo(f"Wrote {rows} by run {run.run_id} ({run.name}) to {plain['to']}")


def _run(store: Store, run_id: str, sweep_id: str) -> StoredRun:
    from sweep.errors import NotFoundError
    from sweep.report.data import sweep_data
    from sweep.tracking import read

    if run_id != "best":
        return read.find_run(store, run_id)
    sweep = read.find_sweep(store, sweep_id)
    best = sweep_data(sweep, read.sweep_runs(store, sweep.sweep_id)).best
    if best is None:
        raise NotFoundError(f"run=best: no run of sweep {sweep.sweep_id} is completed.")
    found: StoredRun = best.run
    return found


if __name__ == "__main__":
    sys.exit(tool(predict, "predict"))
