"""The samples that a network is trained on: inline, or columns of a CSV, Parquet or NPZ file.

A file is read in pieces straight into the arrays that are kept, so that it is never held
twice, and once in a process: all runs of a sweep share one read-only object.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.checks import known_keys, number, table
from sweep.errors import ConfigError
from sweep.training.data.files import open_columns
from sweep.training.data.samples import check_finite, one_hot, standardize, training_rows

__all__ = ["KEYS", "Data", "load_data"]

KEYS = ("inputs", "targets", "file", "standardize", "validation", "one_hot")
"""What a configuration of the group `data` can say."""

KEPT = 8
"""Loaded files that a process keeps, the last used ones."""

Array = npt.NDArray[np.float64]

_cache: OrderedDict[tuple[Any, ...], Data] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class _Options:
    standardize: bool | str
    one_hot: bool
    share: float
    seed: int | None


@dataclass(frozen=True, eq=False)
class Data:
    """Samples, a row each; all arrays float64, C-contiguous and read-only.

    Attributes
    ----------
    inputs, targets
        Shapes (samples, features) and (samples, outputs).
    validation_inputs, validation_targets
        The samples that are kept back from training, or None.
    """

    inputs: Array
    targets: Array
    validation_inputs: Array | None = None
    validation_targets: Array | None = None

    def __post_init__(self) -> None:
        for array in self._arrays():
            array.setflags(write=False)

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of all arrays, their shapes and bytes, as hexadecimal digits."""
        total = hashlib.sha256()
        for array in self._arrays():
            total.update(repr(array.shape).encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def _arrays(self) -> list[Array]:
        arrays = (self.inputs, self.targets, self.validation_inputs, self.validation_targets)
        return [array for array in arrays if array is not None]


def load_data(config: Mapping[str, Any], *, seed: int, base: Path) -> Data:
    """Load the samples that a configuration of the group `data` names.

    Parameters
    ----------
    config
        Keys of KEYS. Without `file`, `inputs` and `targets` are rows of numbers; with it,
        names of columns. `standardize`: true gives each input mean 0 and deviation 1 over the
        training samples, ``all`` each target too. `validation`: the share of samples that
        `seed` picks to be kept back. `one_hot`: the one target column holds labels; it becomes
        a column for each label, in their order.
    seed
        For the split alone.
    base
        The folder that a relative file is relative to.

    Raises
    ------
    ConfigError
        A key, file, column or value that cannot be used; one sentence.
    """
    known_keys(config, KEYS, "data")
    for key in ("inputs", "targets"):
        if config.get(key) is None:
            raise ConfigError(f"data.{key} is missing: give rows of numbers, or file and columns.")
    options = _options(config, seed)
    if config.get("file") is None:
        return _inline(config, options)
    path = Path(str(config["file"])).expanduser()
    path = path if path.is_absolute() else base / path
    inputs = _names(config["inputs"], "data.inputs")
    targets = _names(config["targets"], "data.targets")
    if options.one_hot and len(targets) != 1:
        raise ConfigError(f"data.targets is {targets}: one_hot needs exactly one column.")
    if not path.exists():
        raise ConfigError(f"data.file {path} does not exist.")
    stat = path.stat()
    version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    loaded = (str(path), version, tuple(inputs), tuple(targets), options)
    with _lock:  # threads that need the same file read it once
        if loaded not in _cache:
            _cache[loaded] = _read(path, inputs, targets, options)
        _cache.move_to_end(loaded)
        while len(_cache) > KEPT:
            _cache.popitem(last=False)
        return _cache[loaded]


def _options(config: Mapping[str, Any], seed: int) -> _Options:
    scale = config.get("standardize") or False
    if scale not in (False, True, "all"):
        raise ConfigError(f"data.standardize is {scale!r}: it must be true, false or all.")
    labels = config.get("one_hot") or False
    if not isinstance(labels, bool):
        raise ConfigError(f"data.one_hot is {labels!r}: it must be true or false.")
    share = number(config.get("validation") or 0, "data.validation")
    if not 0 <= share < 1:
        raise ConfigError(f"data.validation is {share!r}: it must be a share from 0 to below 1.")
    return _Options(scale, labels, share, seed if share else None)


def _inline(config: Mapping[str, Any], options: _Options) -> Data:
    inputs = table(config["inputs"], "data.inputs")
    targets = table(config["targets"], "data.targets")
    if len(inputs) != len(targets):
        raise ConfigError(
            f"data.inputs has {len(inputs)} rows, but data.targets has {len(targets)}."
        )
    if options.one_hot:
        if targets.shape[1] != 1:
            raise ConfigError(f"data.targets has {targets.shape[1]} columns: one_hot needs one.")
        targets = one_hot(targets[:, 0])
    kept = training_rows(len(inputs), options.share, options.seed)
    return _finished([inputs[kept], targets[kept], inputs[~kept], targets[~kept]], options)


def _read(path: Path, inputs: list[str], targets: list[str], options: _Options) -> Data:
    labels = targets if options.one_hot else []
    columns = open_columns(path, inputs if labels else [*inputs, *targets], labels)
    kept = training_rows(columns.rows, options.share, options.seed)
    wide_in = sum(columns.widths[name] for name in inputs)
    wide_out = 1 if labels else sum(columns.widths[name] for name in targets)
    sizes = (int(kept.sum()), int((~kept).sum()))
    parts = [np.empty((size, wide)) for size in sizes for wide in (wide_in, wide_out)]
    seen: list[npt.NDArray[Any]] = []
    filled = [0, 0]
    first = 0
    for block in columns.blocks():
        count = len(block[inputs[0]])
        for name in columns.numbers:
            check_finite(block[name], name, first, path)
        rows_in = _side_by_side([block[name] for name in inputs])
        rows_out = np.empty((count, 0)) if labels else _side_by_side([block[t] for t in targets])
        for part, chosen in enumerate((kept[first : first + count], ~kept[first : first + count])):
            end = filled[part] + int(chosen.sum())
            parts[2 * part][filled[part] : end] = rows_in[chosen]
            if not labels:
                parts[2 * part + 1][filled[part] : end] = rows_out[chosen]
            filled[part] = end
        seen += [block[name] for name in labels]
        first += count
    if first != columns.rows:
        raise ConfigError(f"data.file {path} changed while it was read: run the command again.")
    if labels:
        shares = one_hot(np.concatenate(seen))
        parts[1], parts[3] = shares[kept], shares[~kept]
    return _finished(parts, options)


def _finished(parts: list[Array], options: _Options) -> Data:
    """Standardize in place, by the training samples alone, and hand out read-only."""
    inputs, targets, validation_inputs, validation_targets = parts
    if options.standardize:
        standardize(inputs, validation_inputs, "data.inputs")
    if options.standardize == "all":
        standardize(targets, validation_targets, "data.targets")
    if not len(validation_inputs):
        return Data(inputs, targets)
    return Data(inputs, targets, validation_inputs, validation_targets)


def _side_by_side(columns: Sequence[npt.NDArray[Any]]) -> Array:
    return np.column_stack(columns).astype(np.float64, copy=False)


def _names(value: Any, what: str) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if (
        not isinstance(names, Sequence)
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise ConfigError(f"{what} is {value!r}: with data.file it must be a list of columns.")
    return list(names)
