"""Prepare samples for training: split, standardize, turn labels into shares of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError

__all__ = ["check_finite", "one_hot", "standardize", "training_rows"]

Array = npt.NDArray[np.float64]


def training_rows(rows: int, share: float, seed: int | None) -> npt.NDArray[np.bool_]:
    """Return which rows are trained on, shape (rows,); `seed` picks the `share` of the others."""
    kept = np.ones(rows, dtype=np.bool_)
    if share:
        count = max(1, round(rows * share))
        if count >= rows:
            raise ConfigError(
                f"data.validation is {share!r}: of {rows} rows it leaves none to train on."
            )
        kept[np.random.default_rng(seed).permutation(rows)[:count]] = False
    return kept


def standardize(training: Array, validation: Array, what: str) -> None:
    """Give each column mean 0 and deviation 1 over the training samples, in place.

    A constant column becomes 0. Raises ConfigError where the deviation overflows.
    """
    for at, (column, other) in enumerate(zip(training.T, validation.T, strict=True), start=1):
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = column.mean(), column.std()
        if not np.isfinite(deviation):
            raise ConfigError(f"{what} column {at} is too wide to standardize: scale it first.")
        for values in (column, other):
            values -= mean
            if deviation > 0:
                values /= deviation


def one_hot(labels: npt.NDArray[Any]) -> Array:
    """Return shape (samples, classes): 1 in the class of each label, classes in their order.

    Labels that all are numbers are in the order of numbers, whatever file they come from.
    """
    for row, label in enumerate(labels):
        if label is None or label == "" or label != label:
            raise ConfigError(f"data.targets row {row + 1} is {label!r}: it must name a class.")
    if labels.dtype.kind in "OU":
        labels = labels.astype(str)
        try:
            numbers = labels.astype(np.float64)
        except ValueError:
            pass  # names, then
        else:
            labels = numbers if np.isfinite(numbers).all() else labels
    _, position = np.unique(labels, return_inverse=True)
    shares: Array = np.eye(int(position.max()) + 1)[position]
    return shares


def check_finite(values: npt.NDArray[Any], name: str, first: int, path: Path) -> None:
    """Raise ConfigError for the first gap in `values`, whose first row is row `first` of `path`."""
    finite = np.isfinite(values)
    if not finite.all():
        at = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ConfigError(
            f"data.file {path} holds no finite number in column {name!r}, row "
            f"{first + at[0] + 1} ({values[at]}): fill the gap or leave the row out."
        )
