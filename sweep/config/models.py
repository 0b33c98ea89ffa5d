"""What each group of a configuration can say, one model a group.

A field's description is what must hold of it; `validated` makes one sentence of it for each
mistake. Importing this module loads pydantic: it is imported where something is validated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sweep.checks import did_you_mean, no_such_key, told
from sweep.errors import ConfigErrors

__all__ = ["Control", "Network", "Run", "Sweeper", "Tracking", "validated"]

Model = TypeVar("Model", bound=BaseModel)


def _whole(value: Any) -> Any:
    """Return a float such as 1e5 as the whole number that it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _double(value: Any) -> Any:
    """Return a whole number that a float cannot hold as infinity, which is refused."""
    try:
        return float(value) if type(value) is int else value
    except OverflowError:
        return math.inf


Whole = Annotated[int, BeforeValidator(_whole)]
Positive = Annotated[float, BeforeValidator(_double), Field(gt=0, allow_inf_nan=False)]


class _Group(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Run(BaseModel):
    """The keys of a run that are single values; a user's own keys beside them are free."""

    model_config = ConfigDict(strict=True, extra="ignore")

    lr: Positive = Field(description="the learning rate must be a finite number above 0")
    iters: Whole = Field(ge=1, description="the iterations must be a whole number of at least 1")
    rule: Literal["notebook", "gradient", "fixed_bias"] | None = Field(
        description="the rule is one of notebook, gradient, fixed_bias, or null"
    )
    seed: int = Field(ge=0, description="the seed must be a whole number of at least 0")


class Network(_Group):
    """The group `network`; what sizes and values must fit is checked where it is built."""

    layers: Any = None
    activation: Any = "sigmoid"
    loss: Any = "squared_error"
    bias: Any = "shared"
    weights: Any = None
    biases: Any = None
    init: dict[str, Any] | None = Field(None, description="give a mapping, as {scheme: xavier}")

    def arguments(self) -> dict[str, Any]:
        """Return what the network is built from: `init` replaces given weights and biases."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        init = {key: value for key, value in (self.init or {}).items() if value is not None}
        replaced = {"weights": None, "biases": None} if init and self.weights is not None else {}
        return {**given, **replaced, "init": init or None}


class Tracking(_Group):
    """The group `tracking`."""

    kind: Literal["local", "server"] = Field(description="use local or server")
    experiment: Annotated[str, Field(pattern=r"\S", max_length=250)] = Field(
        description="give a name of 1 to 250 characters"
    )
    uri: str | None = Field(None, description="give the server's address")


class Sweeper(BaseModel):
    """What ``hydra.sweeper`` can say; the axes and points in it are read where they are parsed."""

    model_config = ConfigDict(strict=True, extra="ignore")

    max_batch_size: int | None = Field(None, ge=1, description="give a whole number above 0")
    params: dict[str, Any] | None = Field(None, description="give a mapping, as {lr: '0.1,0.2'}")
    points: Any = None
    skip: str | list[str] = Field(
        [], description="give a list of conditions, as ['lr > 1 and iters > 1000']"
    )
    misfits: Literal["refuse", "skip"] = Field("refuse", description="use refuse or skip")
    samples: Whole | None = Field(None, ge=1, description="give a whole number above 0")

    @property
    def conditions(self) -> list[str]:
        """Return the conditions that leave points out."""
        return [self.skip] if isinstance(self.skip, str) else self.skip


class Control(BaseModel):
    """The keys that say how a command runs."""

    model_config = ConfigDict(strict=True, extra="ignore")

    outputs: Annotated[str, Field(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")] = Field(
        description="give the path of a folder"
    )
    resume: str | None = Field(None, description="give `last` or a sweep's id")
    reuse: bool = Field(False, description="write true or false")
    dry_run: bool = Field(False, description="write true or false")
    fail_fast: bool = Field(False, description="write true or false")
    max_seconds: Positive | None = Field(
        None, description="give a finite number of seconds above 0, or null for no limit"
    )
    parent: Any = None


def validated(model: type[Model], values: Any, group: str = "") -> Model:
    """Return `values` as a model.

    Parameters
    ----------
    group
        The key that holds the values; empty for those at the top.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    if not isinstance(values, Mapping):
        raise ConfigErrors([told(group, values, f"choose one with {group}=NAME")])
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = {str(one["loc"][0]): one["type"] for one in error.errors(include_url=False)}
    raise ConfigErrors([_sentence(model, values, group, *one) for one in wrong.items()])


def _sentence(
    model: type[BaseModel], values: Mapping[Any, Any], group: str, name: str, kind: str
) -> str:
    fields = model.model_fields
    key = f"{group}.{name}" if group else name
    value = values.get(name)
    if kind == "extra_forbidden":
        return no_such_key(group, name, fields)
    advice = str(fields[name].description)
    number = _number(value) if isinstance(value, str) else None
    if number is not None and _accepts(model, {**values, name: number}, name):
        return (
            f'{key}="{value}": this is text where a number is due; write '
            f"{key}={str(value).strip()}, without quotes, or for a variable of the environment "
            f"'{key}=\"${{oc.decode:${{oc.env:NAME}}}}\"'."
        )
    if isinstance(value, list) and value and not any(isinstance(one, list) for one in value):
        listed = ",".join(map(str, value))
        return told(key, value, f"{advice}; several values are an axis: -m {key}={listed}")
    if isinstance(value, int | float) and abs(value) > 1.7e308:
        advice += "; double precision ends at 1.8e308"
    return told(key, value, advice + did_you_mean(str(value), _literals(fields[name].annotation)))


def _number(text: str) -> float | int | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _accepts(model: type[BaseModel], values: Mapping[Any, Any], name: str) -> bool:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return all(one["loc"][0] != name for one in error.errors(include_url=False))
    return True


def _literals(annotation: Any) -> list[str]:
    """Return the words that a field's type allows."""
    nested = [word for part in get_args(annotation) for word in _literals(part)]
    return nested or ([annotation] if isinstance(annotation, str) else [])
