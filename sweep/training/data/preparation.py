"""Prepare inputs and targets: fit on the training rows, apply to any rows.

The preparation is stored with each run, so that new rows are prepared bit for bit the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError
from sweep.training.data.files import Source
from sweep.training.data.selection import Columns
from sweep.training.data.table import Table, read_table

MOST_VALUES = 1000
FEW_VALUES = 20

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """The preparation of one column, in the order of the attributes; None: not applied."""

    name: str  # of several columns with equal names followed by the number, as x[1]
    fill: float | None = None  # replaces missing values
    values: tuple[str, ...] | None = None  # of a category; each becomes a column of 0 and 1
    mean: float | None = None  # is subtracted
    deviation: float | None = None  # divides the result unless it is 0

    def scaled(self, values: Array, what: str) -> Column:
        """Return the column with mean and deviation of `values`; `what` is for messages."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(values.mean()), float(values.std())
        if values.min() == values.max():  # the mean of equal numbers is rounded
            mean, deviation = float(values[0]), 0.0
        if not np.isfinite(deviation):
            raise ConfigError(
                f"{what} column {self.name} is too wide to standardize: scale it first."
            )
        return replace(self, mean=mean, deviation=deviation)

    def apply(self, values: Array) -> None:
        """Prepare numbers in place."""
        if self.fill is not None:
            values[np.isnan(values)] = self.fill
        if self.mean is not None:
            values -= self.mean
        if self.deviation:
            values /= self.deviation


@dataclass(frozen=True)
class Preparation:
    """The preparation of all columns."""

    inputs: tuple[Column, ...]
    targets: tuple[Column, ...]
    classes: tuple[str, ...] | None = None  # labels by target column; None for numeric targets
    binary: bool = False  # one numeric target with the values 0 and 1

    @property
    def widths(self) -> tuple[int, int]:
        """The number of prepared input columns and target columns."""
        outputs = len(self.targets) if self.classes is None else len(self.classes)
        return sum(1 if one.values is None else len(one.values) for one in self.inputs), outputs

    def apply(self, table: Table) -> tuple[Array, Array]:
        """Return inputs and targets, shapes (rows, widths[0]) and (rows, widths[1]).

        Numbers are modified in place. A category unknown in training becomes 0 in all columns.
        """
        inputs, targets = table.inputs, table.targets
        if table.levels:
            inputs = np.zeros((len(table), self.widths[0]))
        start = 0
        for position, column in enumerate(self.inputs):
            given = table.inputs[:, position]
            if column.values is None:
                inputs[:, start] = given
                column.apply(inputs[:, start])
                start += 1
                continue
            codes = {text: code for code, text in enumerate(table.levels[position])}
            for value in column.values:
                inputs[:, start] = given == codes.get(value, -1)
                start += 1
        if self.classes is not None and table.labels is not None:
            order = {label: at for at, label in enumerate(self.classes)}
            positions = np.array([order.get(text, -1) for text in table.labels])
            return inputs, np.eye(len(order))[positions[targets[:, 0].astype(np.intp)]]
        for values, column in zip(targets.T, self.targets, strict=False):
            column.apply(values)
        return inputs, targets

    def outputs(self, values: Array) -> Array:
        """Return a network's outputs in the units of the targets, shape (rows, targets)."""
        result = values.copy()
        for of_one, column in zip(result.T, self.targets, strict=False):
            if column.deviation:
                of_one *= column.deviation
            if column.mean is not None:
                of_one += column.mean
        return result

    def document(self) -> dict[str, Any]:
        """Return plain values; a round trip through JSON is exact."""
        kept = asdict(self)
        for kind in ("inputs", "targets"):
            kept[kind] = [
                {key: value for key, value in column.items() if value is not None}
                for column in kept[kind]
            ]
        return dict(json.loads(json.dumps(kept)))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Preparation:
        """Invert `document`; raise KeyError, TypeError or ValueError if it is damaged."""

        def column(given: Mapping[str, Any]) -> Column:
            texts = tuple(map(str, given["values"])) if "values" in given else None
            numbers = {key: float(given[key]) for key in given if key not in ("name", "values")}
            return Column(str(given["name"]), values=texts, **numbers)

        inputs, targets = (tuple(map(column, document[kind])) for kind in ("inputs", "targets"))
        classes = document["classes"]
        labels = None if classes is None else tuple(map(str, classes))
        return cls(inputs, targets, labels, bool(document.get("binary", False)))


