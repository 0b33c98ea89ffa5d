"""The pydantic models of the configuration, one a group.

A field's description says what must hold; `validated` uses it for messages. Import this module
late, as it loads pydantic.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sweep.checks import invalid_value
from sweep.config.messages import field_message
from sweep.errors import ConfigErrors

__all__ = [
    "Control",
    "Data",
    "Network",
    "Read",
    "Run",
    "Tracking",
    "validated",
]

Model = TypeVar("Model", bound=BaseModel)

NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}$"
TAG = r"^\w[\w\-]*$"  # a bound within would take pydantic 70 ms to compile


def _whole(value: Any) -> Any:
    """Return a float such as 1e5 as an int."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _double(value: Any) -> Any:
    """Return an int as a float; one that overflows as infinity, which is invalid."""
    try:
        return float(value) if type(value) is int else value
    except OverflowError:
        return math.inf


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _name(value: Any) -> Any:
    """Refuse words that an id may be beside, and names that look like an id."""
    if isinstance(value, str) and re.match(r"(last|none|null)$|\d{8}-\d{6}-", value):
        raise ValueError(value)
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Positive = Annotated[float, BeforeValidator(_double), Field(gt=0, allow_inf_nan=False)]


_Text = Annotated[str, Field(min_length=1)] | None


class _Group(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Run(BaseModel):
    """The single values of a run; a user may add own keys."""

    model_config = ConfigDict(strict=True, extra="ignore")

    lr: Positive = Field(description="the learning rate must be a finite number above 0")
    iters: Whole = Field(ge=1, description="the iterations must be a whole number of at least 1")
    rule: Literal["notebook", "gradient", "fixed_bias"] | None = Field(
        description="the rule is one of notebook, gradient, fixed_bias, or null"
    )
    seed: int = Field(ge=0, description="the seed must be a whole number of at least 0")


class Stop(_Group):
    """The group `stop`."""

    error: Positive | None = Field(None, description="give a finite error above 0, or null")
    patience: Whole | None = Field(
        None, ge=1, description="give a whole number of iterations of at least 1, or null"
    )


class Network(_Group):
    """The group `network`; Network.build validates the values."""

    layers: Any = None
    activation: Any = "sigmoid"
    loss: Any = "squared_error"
    bias: Any = "shared"
    weights: Any = None
    biases: Any = None
    init: dict[str, Any] | None = Field(None, description="give a mapping, as {scheme: xavier}")

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of Network.build; `init` replaces given weights and biases."""
        given = self.model_dump()
        init = {key: value for key, value in (self.init or {}).items() if value is not None}
        replaced = {"weights": None, "biases": None} if init and self.weights is not None else {}
        return {**given, **replaced, "init": init or None}


class Read(_Group):
    """Options of pandas.read_csv that are plain values; null is pandas' own default."""

    sep: _Text = Field(None, description="give the text between two cells, as ';'")
    header: Literal["infer", 0] | None = Field(
        "infer",
        description="write null where the first row holds data, 0 where it holds names; "
        "data.read.skiprows leaves out lines before it",
    )
    names: list[str] | None = Field(None, description="give a list of names, one a column")
    index_col: int | str | list[int | str] | None = Field(
        None, description="give the column that labels the rows, by name or position"
    )
    decimal: _Text = Field(None, description="give the decimal point, one character")
    thousands: _Text = Field(None, description="give the character between thousands")
    na_values: str | list[str | int | float] | dict[str, Any] | None = Field(
        None, description="give a list of texts that stand for a missing value"
    )
    keep_default_na: bool | None = Field(None, description="write true or false")
    true_values: list[str] | None = Field(None, description="give a list of texts")
    false_values: list[str] | None = Field(None, description="give a list of texts")
    encoding: _Text = Field(None, description="give a name as utf-8, latin-1 or utf-16")
    encoding_errors: Literal["strict", "replace", "ignore"] | None = Field(
        None, description="use strict, replace or ignore"
    )
    comment: _Text = Field(None, description="give the character that begins a comment")
    quotechar: _Text = Field(None, description="give one character")
    quoting: Annotated[int, Field(ge=0, le=3)] | None = Field(
        None, description="give 0 (minimal), 1 (all), 2 (nonnumeric) or 3 (none)"
    )
    doublequote: bool | None = Field(None, description="write true or false")
    escapechar: _Text = Field(None, description="give one character")
    skipinitialspace: bool | None = Field(None, description="write true or false")
    skiprows: int | list[int] | None = Field(None, description="give a number of lines or a list")
    skip_blank_lines: bool | None = Field(None, description="write true or false")
    nrows: Annotated[int, Field(ge=1)] | None = Field(None, description="give a number of rows")
    lineterminator: _Text = Field(None, description="give one character")
    compression: Literal["infer", "gzip", "bz2", "zip", "xz"] | None = Field(
        None, description="use infer, gzip, bz2, zip or xz"
    )


class Data(_Group):
    """The group `data`; what the file holds is checked where it is read."""

    inputs: Any = None
    targets: Any = None
    file: str | None = Field(None, description="give the path of a data file, or a pattern")
    read: dict[str, Any] | None = Field(None, description="give a mapping, as {sep: ';'}")
    drop: list[str | int] | str | int | None = Field(
        None, description="give a list of columns to leave out of data.inputs=all"
    )
    missing: Literal["drop", "mean", "median"] | None = Field(
        None, description="use drop, mean or median, or null to refuse missing values"
    )
    categories: list[str | int] | str | None = Field(
        None, description="use auto, or a list of columns, or null to refuse text"
    )
    standardize: bool | Literal["all"] = Field(False, description="use true, false or all")
    one_hot: bool = Field(False, description="write true or false")
    validation: Annotated[float, Field(ge=0, lt=1)] | str | None = Field(
        0.0,
        description="give a share from 0 to below 1, a column of data.file, or a second file",
    )
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="give a number of parts of at least 2"
    )
    fold: Annotated[int, Field(ge=0)] | None = Field(None, description="give a part, from 0 on")
    split_seed: Annotated[int, Field(ge=0)] | None = Field(
        None, description="give a whole number of at least 0, or null for the seed"
    )

    def without_unset(self) -> dict[str, Any]:
        """Return what is set: options of `read` at pandas' own default say nothing."""
        given = {key: value for key, value in self if key in self.model_fields_set}
        read = validated(Read, self.read or {}, "data.read")
        options = {
            key: value
            for key, value in read
            if key in read.model_fields_set and value != ("infer" if key == "header" else None)
        }
        return {**given, **({"read": options or None} if "read" in given else {})}


