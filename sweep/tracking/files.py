"""The files of a run: from a result to bytes, and back."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from sweep.training.curve import Points
from sweep.training.history import RunResult

__all__ = [
    "CONFIG",
    "CURVE",
    "LOG",
    "PREPARATION",
    "SCALARS",
    "THRESHOLDS",
    "TRACEBACK",
    "WEIGHTS",
    "WEIGHTS_LARGE",
    "config_bytes",
    "json_bytes",
    "read_config",
    "read_curve",
    "read_named",
    "read_thresholds",
    "read_validation",
    "read_weights",
    "result_files",
    "scalars",
    "text_files",
]

CONFIG = "config.yaml"
CURVE = "curve.parquet"
LOG = "log.txt"
PREPARATION = "preparation.json"
THRESHOLDS = "thresholds.json"
TRACEBACK = "traceback.txt"
WEIGHTS = "weights.json"
WEIGHTS_LARGE = "weights.npz"

SCALARS = 64
"""Networks of up to so many weights and biases are kept by the name of each."""

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def result_files(result: RunResult, config: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a run, name to content."""
    name, weights = _weights(result)
    failed = result.failure
    failure = None if failed is None else failed.traceback or failed.sentence
    return {
        CONFIG: config_bytes(config),
        CURVE: curve_bytes(result.steps, result.errors, result.validation, result.curves),
        THRESHOLDS: json_bytes({f"1e-{k}": step for k, step in result.thresholds.items()}),
        name: weights,
        **text_files(failure, result.printed),
    }


def text_files(traceback: str | None, printed: str) -> dict[str, bytes]:
    """Return the files of what a training raised and of what it printed, where it did."""
    texts = {TRACEBACK: traceback, LOG: printed}
    return {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items() if text}


def config_bytes(config: Mapping[str, Any]) -> bytes:
    """Return a resolved configuration as YAML, keys in their order, floats exact."""
    text: str = yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text.encode("utf-8", "backslashreplace")


def read_config(content: bytes) -> dict[str, Any]:
    """Return the configuration that `config_bytes` wrote; nothing in it is ever run."""
    loaded = yaml.load(content, Loader=_Loader)
    return loaded if isinstance(loaded, dict) else {}


def curve_bytes(
    steps: npt.NDArray[np.int64],
    errors: npt.NDArray[np.float64],
    validation: npt.NDArray[np.float64] | None = None,
    named: Mapping[str, Points] = {},
) -> bytes:
    """Return a curve as Parquet, columns ``step`` and ``error``, shape (n,) each.

    With `validation` there is a third, ``validation_error``; each further curve has a column
    ``trainer/NAME``. Both are NaN where there is no value.

    The encodings suit a curve: ascending steps, errors with like high bytes; a third of the
    size and a fifth of the time of the defaults.
    """
    import pyarrow.parquet  # late: a command that is refused need not load it

    columns: dict[str, Any] = {"step": steps, "error": errors}
    if validation is not None:
        columns["validation_error"] = validation
    for name, (there, values) in named.items():
        inside = np.isin(there, steps)
        column = columns[f"trainer/{name}"] = np.full(len(steps), np.nan)
        column[np.searchsorted(steps, there[inside])] = values[inside]
    table = pyarrow.table(columns)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(
        table,
        buffer,
        use_dictionary=False,
        compression="zstd",
        compression_level=1,
        column_encoding={
            name: "DELTA_BINARY_PACKED" if name == "step" else "BYTE_STREAM_SPLIT"
            for name in columns
        },
    )
    return buffer.getvalue()


def read_curve(content: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the steps and errors of `curve_bytes`, shape (n,) each."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(content), columns=["step", "error"])
    steps = table.column("step").to_numpy().astype(np.int64, copy=False)
    errors = table.column("error").to_numpy().astype(np.float64, copy=False)
    return steps, errors


def read_validation(content: bytes) -> npt.NDArray[np.float64] | None:
    """Return the validation errors of `curve_bytes`, shape (n,); None where it has none."""
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
    if "validation_error" not in file.schema_arrow.names:
        return None
    column = file.read(columns=["validation_error"]).column("validation_error")
    return np.asarray(column.to_numpy(), dtype=np.float64)


def read_named(content: bytes) -> dict[str, Points]:
    """Return the steps and values of each further curve of `curve_bytes`, shape (n,) each."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(content))
    steps, found = table.column("step").to_numpy().astype(np.int64, copy=False), {}
    for column in table.column_names:
        if column.startswith("trainer/"):
            values = table.column(column).to_numpy().astype(np.float64, copy=False)
            there = np.isfinite(values)
            found[column.removeprefix("trainer/")] = steps[there], values[there]
    return found


def read_thresholds(content: bytes) -> dict[int, int | None]:
    """Return k -> first step with error <= 10^-k, or None."""
    loaded = json.loads(content)
    return {int(level.removeprefix("1e-")): step for level, step in loaded.items()}


def scalars(weights: Mapping[str, Any]) -> dict[str, float] | None:
    """Return each weight by its own name, None for more than SCALARS of them.

    A small array ``w`` of a user's trainer gives ``w_1``, ``w_2``, …, row by row.
    """
    if sum(np.size(value) for value in weights.values()) > SCALARS:
        return None
    named: dict[str, float] = {}
    for name, value in weights.items():
        if np.ndim(value) == 0:
            named[name] = float(value)
        else:
            flat = np.ravel(value)
            named |= {f"{name}_{at}": float(one) for at, one in enumerate(flat, start=1)}
    return named


def _weights(result: RunResult) -> tuple[str, bytes]:
    both = {"initial": result.initial_weights, "final": result.final_weights}
    if result.best_weights is not None:
        both["best"] = result.best_weights
    if all(scalars(weights) is not None for weights in both.values()):
        plain = {
            part: {name: _plain(value) for name, value in weights.items()}
            for part, weights in both.items()
        }
        return WEIGHTS, json_bytes(plain)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        f"{part}/{name}": np.asarray(value, dtype=np.float64)
        for part, weights in both.items()
        for name, value in weights.items()
    }
    np.savez(buffer, **arrays)
    return WEIGHTS_LARGE, buffer.getvalue()


def read_weights(content: bytes, name: str) -> dict[str, dict[str, Any]]:
    """Return ``{"initial": {name: value}, "final": {…}}``, with early stopping ``"best"``, too.

    Non-finite values are None in the JSON of small networks and themselves in large ones.
    """
    if name == WEIGHTS:
        loaded: dict[str, dict[str, Any]] = json.loads(content)
        return loaded
    found: dict[str, dict[str, Any]] = {"initial": {}, "final": {}}
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for key in arrays.files:
            part, _, weight = key.partition("/")
            found.setdefault(part, {})[weight] = arrays[key]
    return found


def _plain(value: Any) -> Any:
    """Return floats and nested lists of floats; None for what is not finite."""
    if np.ndim(value):
        return [_plain(one) for one in value]
    number = float(value)
    return number if math.isfinite(number) else None


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
