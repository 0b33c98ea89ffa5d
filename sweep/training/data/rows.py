"""Gather the chosen columns of a source: numbers, texts, and what is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError, ConfigErrors
from sweep.training.data.columns import Columns
from sweep.training.data.files import Source
from sweep.training.data.hints import number_hints, quoted
from sweep.training.data.split import SPLITTING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "as_text", "gather"]

MOSTLY = 0.5
"""A column of which more is numbers is no category, whatever else it holds."""

Array = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]


@dataclass
class Table:
    """Rows of the chosen columns, before they are prepared.

    Attributes
    ----------
    numbers
        Inputs that are numbers, shape (rows, how many); NaN where one is missing.
    categories
        Position among the inputs -> texts, shape (rows,); empty where one is missing.
    targets
        Shape (rows, targets), or (rows, 0) with labels.
    labels
        The texts of the target column, shape (rows,).
    split
        The texts of the column that splits.
    dropped
        Rows that were left out for a missing value.
    """

    numbers: Array
    targets: Array
    labels: Texts | None = None
    split: Texts | None = None
    categories: dict[int, Texts] = field(default_factory=dict)
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.targets)

    def split_off(self, kept: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_]) -> Table:
        """Keep the rows that `kept` says and return a table of the `others`, shape (rows,) both.

        The numbers move within their place: a table is never held twice.
        """
        other = Table(
            self.numbers[others],
            self.targets[others],
            None if self.labels is None else self.labels[others],
            None,
            {at: texts[others] for at, texts in self.categories.items()},
        )
        if not kept.all():
            for array in (self.numbers, self.targets):
                _keep(array, kept)
            self.labels = None if self.labels is None else self.labels[kept]
            self.categories = {at: texts[kept] for at, texts in self.categories.items()}
        return other


class _Categories(Exception):
    """Columns that turn out to be categories: they are read again, as text."""

    def __init__(self, columns: Collection[int]) -> None:
        self.columns = frozenset(columns)


def gather(source: Source, columns: Columns, missing: str | None) -> Table:
    """Read the chosen columns.

    Parameters
    ----------
    missing
        ``drop`` leaves out rows with a missing value; ``mean`` and ``median`` keep them, in
        inputs; None refuses them.

    Raises
    ------
    ConfigErrors
        What is no number, or missing, with its row and column.
    """
    text = columns.text()
    while True:
        try:
            return _gather(source, columns, text, missing)
        except _Categories as found:
            text |= found.columns


def _gather(source: Source, columns: Columns, text: set[int], missing: str | None) -> Table:
    numbers = [at for at in columns.inputs if at not in text]
    targets = [] if columns.labels else list(columns.targets)
    split = [] if columns.split is None else [columns.split]
    everything = [*columns.inputs, *columns.targets, *split]
    table = Table(np.empty((0, len(numbers))), np.empty((0, len(targets))))
    texts: dict[int, list[Texts]] = {at: [] for at in everything if at in text}
    for path, first, frame in source.pieces(everything, text):
        refusals = list(_not_numbers(source, columns, path, first, frame, [*numbers, *targets]))
        if refusals:
            raise ConfigErrors(refusals)
        blocks = {at: _floats(frame[at]) for at in dict.fromkeys([*numbers, *targets])}
        words = {at: as_text(frame[at]) for at in texts}
        gaps = {at: np.isnan(block) for at, block in blocks.items()}
        gaps |= {at: np.asarray(block == "") for at, block in words.items()}
        kept = np.ones(len(frame), dtype=np.bool_)
        for at, gap in gaps.items():
            if missing == "drop":
                kept &= ~gap
            elif gap.any() and (missing is None or at not in columns.inputs):
                raise _missing(source, columns, path, first + int(gap.argmax()), at)
        for at, block in blocks.items():
            if np.isinf(block[kept]).any():
                row = first + int(np.isinf(block).argmax()) + 1
                raise ConfigError(
                    f"data.file {path} holds no finite number in column {source.names[at]!r}, "
                    f"row {row} ({block[row - first - 1]}): mend it or leave the row out."
                )
        count = int(kept.sum())
        table.dropped += len(frame) - count
        for array, chosen in ((table.numbers, numbers), (table.targets, targets)):
            end = len(array)
            array.resize((end + count, len(chosen)), refcheck=False)  # in its place, no copy
            for to, at in enumerate(chosen):
                array[end:, to] = blocks[at][kept]
        for at, words_of in words.items():
            texts[at].append(words_of[kept])
    if not len(table):
        what = "a row without a missing value" if table.dropped else "at least one sample"
        raise ConfigError(f"data.file {source.paths[0]} holds no rows: it needs {what}.")
    joined = {at: np.concatenate(parts) for at, parts in texts.items()}
    table.labels = joined[columns.targets[0]] if columns.labels else None
    table.split = None if columns.split is None else joined[columns.split]
    table.categories = {
        place: joined[at] for place, at in enumerate(columns.inputs) if at in joined
    }
    return table


def _not_numbers(
    source: Source,
    columns: Columns,
    path: Path,
    first: int,
    frame: pd.DataFrame,
    numbers: Sequence[int],
) -> Iterator[str]:
    """Yield why columns of `numbers` are none; raise _Categories where they may be categories."""
    rows: dict[int, int] = {}
    cells: dict[int, str] = {}
    mostly = set()
    for at in numbers:
        wrong = _wrong(frame[at])
        if wrong.any():
            rows[at] = int(wrong.argmax())
            cells[at] = str(frame[at].iloc[rows[at]])
            if wrong.sum() < MOSTLY * frame[at].notna().sum():
                mostly.add(at)
    hints = number_hints(cells)
    likely = [at for at in cells if at in columns.inputs and at not in mostly and at not in hints]
    if columns.categories is None and likely and len(likely) == len(cells):
        raise _Categories(likely)
    advices: dict[str, list[int]] = {}
    for at in cells:
        advices.setdefault(hints.get(at) or _advice(source, columns, cells, at, likely), []).append(
            at
        )
    for advice, (at, *others) in advices.items():
        if columns.categories is None and at in likely:
            continue  # nothing is wrong with it
        more = f" (and in {len(others)} other column{'s' * (len(others) > 1)})" if others else ""
        yield (
            f"data.file {path} holds {cells[at]!r} in column {source.names[at]!r}, row "
            f"{first + rows[at] + 1}{more}: it must be a number; {advice}."
        )


def _advice(
    source: Source, columns: Columns, cells: Mapping[int, str], at: int, likely: Sequence[int]
) -> str:
    """Return what to write for a column that holds text."""
    if columns.trained:
        return "the network is trained on numbers in this column; mend it, or leave the row out"
    if at in columns.targets:
        return "if it is the label of a class, write data.one_hot=true"
    if at not in likely:
        return "mend it, or leave the column out with data.inputs=all and data.drop"
    listed = ",".join(quoted(source.names[one]) for one in likely)
    advice = (
        "for one column a value write data.categories=auto; to leave out what holds text, "
        f"data.inputs=all 'data.drop=[{listed}]'"
    )
    for one in likely:
        if cells[one].lower() in SPLITTING:
            advice += f"; to split by it, 'data.validation={quoted(source.names[one])}'"
    return advice


def _wrong(column: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    """Return which cells are neither numbers nor missing, shape (rows,)."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        return np.asarray(column.notna())
    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.zeros(len(column), dtype=np.bool_)
    numbers = pd.to_numeric(column, errors="coerce")
    truth = column.map(lambda cell: isinstance(cell, bool))
    return np.asarray(column.notna() & (numbers.isna() | truth.astype(bool)))


