"""Load samples: inline rows, or columns of data files, split and prepared.

A file is read in pieces straight into the arrays that are kept, so that it is never held
twice, and once in a process: all runs of a sweep share one read-only object.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.checks import known_keys, table
from sweep.errors import ConfigError
from sweep.training.data.columns import Columns, choose
from sweep.training.data.files import is_file_name, open_source, paths_of
from sweep.training.data.preparation import class_order, fit
from sweep.training.data.rows import Table, as_text, gather
from sweep.training.data.samples import Data
from sweep.training.data.split import column_rows, fold_rows, share_rows

__all__ = ["load_data"]

KEYS = {
    "inputs": None,
    "targets": None,
    "file": None,
    "read": None,
    "drop": None,
    "missing": None,
    "categories": None,
    "standardize": False,
    "one_hot": False,
    "validation": 0,
    "folds": None,
    "fold": None,
    "split_seed": None,
}
"""What a configuration of the group `data` can say -> what stands for a key that it lacks."""

FILE_KEYS = ("read", "drop", "missing", "categories")
"""Keys that have a meaning with a file alone."""

KEPT = 8
"""Loaded data that a process keeps, the last used ones."""

Rows = npt.NDArray[np.bool_]

_cache: OrderedDict[tuple[Any, ...], Data] = OrderedDict()
_lock = threading.Lock()


def load_data(config: Mapping[str, Any], *, seed: int, base: Path) -> Data:
    """Load the samples that a configuration of the group `data` names; see docs/data.md.

    Parameters
    ----------
    config
        Keys of KEYS, each of its type. Without `file`, `inputs` and `targets` are rows of
        numbers; with it, columns.
    seed
        For the split, unless `split_seed` is given.
    base
        The folder that a relative data file is relative to.

    Raises
    ------
    ConfigError
        A key, file, column or value that cannot be used; one sentence.
    """
    known_keys(config, KEYS, "data")
    config = {**KEYS, **config}
    for key in ("inputs", "targets"):
        if config[key] is None:
            raise ConfigError(f"data.{key} is missing: give rows of numbers, or file and columns.")
    validation, folds = config["validation"], config["folds"]
    if folds is not None:
        if validation:
            raise ConfigError(f"data.folds is {folds} beside data.validation: keep one of them.")
        if config["fold"] is None:
            raise ConfigError(
                f"data.folds is {folds}: sweep the parts with -m, or name one with data.fold=0."
            )
    if config["fold"] is not None and not 0 <= config["fold"] < (folds or 0):
        raise ConfigError(
            f"data.fold is {config['fold']}: "
            + (f"it must be 0 to {folds - 1}." if folds else "write data.folds=5 too.")
        )
    config["seed"] = None
    if folds or (validation and not isinstance(validation, str)):
        config["seed"] = seed if config["split_seed"] is None else config["split_seed"]
    if config["file"] is None:
        return _inline(config)
    paths = paths_of(str(config["file"]), base)
    stats = [
        (str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino)
        for path in paths
        for stat in [path.stat()]
    ]
    loaded = (*stats, str(base), json.dumps(config, sort_keys=True, default=str))
    if isinstance(validation, str):
        second = base / Path(validation).expanduser()
        loaded += (str(second.stat() if second.exists() else ""),)
    with _lock:  # threads that need the same file read it once
        if loaded not in _cache:
            _cache[loaded] = _read(paths, config, base)
        _cache.move_to_end(loaded)
        while len(_cache) > KEPT:
            _cache.popitem(last=False)
        return _cache[loaded]


def _inline(config: Mapping[str, Any]) -> Data:
    for key in FILE_KEYS:
        if config[key]:
            raise ConfigError(
                f"data.{key} is {config[key]}: it has a meaning with data.file alone."
            )
    if isinstance(config["validation"], str):
        raise ConfigError(
            f"data.validation is {config['validation']!r}: without data.file it must be a share "
            "from 0 to below 1."
        )
    inputs = table(config["inputs"], "data.inputs")
    targets = table(config["targets"], "data.targets")
    if len(inputs) != len(targets):
        raise ConfigError(
            f"data.inputs has {len(inputs)} rows, but data.targets has {len(targets)}."
        )
    rows = Table(inputs, targets)
    if config["one_hot"]:
        if targets.shape[1] != 1:
            raise ConfigError(f"data.targets has {targets.shape[1]} columns: one_hot needs one.")
        rows = Table(inputs, np.empty((len(targets), 0)), as_text(targets[:, 0]))
    kept = _random_rows(len(rows), config)
    names = [str(at) for at in range(1, inputs.shape[1] + 1)]
    others = [str(at) for at in range(1, targets.shape[1] + 1)]
    return _prepared(rows, rows.split_off(kept, ~kept), names, others, config)


def _read(paths: tuple[Path, ...], config: Mapping[str, Any], base: Path) -> Data:
    source = open_source(paths, config["read"] or {})
    columns = choose(source, config)
    rows = gather(source, columns, config["missing"])
    found = len(rows) + rows.dropped
    validation = config["validation"]
    if columns.split is not None and rows.split is not None:
        kept, back = column_rows(rows.split, validation)
        left_out = int((~(kept | back)).sum())
        others = rows.split_off(kept, back)
    elif isinstance(validation, str):
        left_out = 0
        others = _second(source.names, columns, config, base)
    else:
        left_out = 0
        kept = _random_rows(len(rows), config)
        others = rows.split_off(kept, ~kept)
    return _prepared(
        rows,
        others,
        [source.names[at] for at in columns.inputs],
        [source.names[at] for at in columns.targets],
        config,
        _summary(config, rows, others, found, left_out),
    )


def _second(
    names: tuple[str, ...], columns: Columns, config: Mapping[str, Any], base: Path
) -> Table:
    """Return the rows of a second file, for validation."""
    file = config["validation"]
    if not is_file_name(file):
        raise ConfigError(
            f"data.validation is {file!r}: it must be a share from 0 to below 1, a column of "
            "data.file, or a second file."
        )
    source = open_source(paths_of(file, base, "data.validation"), config["read"] or {})
    by_name = {**config, "validation": 0, "drop": None}
    for key, chosen in (("inputs", columns.inputs), ("targets", columns.targets)):
        by_name[key] = [names[at] for at in chosen]
    return gather(source, choose(source, by_name), config["missing"])


def _random_rows(rows: int, config: Mapping[str, Any]) -> Rows:
    if config["folds"]:
        return fold_rows(rows, config["folds"], config["fold"], config["seed"])
    return share_rows(rows, config["validation"] or 0, config["seed"])


def _prepared(
    rows: Table,
    others: Table,
    inputs: list[str],
    targets: list[str],
    config: Mapping[str, Any],
    summary: str = "",
) -> Data:
    """Fit the preparation on the training rows, and hand out all read-only."""
    classes = None
    if rows.labels is not None and others.labels is not None:
        classes = class_order(np.concatenate([rows.labels, others.labels]))
    preparation = fit(
        rows,
        inputs,
        targets,
        classes=classes,
        missing=config["missing"],
        standardize=config["standardize"],
        limited=config["categories"] == "auto",
    )
    data = Data(
        preparation.prepared_inputs(rows),
        preparation.prepared_targets(rows),
        preparation=preparation,
        summary=summary,
    )
    if not len(others):
        return data
    return replace(
        data,
        validation_inputs=preparation.prepared_inputs(others),
        validation_targets=preparation.prepared_targets(others),
    )


def _summary(
    config: Mapping[str, Any], rows: Table, others: Table, found: int, left_out: int
) -> str:
    """Return what was done with the rows of a file, for the run's tags and the report."""
    missing = config["missing"]
    parts = [f"{found} rows: {len(rows)} trained on"]
    if len(others):
        parts.append(f"{len(others)} kept back")
    if missing == "drop":
        parts.append(f"{rows.dropped + others.dropped} left out for a missing value")
    if left_out:
        parts.append(f"{left_out} of the test part left out")
    text = ", ".join(parts)
    if missing in ("mean", "median"):
        gaps = sum(int(np.isnan(part.numbers).sum()) for part in (rows, others))
        text += f"; {gaps} missing numbers filled in with the column's {missing}"
        absent = sum(
            int(np.count_nonzero(texts == ""))
            for part in (rows, others)
            for texts in part.categories.values()
        )
        text += f", {absent} missing categories with 0 in each column" if absent else ""
    return text