class Tracking(_Group):
    """The group `tracking`."""

    kind: Literal["local", "server"] = Field(description="use local or server")
    experiment: Annotated[str, Field(pattern=r"\S", max_length=250)] = Field(
        description="give a name of 1 to 250 characters"
    )
    uri: str | None = Field(None, description="give the server's address")


class Control(BaseModel):
    """The keys of settings.Settings."""

    model_config = ConfigDict(strict=True, extra="ignore")

    outputs: Annotated[str, Field(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")] = Field(
        description="give the path of a folder"
    )
    name: Annotated[str, Field(pattern=NAME), BeforeValidator(_name)] | None = Field(
        None, description="give a name of letters, digits, '.', '_' and '-', which is no id"
    )
    note: str | None = Field(None, description="give a text")
    tags: (
        dict[Annotated[str, Field(pattern=TAG, max_length=100)], str | int | float | bool] | None
    ) = Field(
        None, description="give a mapping, as {paper: figure3}, whose keys have no dot or blank"
    )
    resume: str | None = Field(None, description="give `last`, or a sweep's id or name")
    reuse: bool = Field(False, description="write true or false")
    dry_run: bool = Field(False, description="write true or false")
    fail_fast: bool = Field(False, description="write true or false")
    max_seconds: Positive | None = Field(
        None, description="give a finite number of seconds above 0, or null for no limit"
    )
    model: Literal["best"] | None = Field(None, description="write best, or null for no model")
    metric: Annotated[str, Field(pattern=r"\S")] | None = Field(
        None, description="give the name of one of the runs' metrics"
    )
    mode: Literal["min", "max"] | None = Field(None, description="use min or max")
    repeats: list[str] | None = Field(None, description="list the axes, as [seed]")
    parent: Annotated[str | None, BeforeValidator(_text)] = None


def validated(model: type[Model], values: Any, group: str = "") -> Model:
    """Return `values` as a model.

    Parameters
    ----------
    group
        The key of the group; empty for top-level keys.

    Raises
    ------
    ConfigErrors
        One message for each invalid value.
    """
    if not isinstance(values, Mapping):
        raise ConfigErrors([invalid_value(group, values, f"choose one with {group}=NAME")])
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = {str(one["loc"][0]): one["type"] for one in error.errors(include_url=False)}
    raise ConfigErrors([field_message(model, values, group, *one) for one in wrong.items()])
