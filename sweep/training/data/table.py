"""Read the chosen columns of data files into float arrays.

Text (labels, categories, the split column) is stored as integer codes; NaN is a missing value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError
from sweep.training.data.files import Source
from sweep.training.data.formats import number_hints, plain_numbers, quoted
from sweep.training.data.selection import SPLITTING, Columns, drop_advice

if TYPE_CHECKING:
    import pandas as pd

MOSTLY = 0.5
"""Minimum share of text cells for a column to look like a category."""

NO_FLOATS = (bool, np.bool_, complex, np.complexfloating)
"""Types of labels that are numbers by name only."""

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]


@dataclass
class Table:
    """Rows of the chosen columns, before preparation."""

    inputs: Array  # shape (rows, inputs), C-contiguous
    targets: Array  # shape (rows, targets), C-contiguous
    names: tuple[Sequence[str], Sequence[str]]  # of the inputs, of the targets
    levels: Mapping[int, Sequence[str]] = field(default_factory=dict)  # input -> texts of its codes
    labels: Sequence[str] | None = None  # texts of the target's codes; None for numeric targets
    split: npt.NDArray[np.str_] | None = None  # texts of the split column, shape (rows,)
    dropped: Sequence[int] = ()  # rows, from 1, left out for a missing value

    def __len__(self) -> int:
        return len(self.inputs)

    def split_off(self, kept: Rows, others: Rows) -> Table:
        """Keep the rows of the mask `kept` in place, and return a table of the mask `others`.

        Both masks have shape (rows,). Rows are moved in place, to avoid a copy of the table.
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


def read_table(source: Source, columns: Columns, missing: str | None) -> Table:
    """Read the chosen columns.

    Rows with a missing value are left out if `missing` is ``drop``, and kept if it is ``mean``
    or ``median`` and the value is an input. Otherwise ConfigError is raised.
    """
    import pandas as pd

    split = () if columns.split is None else (columns.split,)
    parts = (columns.inputs, columns.targets, split)
    chosen = [at for part in parts for at in part]
    required = [] if missing == "drop" else [*columns.targets, *split]
    if missing is None:
        required = chosen
    texts = {
        at: {text: code for code, text in enumerate(columns.known.get(at, ()))}
        for at in columns.text
    }
    arrays = [np.empty((0, len(part))) for part in parts]
    dropped: list[int] = []
    total = 0
    for file, frame in source.pieces(chosen, columns.text):
        likely, messages = _not_numbers(source, columns, file, frame)
        if messages:
            raise ConfigError(*messages)
        if likely:  # read these as text, starting again at the first row
            return read_table(source, replace(columns, text=columns.text | {*likely}), missing)
        read = {
            at: _codes(frame[at], texts[at]) if at in texts else _floats(frame[at], source)
            for at in chosen
        }
        block = pd.DataFrame(read, frame.index)
        if missing == "drop":
            gone = block.isna().any(axis=1)
            dropped += (total + 1 + np.flatnonzero(gone)).tolist()
            block = block[~gone]
        total += len(frame)
        _check(source, columns, file, frame, block, required)
        for array, part in zip(arrays, parts, strict=True):
            end = len(array)
            array.resize((end + len(block), len(part)), refcheck=False)  # in place, without a copy
            array[end:] = block[list(part)]
    inputs, targets, words = arrays
    if not len(inputs):
        what = "a row without a missing value" if dropped else "at least one sample"
        raise ConfigError(f"{source.key}={source.paths[0]}: it holds no rows, but needs {what}.")
    guessed = source.read.get("header") == "infer" and "names" not in source.read
    for at, found in texts.items():
        if guessed and source.names[at] in found:
            raise ConfigError(
                f"{file} has {source.names[at]!r} in its first row and again in that column. It "
                "looks like data: write data.read.header=null, or data.read.header=0 if the first "
                "row names the columns."
            )
    levels = {at: list(found) for at, found in texts.items()}
    names = source.unique
    return Table(
        inputs,
        targets,
        ([names[at] for at in columns.inputs], [names[at] for at in columns.targets]),
        {position: levels[at] for position, at in enumerate(columns.inputs) if at in levels},
        levels.get(columns.targets[0]) if columns.targets else None,
        np.array(levels[split[0]])[words[:, 0].astype(np.intp)] if split else None,
        dropped,
    )


