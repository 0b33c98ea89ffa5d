"""What every reader of a data file shares: the chosen columns, their checks and refusals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from sweep.checks import one_of
from sweep.errors import ConfigError

__all__ = ["Blocks", "Columns"]

Blocks = Iterator[dict[str, npt.NDArray[Any]]]


class Columns:
    """The chosen columns of one file.

    Attributes
    ----------
    rows
        Samples in the file, without a header.
    widths
        For each column how many numbers it gives a row: 1, or the width of a matrix (NPZ).
    """

    def __init__(self, path: Path, numbers: Sequence[str], labels: Sequence[str]) -> None:
        self.path = path
        self.numbers = list(dict.fromkeys(numbers))
        self.labels = list(labels)
        self.chosen = list(dict.fromkeys([*numbers, *labels]))
        self.widths = dict.fromkeys(self.chosen, 1)
        self.rows = 0
        self.open()
        if not self.rows:
            raise ConfigError(f"data.file {path} holds no rows: it needs at least one sample.")

    def open(self) -> None:
        """Check names and kinds of the columns; set `rows` and `widths`."""
        raise TypeError(f"{type(self).__name__} reads no kind of file.")

    def blocks(self) -> Blocks:
        """Yield the rows in order, as arrays by column: float64 of any shape, or labels."""
        raise TypeError(f"{type(self).__name__} reads no kind of file.")

    def check_names(self, names: Sequence[str]) -> None:
        for column in self.chosen:
            if column not in names:
                one_of(column, list(names), f"a column of data.file {self.path}")
            if list(names).count(column) > 1:
                raise ConfigError(f"data.file {self.path} has two columns named {column!r}.")

    def unreadable(self, error: BaseException) -> ConfigError:
        cause = str(error).strip().splitlines() or [type(error).__name__]
        kind = self.path.suffix.lstrip(".").upper()
        return ConfigError(f"data.file {self.path} cannot be read as {kind}: {cause[0]}")

    def text(self, column: str, row: int, value: Any) -> ConfigError:
        return ConfigError(
            f"data.file {self.path} holds {value!r} in column {column!r}, row {row + 1}: "
            "it must be a number."
        )
