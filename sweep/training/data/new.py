"""Prepare new rows as those were that a network is trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError
from sweep.training.data.columns import Columns
from sweep.training.data.files import Source
from sweep.training.data.preparation import Column, Preparation
from sweep.training.data.rows import gather

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FrameSource", "new_inputs", "unprepared"]


@dataclass(frozen=True)
class FrameSource(Source):
    """Rows of a pandas frame in place of a file's."""

    frame: Any = None

    @classmethod
    def of(cls, frame: pd.DataFrame) -> FrameSource:
        """Return the source of a frame; columns are found by their names."""
        names = tuple(str(name).strip() for name in frame.columns)
        groups = {name: [at] for at, name in enumerate(names)}
        return cls((Path("(frame)"),), names, groups, {}, frame.set_axis(range(len(names)), axis=1))

    def pieces(
        self, columns: Sequence[int], text: Collection[int]
    ) -> Iterator[tuple[Path, int, pd.DataFrame]]:
        """Yield the frame."""
        yield self.paths[0], 0, self.frame


def unprepared(inputs: int, outputs: int) -> Preparation:
    """Return the preparation of rows that are taken as they stand, columns in their order."""
    return Preparation(
        tuple(Column(str(at)) for at in range(inputs)),
        tuple(Column(f"output_{at}") for at in range(1, outputs + 1)),
    )


def new_inputs(preparation: Preparation, source: Source) -> npt.NDArray[np.float64]:
    """Return the inputs of new rows, prepared, shape (rows, preparation.widths[0]).

    Columns are found by the names that the inputs had; others are left alone.

    Raises
    ------
    ConfigError
        The file cannot be read, or has a value that the preparation has no place for.
    """
    columns = [
        at
        for column in preparation.inputs
        for at in source.positions(_reference(column.name, source), "an input of the run")
    ]
    categories = {at: place for place, at in enumerate(columns) if _values(preparation, place)}
    chosen = Columns(tuple(columns), (), False, None, frozenset(categories), trained=True)
    filled = any(column.fill is not None for column in preparation.inputs)
    table = gather(source, chosen, "mean" if filled else None)
    for at, place in categories.items():
        known = {*_values(preparation, place), ""}
        for row, text in enumerate(table.categories[place], start=1):
            if text not in known:
                raise ConfigError(
                    f"data.file {source.paths[0]} holds {text!r} in column "
                    f"{source.names[at]!r}, row {row}: no row that the network is trained on has "
                    "this value."
                )
    return preparation.prepared_inputs(table)


def _reference(name: str, source: Source) -> str | int:
    """Return a column's name, or its position where the run's data had no names."""
    return int(name) if name.isdecimal() and name not in source.groups else name


def _values(preparation: Preparation, place: int) -> tuple[str, ...]:
    return preparation.inputs[place].values or ()
