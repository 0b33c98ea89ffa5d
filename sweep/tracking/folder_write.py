"""Write a sweep as one folder of plain files; see `folder` for what it holds."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from sweep.tracking.artifacts import write_whole
from sweep.tracking.folder import MANIFEST, METRICS, PLAN, RUN_FILES, SCHEMA, VERSION
from sweep.tracking.histories import History
from sweep.tracking.stored import StoredRun, StoredSweep
from sweep.tracking.texts import is_plain_id

__all__ = ["finish_folder", "write_run"]

PROCESS = ("sweep.holder", "sweep.lease")
"""Tags of the process that wrote a run: they mean nothing elsewhere."""


def write_run(folder: Path, run: StoredRun) -> None:
    """Write the files of a run, as they are stored, below `folder`."""
    if run.artifacts is None or not is_plain_id(run.run_id):
        return
    place = folder / "runs" / run.run_id
    place.mkdir(parents=True)
    for name in RUN_FILES:
        content = run.artifacts.read(run.run_id, name)
        if content is not None:
            (place / name).write_bytes(content)


def finish_folder(
    folder: Path,
    sweep: StoredSweep,
    runs: Iterable[StoredRun],
    histories: Mapping[str, History],
    data_files: Mapping[str, str],
) -> None:
    """Write plan, metrics and, last, the manifest with the digest of every file in `folder`.

    Parameters
    ----------
    data_files
        Data file as the configurations name it -> the name of its copy in ``data/``.
    """
    plan = sweep.artifacts.read(sweep.run_id, PLAN) if sweep.artifacts else None
    if plan is not None:
        (folder / PLAN).write_bytes(plan)
    _write_metrics(folder, histories)
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "version": VERSION,
        "sweep": _plain(sweep),
        "runs": [_plain(run) for run in runs],
        "data_files": dict(data_files),
        "files": digests,
    }
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1).encode())


def _plain(stored: StoredRun | StoredSweep) -> dict[str, Any]:
    known = {each.name: getattr(stored, each.name) for each in fields(stored)}
    del known["artifacts"]
    return known | {"tags": {key: text for key, text in stored.tags.items() if key not in PROCESS}}


def _write_metrics(folder: Path, histories: Mapping[str, History]) -> None:
    rows = [
        (run_id, key, step, value)
        for run_id, history in histories.items()
        for key, points in history.items()
        for step, value in points
    ]
    names = SCHEMA.names
    columns = [pyarrow.array([row[at] for row in rows], SCHEMA.field(at).type) for at in range(4)]
    place = folder / METRICS
    place.parent.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(
        pyarrow.table(columns, schema=SCHEMA), place.with_suffix(".parquet")
    )
    place.with_suffix(".csv").write_text(_csv(names, rows), encoding="utf-8")


def _csv(names: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(
        # A spreadsheet would run a text that begins like a formula; MLflow's names begin with
        # a letter or a digit, or with `-`.
        [f"'{one}" if isinstance(one, str) and one[:1] in "=+-@" else one for one in row]
        for row in rows
    )
    return text.getvalue()