def _floats(column: pd.Series[Any]) -> Array:
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan))


def as_text(values: Any) -> Texts:
    """Return labels or categories as text, empty where one is missing, shape (rows,).

    Text is stripped of blanks; a whole number is written as one, whatever type it has.
    """
    import pandas as pd

    result = np.full(len(values), "", dtype=object)
    for at, value in enumerate(values):
        if isinstance(value, str):
            result[at] = value.strip()
        elif not pd.isna(value):
            whole = not isinstance(value, bool | np.bool_) and float(value).is_integer()
            result[at] = str(int(value)) if whole else str(value)
    return result


def _missing(source: Source, columns: Columns, path: Path, row: int, at: int) -> ConfigError:
    advice = "write data.missing=drop to leave out rows with missing values"
    if columns.trained:
        advice = "the network is trained without missing values; fill it in, or leave the row out"
    elif at in columns.inputs:
        advice += ", or data.missing=mean or median to fill them in"
    return ConfigError(
        f"data.file {path} holds no value in column {source.names[at]!r}, row {row + 1}: {advice}."
    )


def _keep(array: Array, kept: npt.NDArray[np.bool_]) -> None:
    """Move the rows that are kept to the front of an array and cut it there."""
    end = 0
    for first in range(0, len(array), 65_536):
        block = array[first : first + 65_536][kept[first : first + 65_536]]
        array[end : end + len(block)] = block
        end += len(block)
    array.resize((end, array.shape[1]), refcheck=False)
