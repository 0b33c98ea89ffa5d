"""A sweep as one folder of plain files, that another machine can read without a store.

    manifest.json            the sweep and its runs: params, tags, last values of metrics, files
    plan.json                every cell's resolved configuration and signature
    runs/<run id>/           config.yaml, curve.parquet, weights.json, thresholds.json
    tables/metrics.parquet   run_id, key, step, value: the history of each metric; also as CSV
    data/                    the data files that the runs trained on

All that is read back is data: JSON, Parquet, safe YAML, arrays without pickles; ids and names
are checked before they are part of a path, and no link leads out of the folder.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from sweep.errors import NotFoundError, StoreError
from sweep.tracking import files
from sweep.tracking.histories import History
from sweep.tracking.stored import StoredRun, StoredSweep
from sweep.tracking.texts import is_plain_id

__all__ = [
    "MANIFEST",
    "METRICS",
    "PLAN",
    "RUN_FILES",
    "SCHEMA",
    "VERSION",
    "Exported",
    "read_folder",
]

VERSION = 1
MANIFEST = "manifest.json"
METRICS = "tables/metrics"
PLAN = "plan.json"
RUN_FILES = (
    files.CONFIG,
    files.CURVE,
    files.WEIGHTS,
    files.WEIGHTS_LARGE,
    files.THRESHOLDS,
    files.TRACEBACK,
)
SCHEMA = pyarrow.schema(
    [("run_id", "string"), ("key", "string"), ("step", "int64"), ("value", "float64")]
)


class FolderArtifacts:
    """The files of the runs of an exported folder; read-only."""

    def __init__(self, folder: Path, parent_run_id: str) -> None:
        self.folder = folder
        self.parent_run_id = parent_run_id

    def put(self, run_id: str, folder: Path, subfolder: str = "") -> None:
        """Refuse: an exported folder is not written to."""
        raise StoreError(f"{self.folder} is an exported sweep; it is only read.")

    def read(self, run_id: str, name: str) -> bytes | None:
        """Return one file of a run, None where it has no such file."""
        if run_id == self.parent_run_id:
            return _read(self.folder, name) if name == PLAN else None
        if not is_plain_id(run_id) or name not in RUN_FILES:
            return None
        return _read(self.folder, f"runs/{run_id}/{name}")


@dataclass(frozen=True)
class Exported:
    """A sweep as an exported folder holds it.

    Attributes
    ----------
    histories
        Run id -> the history of its metrics.
    data_files
        Data file as the configurations name it -> its copy in the folder.
    damaged
        A sentence for each file that is not as it was written.
    """

    folder: Path
    sweep: StoredSweep
    runs: tuple[StoredRun, ...]
    histories: Mapping[str, History]
    data_files: Mapping[str, Path]
    damaged: tuple[str, ...]

    def history(self, run: StoredRun) -> History:
        """Return all values of a run's metrics."""
        return self.histories.get(run.run_id, {})


def read_folder(folder: Path) -> Exported:
    """Return the sweep that an exported folder holds.

    Raises
    ------
    NotFoundError
        There is no such folder, or it is not an exported sweep.
    StoreError
        Its manifest or its table of metrics is damaged.
    """
    content = _read(folder, MANIFEST)
    if content is None:
        raise NotFoundError(
            f"from={folder}: there is no {MANIFEST} in it; name a folder that "
            "`python -m sweep.export` wrote."
        )
    try:
        manifest = json.loads(content)
        if manifest["version"] != VERSION:
            raise StoreError(
                f"{folder / MANIFEST} is of version {manifest['version']!r}, this program reads "
                f"{VERSION}; use the one that wrote it."
            )
        parent = manifest["sweep"]
        artifacts = FolderArtifacts(folder, str(parent["run_id"]))
        sweep = StoredSweep(**_checked(StoredSweep, parent), artifacts=artifacts)
        runs = tuple(
            StoredRun(**_checked(StoredRun, run), artifacts=artifacts) for run in manifest["runs"]
        )
        copies = {str(name): str(copy) for name, copy in manifest["data_files"].items()}
        digests = {str(name): str(digest) for name, digest in manifest["files"].items()}
        histories = _read_metrics(folder)
    except (AttributeError, KeyError, TypeError, ValueError, pyarrow.ArrowException) as error:
        raise StoreError(f"{folder} is damaged: {type(error).__name__}: {error}.") from error
    return Exported(
        folder,
        sweep,
        runs,
        histories,
        {name: _data_file(folder, copy) for name, copy in copies.items()},
        tuple(_damaged(folder, digests)),
    )


_KINDS: dict[str, Any] = {
    "str": str,
    "str | None": str | None,
    "int | None": int | None,
    "dict[str, str]": dict,
    "dict[str, float]": dict,
}


def _checked(kind: type[StoredRun | StoredSweep], stored: Any) -> dict[str, Any]:
    """Return the fields of a run or sweep out of JSON, each of its type."""
    found = {}
    for each in fields(kind):
        if each.name == "artifacts":
            continue
        value = stored[each.name]
        if not isinstance(value, _KINDS[str(each.type)]):
            raise TypeError(f"{each.name} is {value!r}")
        if isinstance(value, dict):
            inner = str if each.type == "dict[str, str]" else float
            if not all(isinstance(one, inner) for one in value.values()):
                raise TypeError(f"{each.name} holds something else than {inner.__name__}")
        found[each.name] = value
    for name in ("run_id", "sweep_id"):
        if name in found and not is_plain_id(found[name]):
            raise ValueError(f"{name} {found[name]!r} is no id")
    return found


def _read_metrics(folder: Path) -> dict[str, History]:
    content = _read(folder, f"{METRICS}.parquet")
    if content is None:
        raise ValueError(f"{METRICS}.parquet is missing")
    table = pyarrow.parquet.read_table(io.BytesIO(content)).cast(SCHEMA)
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for run_id, key, step, value in zip(*(c.to_pylist() for c in table.columns), strict=True):
        found.setdefault(run_id, {}).setdefault(key, []).append((step, value))
    return {
        run_id: {key: tuple(points) for key, points in history.items()}
        for run_id, history in found.items()
    }


def _data_file(folder: Path, copy: str) -> Path:
    if not is_plain_id(copy):
        raise StoreError(f"{folder / MANIFEST}: {copy!r} is not the name of a data file.")
    return _inside(folder, f"data/{copy}")


def _damaged(folder: Path, digests: Mapping[str, str]) -> Iterable[str]:
    """Yield what is missing or has other content than when it was exported."""
    for name, digest in digests.items():
        content = _read(folder, name)
        if content is None:
            yield f"{name}: stored nothing, {MANIFEST} has a file"
        elif hashlib.sha256(content).hexdigest() != digest:
            yield f"{name}: its content is not what it was when the folder was written"


def _inside(folder: Path, name: str) -> Path:
    """Return a path below `folder`, wherever links lead.

    Raises
    ------
    StoreError
        It lies outside.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise StoreError(f"{folder}: {name!r} leads out of the folder; it is not read.")
    return path


def _read(folder: Path, name: str) -> bytes | None:
    path = _inside(folder, name)
    return path.read_bytes() if path.is_file() else None
