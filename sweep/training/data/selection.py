"""Select the columns of a data file, and the rows for training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError
from sweep.training.data.files import Source
from sweep.training.data.formats import UNNAMED, quoted

TRAINED = ("train", "training", "0", "false", "no")
KEPT_BACK = ("validation", "valid", "val", "dev", "1", "true", "yes")
TESTED = ("test", "testing", "holdout")
SPLITTING = (*TRAINED[:2], *KEPT_BACK[:4], *TESTED)
"""Texts that are very likely the part of a split."""

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """Chosen columns of a source, by position; no duplicates among inputs or targets."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    text: frozenset[int] = frozenset()  # read as text: labels, categories, the split column
    split: int | None = None  # contains the part (training, validation, test) of each row
    auto: bool = False  # inputs that hold text become categories
    dropped: tuple[int, ...] = ()  # by `drop`
    trained: bool = False  # inputs for a trained network
    known: Mapping[int, Sequence[str]] = field(default_factory=dict)  # category -> known texts


def choose(source: Source, config: Mapping[str, Any]) -> Columns:
    """Select columns by `inputs`, `targets`, `drop`, `categories` and `validation`."""
    targets = _positions(source, config["targets"], "data.targets")
    if config["one_hot"] and len(targets) != 1:
        raise ConfigError(f"data.targets={config['targets']}: one_hot needs exactly one column.")
    given = config["drop"] not in (None, [])
    dropped = _positions(source, config["drop"], "data.drop") if given else []
    validation = config["validation"]
    split = source.groups.get(validation.strip(), ()) if isinstance(validation, str) else ()
    if config["inputs"] == "all" and "all" not in source.groups:
        inputs = _all_but(source, {*targets, *dropped, *split}, dropped)
    else:
        inputs = _positions(source, config["inputs"], "data.inputs")
    for what, others in (("data.targets", targets), ("data.drop", dropped), ("validation", split)):
        for at in {*inputs} & {*others}:
            raise ConfigError(
                f"data.inputs has the column {source.names[at]!r}, which {what} names too."
            )
    named = config["categories"]
    auto = named == "auto"
    categories = _positions(source, named, "data.categories") if named and not auto else []
    for at in {*categories} - {*inputs}:
        raise ConfigError(f"data.categories has {source.names[at]!r}, which is no input.")
    text = frozenset([*categories, *split, *(targets if config["one_hot"] else ())])
    part = split[0] if split else None
    return Columns(tuple(inputs), tuple(targets), text, part, auto, tuple(dropped))


def _positions(source: Source, value: Any, what: str) -> list[int]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or not all(type(one) in (str, int) for one in items):
        raise ConfigError(
            f"{what}={value}: with data.file it must be a list of columns, by name or "
            f"position; as data.inputs=all 'data.targets=[{quoted(source.names[-1])}]'."
        )
    second = "" if source.key == "data.file" else f"{source.key}={source.paths[0].name}: column "
    found = [at for one in items for at in source.positions(one, f"{second or what + '='}{one}")]
    for at in found:
        if found.count(at) > 1:
            raise ConfigError(f"{what} has the column {source.names[at]!r} twice: name it once.")
    return found


def _all_but(source: Source, others: set[int], dropped: Sequence[int]) -> list[int]:
    """Return all columns except `others` and index columns."""
    index = source.read.get("index_col")
    for one in index if isinstance(index, list) else [] if index is None else [index]:
        others |= set(source.positions(one, f"data.read.index_col={one}"))
    inputs = [at for at in range(len(source.names)) if at not in others]
    if not inputs:
        raise ConfigError("data.inputs is all: no column is left beside the targets.")
    file, names = source.paths[0].name, [source.names[at] for at in inputs]
    unnamed = [at for at in inputs if source.names[at].startswith(UNNAMED)]
    if unnamed:
        at, *more = unnamed
        which = f"column {at} of {file} has no name. If it"
        if more:
            which = f"columns {', '.join(map(str, unnamed))} of {file} have no name. If the first"
        raise ConfigError(
            f"data.inputs is all: {which} numbers the rows, write data.read.index_col="
            f"{source.written(at)}; to leave {'them' if more else 'it'} out, "
            f"{drop_advice(source, [*dropped, *unnamed])}."
        )
    doubled = [at for place, at in enumerate(inputs, 1) if source.names[at] in names[place:]]
    if doubled:
        raise ConfigError(
            f"data.inputs is all: {file} has two columns named {source.names[doubled[0]]!r}; leave "
            f"one out by its position, as {drop_advice(source, [*dropped, *doubled])}, or write "
            "data.read.header=null if the first row is data."
        )
    return inputs


def drop_advice(source: Source, columns: Sequence[int]) -> str:
    """Return the override that drops columns."""
    return f"'data.drop=[{','.join(map(source.written, columns))}]'"


def random_rows(rows: int, config: Mapping[str, Any]) -> Rows:
    """Return a mask of the training rows, shape (rows,).

    Validation rows are the share `validation`, or part `fold` of `folds`, of a permutation drawn
    with `split_seed`. Sizes of the parts differ by at most one row.
    """
    folds, share = config["folds"], config["validation"]
    kept = np.ones(rows, dtype=np.bool_)
    if not folds and not share:
        return kept
    order = np.random.default_rng(config["split_seed"]).permutation(rows)
    if folds:
        if folds > rows:
            raise ConfigError(f"data.folds={folds}: the data has fewer rows ({rows}).")
        kept[np.array_split(order, folds)[config["fold"]]] = False
        return kept
    count = max(1, round(rows * share))
    if count >= rows:
        raise ConfigError(f"data.validation={share}: it leaves no row of {rows} to train on.")
    kept[order[:count]] = False
    return kept


def column_rows(values: npt.NDArray[np.str_], column: str) -> tuple[Rows, Rows]:
    """Return masks of the training and the validation rows, shape (rows,) each.

    Test rows are used for validation if there are no validation rows, else they are unused.
    """
    words = np.char.lower(values)
    strange = ~np.isin(words, (*TRAINED, *KEPT_BACK, *TESTED))
    if strange.any():
        raise ConfigError(
            f"data.validation={column}: a row has {str(values[strange][0])!r}; write train, "
            "validation or test, or 0 and 1, in this column."
        )
    kept, others = np.isin(words, TRAINED), np.isin(words, KEPT_BACK)
    if not others.any():
        others = np.isin(words, TESTED)
    for rows, what in ((kept, "train on"), (others, "keep back")):
        if not rows.any():
            raise ConfigError(f"data.validation={column}: it names no row to {what}.")
    return kept, others
