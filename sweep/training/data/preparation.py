"""How inputs and targets are prepared: fitted on the training rows, applied to any others.

A preparation is stored with each run, so that new rows go the same way to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError
from sweep.training.data.rows import Table

__all__ = ["Column", "Preparation", "class_order", "fit"]

MOST_VALUES = 1000
FEW_VALUES = 20

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """How one column is prepared, in this order; what is None is not done.

    Attributes
    ----------
    name
        Of the file, or its position where it has none.
    fill
        Stands for a missing value.
    values
        Of a category: each becomes a column that is 1 for it and 0 else.
    mean, deviation
        Subtracted, then divided by unless it is 0.
    """

    name: str
    fill: float | None = None
    values: tuple[str, ...] | None = None
    mean: float | None = None
    deviation: float | None = None

    @property
    def width(self) -> int:
        """The columns that it becomes."""
        return 1 if self.values is None else len(self.values)


@dataclass(frozen=True)
class Preparation:
    """How all columns are prepared.

    Attributes
    ----------
    classes
        The labels, in the order of the targets' columns; None where targets are numbers.
    """

    inputs: tuple[Column, ...]
    targets: tuple[Column, ...]
    classes: tuple[str, ...] | None = None

    @property
    def widths(self) -> tuple[int, int]:
        """How many numbers an input row and a target row have."""
        outputs = len(self.targets) if self.classes is None else len(self.classes)
        return sum(column.width for column in self.inputs), outputs

    def prepared_inputs(self, table: Table) -> Array:
        """Return the inputs of a table, shape (rows, widths[0]); numbers are taken over in place.

        A category that training did not have becomes 0 in each of its columns.
        """
        if table.categories:
            result = np.zeros((len(table), self.widths[0]))
            numbers = iter(table.numbers.T)
            start = 0
            for place, column in enumerate(self.inputs):
                if column.values is None:
                    result[:, start] = next(numbers)
                else:
                    texts = table.categories[place]
                    for at, value in enumerate(column.values):
                        result[:, start + at] = texts == value
                start += column.width
        else:
            result = table.numbers
        start = 0
        for column in self.inputs:
            if column.values is None:
                values = result[:, start]
                if column.fill is not None:
                    values[np.isnan(values)] = column.fill
                _scale(values, column)
            start += column.width
        return result

    def prepared_targets(self, table: Table) -> Array:
        """Return the targets of a table, shape (rows, widths[1]), taken over in place."""
        if self.classes is not None:
            place = {label: at for at, label in enumerate(self.classes)}
            assert table.labels is not None
            shares: Array = np.eye(len(place))[[place[label] for label in table.labels]]
            return shares
        for values, column in zip(table.targets.T, self.targets, strict=True):
            _scale(values, column)
        return table.targets

    def outputs(self, values: Array) -> Array:
        """Return a network's outputs in the units of the targets, shape (rows, targets)."""
        result = values.copy()
        for of_one, column in zip(result.T, self.targets, strict=False):
            if column.mean is not None and column.deviation is not None:
                if column.deviation > 0:
                    of_one *= column.deviation
                of_one += column.mean
        return result

    def document(self) -> dict[str, Any]:
        """Return plain values that JSON keeps to the last bit."""
        kept = {
            kind: [
                {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in asdict(column).items()
                    if value is not None
                }
                for column in getattr(self, kind)
            ]
            for kind in ("inputs", "targets")
        }
        return {**kept, "classes": None if self.classes is None else list(self.classes)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Preparation:
        """Return what `document` returned.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is damaged.
        """

        def columns(kind: str) -> tuple[Column, ...]:
            return tuple(
                Column(
                    str(one["name"]),
                    values=tuple(map(str, one["values"])) if "values" in one else None,
                    **{k: float(one[k]) for k in ("fill", "mean", "deviation") if k in one},
                )
                for one in document[kind]
            )

        classes = document["classes"]
        return cls(
            columns("inputs"),
            columns("targets"),
            None if classes is None else tuple(map(str, classes)),
        )


def fit(
    table: Table,
    inputs: Sequence[str],
    targets: Sequence[str],
    *,
    classes: Sequence[str] | None,
    missing: str | None,
    standardize: bool | str,
    limited: bool,
) -> Preparation:
    """Return the preparation that the training rows determine.

    Parameters
    ----------
    inputs, targets
        The names of the columns.
    standardize
        True gives each input that is a number mean 0 and deviation 1, ``all`` each target too.
    limited
        Whether a category with a value for most rows is refused.

    Raises
    ------
    ConfigError
        A column that cannot be prepared so; one sentence.
    """
    numbers = iter(table.numbers.T)
    columns = []
    for place, name in enumerate(inputs):
        if place in table.categories:
            columns.append(Column(name, values=_values(table, place, name, limited)))
            continue
        values = next(numbers)
        fill = _fill(values, name, missing)
        if fill is not None:
            values = np.where(np.isnan(values), fill, values)
        column = Column(name, fill)
        columns.append(_scaled(column, values, "data.inputs") if standardize else column)
    if classes is not None:
        return Preparation(tuple(columns), (Column(targets[0]),), tuple(classes))
    scaled = [Column(name) for name in targets]
    if standardize == "all":
        scaled = [
            _scaled(column, values, "data.targets")
            for column, values in zip(scaled, table.targets.T, strict=True)
        ]
    return Preparation(tuple(columns), tuple(scaled))


def class_order(texts: npt.NDArray[np.object_]) -> tuple[str, ...]:
    """Return the different texts: in the order of numbers where all are numbers, else sorted.

    Texts that differ are kept apart, also where they are the same number, as 01 and 1.
    """
    different = sorted({text for text in texts if text})
    try:
        numbers = [float(text) for text in different]
    except ValueError:
        return tuple(different)
    if not np.isfinite(numbers).all():
        return tuple(different)
    return tuple(sorted(different, key=lambda text: (float(text), text)))


def _values(table: Table, place: int, name: str, limited: bool) -> tuple[str, ...]:
    values = class_order(table.categories[place])
    rows = len(table)
    if len(values) > MOST_VALUES or (limited and len(values) > max(FEW_VALUES, rows / 2)):
        raise ConfigError(
            f"data.categories: the column {name!r} has {len(values)} values in {rows} rows, too "
            f"many for one column a value; leave it out of data.inputs, or with data.drop."
        )
    return values


def _fill(values: Array, name: str, missing: str | None) -> float | None:
    """Return what stands for a missing value, whether or not the training rows lack one."""
    if missing not in ("mean", "median"):
        return None
    there = values[~np.isnan(values)]
    if not len(there):
        raise ConfigError(
            f"data.missing={missing}: the column {name!r} has no value in any row that is "
            "trained on; leave it out of data.inputs, or with data.drop."
        )
    return float(there.mean() if missing == "mean" else np.median(there))


def _scaled(column: Column, values: Array, what: str) -> Column:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
    if not np.isfinite(deviation):
        raise ConfigError(
            f"{what} column {column.name} is too wide to standardize: scale it first."
        )
    return replace(column, mean=mean, deviation=deviation)


def _scale(values: Array, column: Column) -> None:
    if column.mean is None or column.deviation is None:
        return
    values -= column.mean
    if column.deviation > 0:
        values /= column.deviation
