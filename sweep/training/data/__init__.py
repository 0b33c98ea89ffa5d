"""Training data: inline rows, or columns of data files.

files, formats     find files and read them in chunks; hints in messages
selection, table   choose columns, convert them to arrays, split off validation rows
preparation        fit on the training rows, apply to any rows

Chunks are written directly into the final arrays, so that a file is never in memory twice. Each
file is read once in a process; all runs share read-only arrays. Invalid data raises ConfigError.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep import checks
from sweep.errors import ConfigError
from sweep.training.data.files import kind_of, open_source, paths_of
from sweep.training.data.preparation import Preparation, fit
from sweep.training.data.selection import choose, column_rows, random_rows
from sweep.training.data.table import Table, read_table, text_of

__all__ = ["Data", "load_data"]

FILE_KEYS = ("read", "drop", "missing", "categories")
"""Keys of the group `data` that are valid only with a file."""

Array = npt.NDArray[np.float64]

_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class Data:
    """Samples; all arrays are float64, C-contiguous and read-only."""

    inputs: Array  # shape (samples, features)
    targets: Array  # shape (samples, outputs)
    validation_inputs: Array | None = None
    validation_targets: Array | None = None
    preparation: Preparation = Preparation((), ())
    summary: str = ""  # how the rows of a file are used; empty for inline rows

    def __post_init__(self) -> None:
        for array in self._arrays():
            assert array.flags.c_contiguous, "a compiled kernel reads its memory row by row"
            array.setflags(write=False)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the shapes and bytes of all arrays, as hexadecimal digits."""
        total = hashlib.sha256()
        for array in self._arrays():
            total.update(repr(array.shape).encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def _arrays(self) -> list[Array]:
        arrays = (self.inputs, self.targets, self.validation_inputs, self.validation_targets)
        return [array for array in arrays if array is not None]


def load_data(config: Mapping[str, Any], *, seed: int, base: Path) -> Data:
    """Load the samples of a configuration of the group `data`; see docs/data.md.

    A missing key is the same as null. Without `file`, `inputs` and `targets` are rows of numbers;
    with it, columns. A relative file is relative to `base`. `seed` splits the rows unless
    `split_seed` is given. Raises ConfigError if a file, column or value is invalid.
    """
    config = defaultdict(lambda: None, config)
    for key in ("inputs", "targets"):
        if config[key] is None:
            raise ConfigError(f"data.{key} is missing: give rows of numbers, or file and columns.")
    validation, folds = config["validation"], config["folds"]
    if folds is not None:
        if validation:
            raise ConfigError(
                f"data.folds={folds} beside data.validation={validation}: write "
                "data.validation=null, or leave data.folds out."
            )
        if config["fold"] is None:
            raise ConfigError(
                f"data.folds={folds}: sweep the parts with -m, or name one with data.fold=0."
            )
    if config["fold"] is not None and not 0 <= config["fold"] < (folds or 0):
        raise ConfigError(
            f"data.fold={config['fold']}: "
            + (f"it must be 0 to {folds - 1}." if folds else "write data.folds=5 too.")
        )
    random = folds or (validation and not isinstance(validation, str))
    if config["split_seed"] is None:
        config["split_seed"] = seed if random else 0
    if config["file"] is None:
        return _inline(config)
    paths = paths_of(str(config["file"]), base)
    others: tuple[Path, ...] = ()
    if isinstance(validation, str) and kind_of(Path(validation)):
        others = paths_of(validation, base, "data.validation")
    stats = [path.stat() for path in (*paths, *others)]
    version = tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)
    with _lock:  # threads that need the same file read it once
        return _read(paths, others, json.dumps(config, sort_keys=True), version)


def _inline(config: Mapping[str, Any]) -> Data:
    for key in FILE_KEYS:
        if config[key] not in (None, []):
            raise ConfigError(f"data.{key}={config[key]}: it has a meaning with data.file alone.")
    if isinstance(config["validation"], str):
        raise ConfigError(
            f"data.validation={config['validation']}: without data.file it must be a share "
            "from 0 to below 1."
        )
    inputs = checks.table(config["inputs"], "data.inputs")
    targets = checks.table(config["targets"], "data.targets")
    if len(inputs) != len(targets):
        raise ConfigError(
            f"data.inputs has {len(inputs)} rows, but data.targets has {len(targets)}."
        )
    outputs = [f"output_{at + 1}" for at in range(targets.shape[1])]
    rows = Table(inputs, targets, ([str(at) for at in range(inputs.shape[1])], outputs))
    if config["one_hot"]:
        if targets.shape[1] != 1:
            raise ConfigError(f"data.targets has {targets.shape[1]} columns: one_hot needs one.")
        different, codes = np.unique(targets, return_inverse=True)
        labels = [text_of(label) for label in different]
        rows = replace(rows, targets=codes.reshape(-1, 1).astype(np.float64), labels=labels)
    kept = random_rows(len(rows), config)
    return _prepared(rows, rows.split_off(kept, ~kept), config)


@lru_cache(maxsize=8)
def _read(paths: tuple[Path, ...], others: tuple[Path, ...], settings: str, _version: Any) -> Data:
    config = defaultdict(lambda: None, json.loads(settings))
    source = open_source(paths, config["read"] or {})
    columns = choose(source, config)
    rows = read_table(source, columns, config["missing"])
    found = len(rows) + len(rows.dropped)
    left_out = 0
    if rows.split is not None:
        kept, back = column_rows(rows.split, config["validation"])
        left_out = int((~(kept | back)).sum())
        validation = rows.split_off(kept, back)
    elif others:
        second = open_source(others, config["read"] or {}, "data.validation")
        same = config | {"drop": None, "validation": None}
        same |= dict(zip(("inputs", "targets"), rows.names, strict=True))
        same["categories"] = [rows.names[0][position] for position in rows.levels]
        validation = read_table(second, choose(second, same), config["missing"])
    elif isinstance(config["validation"], str):
        raise ConfigError(
            f"data.validation={config['validation']}: it must be a share from 0 to below 1, "
            "a column of data.file, or a second file."
        )
    else:
        kept = random_rows(len(rows), config)
        validation = rows.split_off(kept, ~kept)
    summary = _summary(config["missing"], rows, validation, found, left_out)
    return _prepared(rows, validation, config, summary)


def _prepared(rows: Table, others: Table, config: Mapping[str, Any], summary: str = "") -> Data:
    preparation = fit(rows, others, config)
    inputs, targets = preparation.apply(rows)
    back = preparation.apply(others) if len(others) else (None, None)
    return Data(inputs, targets, back[0], back[1], preparation, summary)


def _summary(missing: str | None, rows: Table, others: Table, found: int, left_out: int) -> str:
    """Return how the rows of a file are used, for the run's tags and the report."""
    parts = [f"{found} rows: {len(rows)} trained on"]
    if len(others):
        parts.append(f"{len(others)} kept back")
    if missing == "drop":
        dropped = len(rows.dropped) + len(others.dropped)
        parts.append(f"{dropped} left out for a missing value")
    if left_out:
        parts.append(f"{left_out} of the test part left out")
    text = ", ".join(parts)
    if missing in ("mean", "median"):
        gaps = np.isnan(rows.inputs).sum(axis=0) + np.isnan(others.inputs).sum(axis=0)
        categories = int(sum(gaps[position] for position in rows.levels))
        numbers = int(gaps.sum()) - categories
        text += f"; {numbers} missing number{'s' * (numbers != 1)} filled in with the column's "
        text += missing
        if categories:
            shown = "category" if categories == 1 else "categories"
            text += f", {categories} missing {shown} with 0 in each column"
    return text