def fit(table: Table, others: Table, config: Mapping[str, Any]) -> Preparation:
    """Fit on the training rows `table`; from `others` only the labels are used."""
    names, target_names = table.names
    columns = []
    for position, name in enumerate(names):
        values = table.inputs[:, position]
        if position in table.levels:
            texts = _different(values, table.levels[position])
            _check_few(texts, len(table), name, config["categories"] == "auto")
            columns.append(Column(name, values=_ordered(texts)))
            continue
        column = Column(name, _fill(values, name, config["missing"]))
        if column.fill is not None:
            values = np.where(np.isnan(values), column.fill, values)
        columns.append(column.scaled(values, "data.inputs") if config["standardize"] else column)
    targets = tuple(map(Column, target_names))
    if table.labels is not None and others.labels is not None:
        labels = _different(table.targets, table.labels) | _different(others.targets, others.labels)
        return Preparation(tuple(columns), targets, _ordered(labels))
    if config["standardize"] == "all":
        pairs = zip(targets, table.targets.T, strict=True)
        targets = tuple(column.scaled(values, "data.targets") for column, values in pairs)
        return Preparation(tuple(columns), targets)
    binary = len(targets) == 1 and np.array_equal(np.unique(table.targets), [0, 1])
    return Preparation(tuple(columns), targets, binary=binary)


def _different(codes: Array, texts: Sequence[str]) -> set[str]:
    return {texts[int(code)] for code in np.unique(codes[~np.isnan(codes)])}


def _ordered(texts: set[str]) -> tuple[str, ...]:
    """Sort texts numerically if all are finite numbers; 01 and 1 remain different texts."""
    found = sorted(texts)
    try:
        numbers = {text: float(text) for text in found}
    except ValueError:
        return tuple(found)
    if not np.isfinite(list(numbers.values())).all():
        return tuple(found)
    return tuple(sorted(found, key=numbers.__getitem__))


def _check_few(texts: set[str], rows: int, name: str, auto: bool) -> None:
    if len(texts) > MOST_VALUES or (auto and len(texts) > max(FEW_VALUES, rows / 2)):
        raise ConfigError(
            f"data.categories: the column {name!r} has {len(texts)} values in {rows} rows, too "
            "many for one column a value; leave it out of data.inputs, or with data.drop."
        )


def _fill(values: Array, name: str, missing: str | None) -> float | None:
    """Return the replacement of missing values, also if no training row has one missing."""
    if missing not in ("mean", "median"):
        return None
    there = values[~np.isnan(values)]
    if not len(there):
        raise ConfigError(
            f"data.missing={missing}: the column {name!r} has no value in any row that is "
            "trained on; leave it out of data.inputs, or with data.drop."
        )
    return float(there.mean() if missing == "mean" else np.median(there))


def new_rows(
    preparation: Preparation, source: Source, *, drop: bool = False
) -> tuple[Array, Sequence[int]]:
    """Return the prepared inputs of new rows, shape (rows, preparation.widths[0]).

    Columns are found by name; others are ignored. With `drop`, rows with a missing value are
    left out; their numbers, from 1, are the second value returned.
    """
    columns: dict[int, Column] = {}
    for column in preparation.inputs:
        file = "" if source.frame is not None else f"{source.key}={source.paths[0].name}: "
        what = f"{file}input {column.name!r} of the run"
        for at in source.positions(column.name, what):
            if at in columns:
                raise ConfigError(
                    f"{what} is column {at}, as is input {columns[at].name!r}: name the columns as "
                    "the inputs of the run."
                )
            columns[at] = column
    known = {at: column.values for at, column in columns.items() if column.values is not None}
    chosen = Columns(tuple(columns), (), frozenset(known), known=known, trained=True)
    filled = any(column.fill is not None for column in preparation.inputs)
    table = read_table(source, chosen, "drop" if drop else "mean" if filled else None)
    return preparation.apply(table)[0], table.dropped