def _check(
    source: Source,
    columns: Columns,
    file: str,
    frame: pd.DataFrame,
    block: pd.DataFrame,
    required: Sequence[int],
) -> None:
    """Raise ConfigError for an invalid value of `block`; `frame` has the values as read."""
    gap = "write data.missing=drop to leave out rows with missing values"
    if columns.trained:
        only = "the network is trained without missing values; fill it in"
        gap = only if source.frame is not None else f"{only}, or {gap}"
    new = block[[*columns.known]].ge([len(texts) for texts in columns.known.values()])
    for mask, what, advice in (
        (block[[*required]].isna(), "no value", gap),
        (block.abs() == np.inf, "no finite number ({})", "mend it or leave the row out"),
        (new, "{!r}", "no row that the network is trained on has this value"),
    ):
        found = np.argwhere(mask.to_numpy().T)  # by column, then by row
        if len(found):
            at, row = int(mask.columns[found[0, 0]]), mask.index[found[0, 1]]
            if advice is gap and at in columns.inputs and not columns.trained:
                advice += ", or data.missing=mean or median to fill them in"
            raise ConfigError(
                f"{file} holds {what.format(text_of(frame.at[row, at]))} in column "
                f"{source.names[at]!r}, row {row}: {advice}."
            )


def _not_numbers(
    source: Source, columns: Columns, file: str, frame: pd.DataFrame
) -> tuple[list[int], list[str]]:
    """Return the columns to read as categories, and messages for others that contain text.

    Without `columns.auto`, every column that contains text gets a message.
    """
    numbers = [at for at in (*columns.inputs, *columns.targets) if at not in columns.text]
    masks = {at: _text_cells(frame[at], source) for at in numbers}
    masks = {at: mask for at, mask in masks.items() if mask.any()}
    rows = {at: mask.idxmax() for at, mask in masks.items()}
    cells = {at: text_of(frame.at[row, at]) for at, row in rows.items()}
    hints = number_hints(cells, source.read)
    likely = [
        at
        for at, mask in masks.items()
        if at in columns.inputs and at not in hints
        if mask.sum() >= MOSTLY * frame[at].notna().sum()
    ]
    alike: dict[str, list[int]] = {}
    for at in cells:
        if not (columns.auto and at in likely):
            advice = hints.get(at) or _advice(source, columns, cells, at, likely)
            alike.setdefault(advice, []).append(at)
    messages = []
    for advice, (at, *others) in alike.items():
        more = f" (and in {len(others)} other column{'s' * (len(others) > 1)})" if others else ""
        messages.append(
            f"{file} holds {cells[at]!r} in column {source.names[at]!r}, row "
            f"{rows[at]}{more}: it must be a number; {advice}."
        )
    return (likely if columns.auto else []), messages


def _advice(
    source: Source, columns: Columns, cells: Mapping[int, str], at: int, likely: Sequence[int]
) -> str:
    if columns.trained:
        return "the network is trained on numbers in this column; mend it, or leave the row out"
    if at in columns.targets:
        return "if it is the label of a class, write data.one_hot=true"
    if at not in likely:
        return "mend it, or leave the column out with data.inputs=all and data.drop"
    advice = (
        "for one column a value write data.categories=auto; to leave out what holds text, "
        f"data.inputs=all {drop_advice(source, [*columns.dropped, *likely])}"
    )
    for one in likely:
        if cells[one].lower() in SPLITTING:
            advice += f"; to split by it, 'data.validation={quoted(source.names[one])}'"
    return advice


def _text_cells(column: pd.Series[Any], source: Source) -> pd.Series[bool]:
    """Return a mask of the cells that are neither numbers nor missing."""
    import pandas as pd

    kind = column.dtype.kind
    if kind in "iuf":
        return pd.Series(False, column.index)
    if kind in "bcmM":  # truth values, complex numbers, durations and dates
        return column.notna()
    truth = column.map(lambda cell: isinstance(cell, bool)).astype(bool)
    return column.notna() & (np.isnan(_floats(column, source)) | truth)


def _floats(column: pd.Series[Any], source: Source) -> Array:
    """Return a column's numbers, shape (rows,); NaN where a cell is no number."""
    import pandas as pd

    marks = plain_numbers(source.read)
    if marks and column.dtype.kind == "O":  # cells that read_csv did not convert
        column = column.map(lambda cell: cell.translate(marks) if isinstance(cell, str) else cell)
    numbers = pd.to_numeric(column, errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan))


def _codes(column: pd.Series[Any], texts: dict[str, int]) -> Array:
    """Return a column's codes, shape (rows,); new texts are added to `texts`."""
    import pandas as pd

    # factorize codes a missing value as -1, which selects the final NaN
    positions, found = pd.factorize(column.map(text_of, na_action="ignore"))
    codes = [texts.setdefault(text, len(texts)) if text else np.nan for text in found]
    return np.array([*codes, np.nan])[positions]


def text_of(value: Any) -> str:
    """Return a label or category as text, stripped; an integer value without a decimal point."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace").strip()
    if isinstance(value, Number) and not isinstance(value, NO_FLOATS):
        if float(value).is_integer():  # type: ignore[arg-type]
            return str(int(value))  # type: ignore[call-overload]
    return str(value).strip()
