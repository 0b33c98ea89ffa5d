"""Pydantic models of the configuration, one for each group; descriptions are advice in messages.

Import this module lazily: it loads pydantic.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from sweep.config.validation import validated

AUTO = "auto"
"""As first or last layer: take its size from the data."""


def _whole(value: Any) -> Any:
    """Return a float such as 1e5 as an int."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(_whole)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[Finite, Field(gt=0)]
Number = Annotated[Finite | None, Field(description="give a finite number")]
Size = Annotated[int, Field(ge=1)]
Activation = Literal["sigmoid", "tanh", "relu", "identity", "softmax"]
Flag = Annotated[bool, Field(description="write true or false")]
MaybeFlag = Annotated[bool | None, Field(description="write true or false")]
Texts = Annotated[list[str] | None, Field(description="give a list of texts")]
Character = Annotated[
    str | None, Field(min_length=1, max_length=1, description="give one character")
]


class Group(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Open(BaseModel):
    """A model of some keys of a node; other keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Run(Open):
    lr: Positive = Field(description="the learning rate must be a finite number above 0")
    iters: Whole = Field(ge=1, description="the iterations must be a whole number of at least 1")
    rule: Literal["notebook", "gradient", "fixed_bias"] | None = Field(
        description="the rule is one of notebook, gradient, fixed_bias, or null"
    )
    seed: Whole = Field(ge=0, description="the seed must be a whole number of at least 0")


class Stop(Group):
    error: Positive | None = Field(None, description="give a finite error above 0, or null")
    patience: Whole | None = Field(
        None, ge=1, description="give a whole number of iterations of at least 1, or null"
    )


class Backprop(Group):
    """The settings of the built-in trainer."""

    batch_size: Annotated[int, Field(ge=1)] | None = Field(
        None, description="give a whole number of at least 1, or null for all samples"
    )
    shuffle: bool = Field(True, description="say true or false")


class Init(Group):
    """How initial weights are drawn; each option belongs to some schemes only."""

    scheme: Literal["uniform", "normal", "xavier", "glorot", "he"] | None = Field(
        None, description="use uniform, normal, xavier, glorot or he"
    )
    low: Number = None
    high: Number = None
    mean: Number = None
    std: Positive | None = Field(None, description="give a finite number above 0")
    bias: Number = None


class Network(Group):
    """The group `network`; `training.network.Network.build` validates what depends on `layers`."""

    layers: list[Size | Literal["auto"]] = Field(
        min_length=2, description="give a list of at least two sizes, as [4,3,2]"
    )
    activation: Activation | list[Activation] = Field(
        "sigmoid",
        description="use sigmoid, tanh, relu, identity or softmax, or a list, one a weight layer",
    )
    loss: Literal["squared_error", "cross_entropy"] = Field(
        "squared_error", description="use squared_error or cross_entropy"
    )
    bias: Literal["shared", "per_neuron"] = Field("shared", description="use shared or per_neuron")
    weights: Any = None
    biases: Any = None
    init: Annotated[Init, BeforeValidator(lambda value: {} if value is None else value)] = Init(
        scheme=None, std=None
    )

    @field_validator("layers")
    @classmethod
    def _hidden_sizes(cls, layers: list[int | str]) -> list[int | str]:
        if AUTO in layers[1:-1]:
            raise ValueError(layers)
        return layers

    def arguments(self, inputs: int, outputs: int) -> dict[str, Any]:
        """Return the arguments of Network.build for data with so many inputs and outputs.

        They stand for `auto`; `init` replaces given weights and biases.
        """
        ends = {0: inputs, len(self.layers) - 1: outputs}
        layers = [ends[at] if size == AUTO else size for at, size in enumerate(self.layers)]
        init = self.init.model_dump(exclude_none=True)
        replaced = {"weights": None, "biases": None} if init and self.weights is not None else {}
        return {**self.model_dump(), **replaced, "layers": layers, "init": init or None}


class Read(Group):
    """Options of pandas.read_csv that are plain values; null is pandas' default."""

    model_config = ConfigDict(defer_build=True)  # rarely used

    sep: str | None = Field(
        None, min_length=1, description="give the text between two cells, as ';'"
    )
    header: Literal["infer", 0] | None = Field(
        "infer",
        description="write null where the first row holds data, 0 where it holds names; "
        "data.read.skiprows leaves out lines before it",
    )
    names: list[str] | None = Field(None, description="give a list of names, one a column")
    index_col: int | str | list[int | str] | None = Field(
        None, description="give the column that labels the rows, by name or position"
    )
    decimal: Character = Field(None, description="give the decimal point, one character")
    thousands: Character = Field(None, description="give the character between thousands")
    na_values: str | list[str | int | float] | dict[str, Any] | None = Field(
        None, description="give a list of texts that stand for a missing value"
    )
    keep_default_na: MaybeFlag = None
    true_values: Texts = None
    false_values: Texts = None
    encoding: str | None = Field(
        None, min_length=1, description="give a name as utf-8, latin-1 or utf-16"
    )
    encoding_errors: Literal["strict", "replace", "ignore"] | None = Field(
        None, description="use strict, replace or ignore"
    )
    comment: Character = Field(None, description="give the character that begins a comment")
    quotechar: Character = None
    quoting: int | None = Field(
        None, ge=0, le=3, description="give 0 (minimal), 1 (all), 2 (nonnumeric) or 3 (none)"
    )
    doublequote: MaybeFlag = None
    escapechar: Character = None
    skipinitialspace: MaybeFlag = None
    skiprows: int | list[int] | None = Field(None, description="give a number of lines or a list")
    skip_blank_lines: MaybeFlag = None
    nrows: int | None = Field(None, ge=1, description="give a number of rows")
    lineterminator: Character = None
    compression: Literal["infer", "gzip", "bz2", "zip", "xz"] | None = Field(
        None, description="use infer, gzip, bz2, zip or xz"
    )


class Data(Group):
    """The group `data`; the file's content is validated when it is read."""

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
    one_hot: Flag = False
    validation: Annotated[float, Field(ge=0, lt=1)] | str | None = Field(
        0.0,
        description="give a share from 0 to below 1, a column of data.file, or a second file",
    )
    folds: int | None = Field(None, ge=2, description="give a number of parts of at least 2")
    fold: int | None = Field(None, ge=0, description="give a part, from 0 on")
    split_seed: int | None = Field(
        None, ge=0, description="give a whole number of at least 0, or null for the seed"
    )

    def without_unset(self) -> dict[str, Any]:
        """Return the keys that are set, without options of `read` equal to pandas' default."""
        given = {key: value for key, value in self if key in self.model_fields_set}
        options = {
            key: value
            for key, value in (self.read or {}).items()
            if key not in Read.model_fields or value != ("infer" if key == "header" else None)
        }
        if options:
            validated(Read, options, "data.read")
        return {**given, **({"read": options or None} if "read" in given else {})}


class Sweeper(Open):
    """The node ``hydra.sweeper``; its axes and points are validated when they are parsed."""

    max_batch_size: int | None = Field(None, ge=1, description="give a whole number above 0")
    params: dict[str, Any] | None = Field(None, description="give a mapping, as {lr: '0.1,0.2'}")
    points: Any = None
    skip: Annotated[list[str], BeforeValidator(_listed)] = Field(
        [], description="give a list of conditions, as ['lr > 1 and iters > 1000']"
    )
    misfits: Literal["refuse", "skip"] = Field("refuse", description="use refuse or skip")
    samples: Whole | None = Field(None, ge=1, description="give a whole number above 0")
