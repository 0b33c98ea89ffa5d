"""Which columns of a data file are used, and as what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.errors import ConfigError
from sweep.training.data.files import Source
from sweep.training.data.hints import quoted

__all__ = ["Columns", "choose"]


@dataclass(frozen=True)
class Columns:
    """Columns of a source, by position.

    Attributes
    ----------
    inputs, targets
        In their order, none twice.
    labels
        Whether the only target holds labels.
    split
        The column that says which rows are kept back, if there is one.
    categories
        Inputs that are categories; None where every text is to be one.
    trained
        Whether a network is trained already, so that nothing can be chosen any more.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    labels: bool
    split: int | None
    categories: frozenset[int] | None
    trained: bool = False

    def text(self) -> set[int]:
        """Return the columns that are read as text."""
        labels = self.targets if self.labels else ()
        split = () if self.split is None else (self.split,)
        return {*labels, *split, *(self.categories or ())}


def choose(source: Source, config: Mapping[str, Any]) -> Columns:
    """Return the columns that `inputs`, `targets`, `drop`, `categories` and `validation` name.

    Raises
    ------
    ConfigError
        A column that does not exist, stands twice, or is a target and an input.
    """
    names = source.names
    targets = _positions(source, config["targets"], "data.targets")
    labels = bool(config["one_hot"])
    if labels and len(targets) != 1:
        raise ConfigError(f"data.targets is {config['targets']}: one_hot needs exactly one column.")
    dropped = _positions(source, config["drop"], "data.drop") if config["drop"] else []
    split = config["validation"]
    by = source.groups.get(split.strip(), ()) if isinstance(split, str) else ()
    if config["inputs"] == "all" and "all" not in source.groups:
        inputs = _all_but(source, {*targets, *dropped, *by})
    else:
        inputs = _positions(source, config["inputs"], "data.inputs")
    for what, others in (("data.targets", targets), ("data.drop", dropped), ("validation", by)):
        for at in {*inputs} & {*others}:
            raise ConfigError(f"data.inputs has the column {names[at]!r}, which {what} names too.")
    kinds = config["categories"]
    if kinds == "auto":
        return Columns(tuple(inputs), tuple(targets), labels, by[0] if by else None, None)
    categories = _positions(source, kinds, "data.categories") if kinds else []
    for at in {*categories} - {*inputs}:
        raise ConfigError(f"data.categories has {names[at]!r}, which is no input.")
    return Columns(
        tuple(inputs), tuple(targets), labels, by[0] if by else None, frozenset(categories)
    )


def _positions(source: Source, value: Any, what: str) -> list[int]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or not all(type(one) in (str, int) for one in items):
        raise ConfigError(
            f"{what} is {value!r}: with data.file it must be a list of columns, by name or "
            f"position; as data.inputs=all 'data.targets=[{quoted(source.names[-1])}]'."
        )
    found = [at for one in items for at in source.positions(one, what)]
    for at in found:
        if found.count(at) > 1:
            raise ConfigError(f"{what} has the column {source.names[at]!r} twice: name it once.")
    return found


def _all_but(source: Source, others: set[int]) -> list[int]:
    """Return all columns but `others` and those that label the rows."""
    index = source.read.get("index_col")
    for one in index if isinstance(index, list) else [] if index is None else [index]:
        others |= set(source.positions(one, "data.read.index_col"))
    inputs = [at for at in range(len(source.names)) if at not in others]
    if not inputs:
        raise ConfigError("data.inputs is all: no column is left beside the targets.")
    file = source.paths[0].name
    for at in inputs:
        if source.names[at].startswith("Unnamed: "):
            raise ConfigError(
                f"data.inputs is all: column {at} of {file} has no name. If it numbers the rows, "
                f"write data.read.index_col={at}; to leave it out, data.drop=[{at}]."
            )
        if source.names.count(source.names[at]) > 1:
            raise ConfigError(
                f"data.inputs is all: {file} has two columns named {source.names[at]!r}; leave "
                f"one out by its position, as data.drop=[{at}]."
            )
    return inputs
