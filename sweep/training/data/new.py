"""Prepare new rows as those were that a network is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError
from sweep.training.data.columns import Columns
from sweep.training.data.files import Source, open_source, paths_of
from sweep.training.data.preparation import Column, Preparation
from sweep.training.data.rows import gather

__all__ = ["new_inputs", "unprepared"]


def unprepared(inputs: int, outputs: int) -> Preparation:
    """Return the preparation of rows that are taken as they stand, columns in their order."""
    return Preparation(
        tuple(Column(str(at)) for at in range(inputs)),
        tuple(Column(f"output_{at}") for at in range(1, outputs + 1)),
    )


def new_inputs(
    preparation: Preparation, file: str, read: Mapping[str, Any], base: Path
) -> npt.NDArray[np.float64]:
    """Return the inputs of a file, prepared, shape (rows, preparation.widths[0]).

    Parameters
    ----------
    file, read, base
        As of `load_data`; other columns of the file are left alone.

    Raises
    ------
    ConfigError
        The file cannot be read, or has a value that the preparation has no place for.
    """
    source = open_source(paths_of(file, base), read)
    columns = [
        at
        for column in preparation.inputs
        for at in source.positions(_reference(column.name, source), "an input of the run")
    ]
    categories = {at: place for place, at in enumerate(columns) if _values(preparation, place)}
    chosen = Columns(tuple(columns), (), False, None, frozenset(categories))
    filled = any(column.fill is not None for column in preparation.inputs)
    table = gather(source, chosen, "mean" if filled else None)
    for at, place in categories.items():
        known = {*_values(preparation, place), ""}
        for row, text in enumerate(table.categories[place], start=1):
            if text not in known:
                raise ConfigError(
                    f"data.file {file} holds {text!r} in column {source.names[at]!r}, row {row}: "
                    "no row that the network is trained on has this value."
                )
    return preparation.prepared_inputs(table)


def _reference(name: str, source: Source) -> str | int:
    """Return a column's name, or its position where the run's data had no names."""
    return int(name) if name.isdecimal() and name not in source.groups else name


def _values(preparation: Preparation, place: int) -> tuple[str, ...]:
    return preparation.inputs[place].values or ()
