"""Validate values by a pydantic model; each message is one sentence with key and value.

Messages use the fields' descriptions. Import this module lazily: it loads pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from sweep.checks import did_you_mean, invalid_value, no_such_key, written
from sweep.config.spec import RUN_KEYS
from sweep.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Any, group: str = "") -> Model:
    """Return `values` as a model; `group` is empty for top-level keys.

    Raises ConfigError with one message for each invalid value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
    messages: dict[str, str] = {}
    owner: type[BaseModel]
    for one in found:
        key, owner, node, (name, *below) = group, model, values, (*one["loc"], "")
        while below and isinstance(node, Mapping) and (nested := _nested(owner, name)):
            key, owner, node = f"{key}.{name}".lstrip("."), nested, node.get(name)
            name, *below = below
        if not isinstance(node, Mapping):
            messages[key] = no_mapping(key, node, _keys(owner))
            continue
        key = f"{key}.{name}".lstrip(".")
        messages.setdefault(key, _message(owner, node, key, str(name), one["type"]))
    raise ConfigError(*messages.values())


def no_mapping(key: str, value: Any, keys: Sequence[str]) -> str:
    """Return the message for a group or node that is no mapping but `value`."""
    advice = f"it has the keys {', '.join(keys)}; write {key}.{keys[0]}=VALUE"
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        advice = f"several values are an axis: -m {key}={','.join(value)}"
    return invalid_value(key, value, advice)


def _keys(model: type[BaseModel]) -> list[str]:
    return [key for key, field in model.model_fields.items() if not field.exclude]


def _nested(model: type[BaseModel], name: Any) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    kind = None if field is None else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _message(
    model: type[BaseModel], values: Mapping[Any, Any], key: str, name: str, kind: str
) -> str:
    """Return the message for the invalid field `name`; `kind` is the type of pydantic's error."""
    fields = model.model_fields
    value = values.get(name)
    if kind == "extra_forbidden" or name not in fields:
        return no_such_key(key.rpartition(".")[0], name, _keys(model))
    advice = str(fields[name].description)
    number = _number(value) if isinstance(value, str) else None
    if number is not None and _accepts(model, {**values, name: number}, name):
        return (
            f'{key}="{value}": this is text where a number is due; write '
            f"{key}={str(value).strip()}, without quotes, or for a variable of the environment "
            f"'{key}=\"${{oc.decode:${{oc.env:NAME}}}}\"'."
        )
    items = value if isinstance(value, list) else [value]
    wrong = [one for one in items if not _accepts(model, {name: one}, name)]
    if items and not wrong and key.partition(".")[0] in RUN_KEYS:
        listed = ",".join(map(written, items))
        return invalid_value(key, value, f"{advice}; several values are an axis: -m {key}={listed}")
    if isinstance(value, int | float) and abs(value) > 1.7e308:
        advice += "; double precision ends at 1.8e308"
    hint = did_you_mean(str(wrong[0]), _literals(fields[name].annotation)) if wrong else ""
    return invalid_value(key, value, advice + hint)


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
    nested = [word for part in get_args(annotation) for word in _literals(part)]
    return nested or ([annotation] if isinstance(annotation, str) else [])
