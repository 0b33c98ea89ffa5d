"""Which rows are trained on and which are kept back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError

__all__ = ["SPLITTING", "column_rows", "fold_rows", "share_rows"]

Rows = npt.NDArray[np.bool_]

TRAINED = ("train", "training", "0", "false", "no")
KEPT_BACK = ("validation", "valid", "val", "dev", "1", "true", "yes")
TESTED = ("test", "testing", "holdout")

SPLITTING = (*TRAINED[:2], *KEPT_BACK[:4], *TESTED)
"""Texts that hardly stand for anything else."""


def share_rows(rows: int, share: float, seed: int | None) -> Rows:
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


def fold_rows(rows: int, folds: int, fold: int, seed: int | None) -> Rows:
    """Return which rows are trained on, shape (rows,): all but those of part `fold` of `folds`.

    `seed` orders the rows; the parts differ by at most one row in size.
    """
    if folds > rows:
        raise ConfigError(f"data.folds is {folds}: there are only {rows} rows.")
    kept = np.ones(rows, dtype=np.bool_)
    order = np.random.default_rng(seed).permutation(rows)
    kept[np.array_split(order, folds)[fold]] = False
    return kept


def column_rows(values: npt.NDArray[np.object_], column: str) -> tuple[Rows, Rows]:
    """Return which rows are trained on and which kept back, shape (rows,) each.

    Rows of a test part are kept back where no others are, else left out altogether.

    Raises
    ------
    ConfigError
        A value that says none of them, or no row of one kind.
    """
    words = np.array([str(value).lower() for value in values])
    known = (*TRAINED, *KEPT_BACK, *TESTED)
    strange = ~np.isin(words, known)
    if strange.any():
        row = int(strange.argmax())
        raise ConfigError(
            f"data.validation={column}: row {row + 1} is {values[row]!r}; write train, validation "
            "or test, or 0 and 1, in this column."
        )
    kept, others = np.isin(words, TRAINED), np.isin(words, KEPT_BACK)
    if not others.any():
        others = np.isin(words, TESTED)
    for rows, what in ((kept, "train on"), (others, "keep back")):
        if not rows.any():
            raise ConfigError(f"data.validation={column}: it names no row to {what}.")
    return kept, others
