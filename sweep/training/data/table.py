"""The chosen columns of data files as arrays of numbers.

Text (labels, categories, the column that splits) is held as codes: a number for each different
text. NaN is a missing value, in numbers and codes alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError, ConfigErrors
from sweep.training.data.files import Source
from sweep.training.data.hints import number_hints, quoted
from sweep.training.data.selection import SPLITTING, Columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "gather", "text_of"]

MOSTLY = 0.5
"""A column of which more is numbers is no category, whatever else it holds."""

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]


@dataclass
class Table:
    """Rows of the chosen columns, before they are prepared.

    Attributes
    ----------
    inputs, targets
        Shapes (rows, inputs) and (rows, targets), C-contiguous.
    names
        Those of the inputs and those of the targets.
    levels, labels
        The texts that codes stand for: of inputs that are categories, by their place among the
        inputs; of the target, None where targets are numbers.
    split
        The texts of the column that splits, shape (rows,), if there is one.
    dropped
        The rows, from 1, that were left out for a missing value.
    """

    inputs: Array
    targets: Array
    names: tuple[Sequence[str], Sequence[str]]
    levels: Mapping[int, Sequence[str]] = field(default_factory=dict)
    labels: Sequence[str] | None = None
    split: npt.NDArray[np.str_] | None = None
    dropped: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def split_off(self, kept: Rows, others: Rows) -> Table:
        """Keep the rows that `kept` says and return a table of the `others`, shape (rows,) both.

        The numbers move within their memory: a table is never held twice.
        """
        other = replace(self, inputs=self.inputs[others], targets=self.targets[others], dropped=())
        if not kept.all():
            for array in (self.inputs, self.targets):
                end = 0
                for first in range(0, len(array), 65_536):
                    block = array[first : first + 65_536][kept[first : first + 65_536]]
                    array[end : end + len(block)] = block
                    end += len(block)
                array.resize((end, array.shape[1]), refcheck=False)
        return other


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
    split = () if columns.split is None else (columns.split,)
    parts = (columns.inputs, columns.targets, split)
    chosen = (*columns.inputs, *columns.targets, *split)
    texts = {
        at: {text: code for code, text in enumerate(columns.known.get(at, ()))}
        for at in columns.text
    }
    arrays = [np.empty((0, len(part))) for part in parts]
    dropped: list[int] = []
    total = 0
    for path, first, frame in source.pieces(chosen, columns.text):
        likely, refusals = _not_numbers(source, columns, path, first, frame)
        if refusals:
            raise ConfigErrors(refusals)
        if likely:  # read these as text, from the first row on
            return gather(source, replace(columns, text=columns.text | {*likely}), missing)
        values = {
            at: _codes(frame[at], texts[at]) if at in texts else _floats(frame[at]) for at in chosen
        }
        kept = np.ones(len(frame), dtype=np.bool_)
        if missing == "drop":
            for column in values.values():
                kept &= ~np.isnan(column)
            dropped += (total + 1 + np.flatnonzero(~kept)).tolist()
        for at, column in values.items():
            for mask, what, advice in _conditions(columns, at, column, missing):
                if (mask & kept).any():
                    row = int((mask & kept).argmax())
                    raise ConfigError(
                        f"data.file {path} holds {what.format(str(frame[at].iloc[row]))} in column "
                        f"{source.names[at]!r}, row {first + row + 1}: {advice}."
                    )
        count = int(kept.sum())
        for array, part in zip(arrays, parts, strict=True):
            end = len(array)
            array.resize((end + count, len(part)), refcheck=False)  # in place, without a copy
            for to, at in enumerate(part):
                array[end:, to] = values[at][kept]
        total += len(frame)
    inputs, targets, words = arrays
    if not len(inputs):
        what = "a row without a missing value" if dropped else "at least one sample"
        raise ConfigError(f"data.file {source.paths[0]} holds no rows: it needs {what}.")
    levels = {at: list(found) for at, found in texts.items()}
    return Table(
        inputs,
        targets,
        ([source.names[at] for at in columns.inputs], [source.names[at] for at in columns.targets]),
        {place: levels[at] for place, at in enumerate(columns.inputs) if at in levels},
        levels.get(columns.targets[0]) if columns.targets else None,
        np.array(levels[split[0]])[words[:, 0].astype(np.intp)] if split else None,
        dropped,
    )


def _conditions(
    columns: Columns, at: int, values: Array, missing: str | None
) -> Iterator[tuple[Rows, str, str]]:
    """Yield which values of a column are refused, how they are called, and what to do."""
    if missing is None or (missing != "drop" and at not in columns.inputs):
        advice = "write data.missing=drop to leave out rows with missing values"
        if columns.trained:
            advice = "the network is trained without missing values; fill it in, or " + advice
        elif at in columns.inputs:
            advice += ", or data.missing=mean or median to fill them in"
        yield np.isnan(values), "no value", advice
    yield np.isinf(values), "no finite number ({})", "mend it or leave the row out"
    if at in columns.known:
        advice = "no row that the network is trained on has this value"
        yield values >= len(columns.known[at]), "{!r}", advice


def _not_numbers(
    source: Source, columns: Columns, path: Path, first: int, frame: pd.DataFrame
) -> tuple[list[int], list[str]]:
    """Return columns that are read as numbers but look like categories, and why others are none.

    Unless columns.auto, text in all of them is refused.
    """
    wrong = {}
    for at in (*columns.inputs, *columns.targets):
        if at not in columns.text and (mask := _text_cells(frame[at])).any():
            wrong[at] = mask
    cells = {at: str(frame[at].iloc[int(mask.argmax())]) for at, mask in wrong.items()}
    hints = number_hints(cells)
    likely = [
        at
        for at, mask in wrong.items()
        if at in columns.inputs and at not in hints
        if mask.sum() >= MOSTLY * frame[at].notna().sum()
    ]
    alike: dict[str, list[int]] = {}
    for at in cells:
        if not (columns.auto and at in likely):
            advice = hints.get(at) or _advice(source, columns, cells, at, likely)
            alike.setdefault(advice, []).append(at)
    refusals = []
    for advice, (at, *others) in alike.items():
        more = f" (and in {len(others)} other column{'s' * (len(others) > 1)})" if others else ""
        refusals.append(
            f"data.file {path} holds {cells[at]!r} in column {source.names[at]!r}, row "
            f"{first + int(wrong[at].argmax()) + 1}{more}: it must be a number; {advice}."
        )
    return (likely if columns.auto else []), refusals


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


def _text_cells(column: pd.Series[Any]) -> Rows:
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


def _codes(column: pd.Series[Any], texts: dict[str, int]) -> Array:
    """Return a column's codes, shape (rows,); `texts` gets those that it lacks."""
    import pandas as pd

    places, different = pd.factorize(column)  # the place of a missing value is -1, the last
    found = [text_of(value) for value in different]
    codes = [texts.setdefault(text, len(texts)) if text else np.nan for text in found]
    return np.array([*codes, np.nan])[places]


def text_of(value: Any) -> str:
    """Return a label or category as text without blanks, a whole number without a point."""
    if isinstance(value, Number) and not isinstance(value, bool | np.bool_):
        if float(value).is_integer():  # type: ignore[arg-type]
            return str(int(value))  # type: ignore[call-overload]
    return str(value).strip()
