"""Validate single configuration values; each message is one sentence with the value."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.errors import ConfigError

Array = npt.NDArray[np.float64]


def known_keys(config: Mapping[Any, Any], known: Collection[str], what: str) -> None:
    """Raise ConfigError for the first unknown key of `config`."""
    for key in config:
        if key not in known:
            raise ConfigError(no_such_key(what, key, known))


def number(value: Any, what: str) -> float:
    """Return `value` as a float; raise ConfigError unless it is a finite number, and no bool."""
    if not isinstance(value, (bool, np.bool_)) and isinstance(value, numbers.Real):
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if math.isfinite(result):
            return result
    raise ConfigError(invalid_value(what, value, "give a finite number"))


def vector(value: Any, what: str) -> Array:
    """Return a list of finite numbers as an array of shape (n,); raise ConfigError otherwise."""
    items = _items(value, invalid_value(what, value, "give a list of numbers"))
    return np.array([number(item, f"{what}[{at}]") for at, item in enumerate(items)])


def table(value: Any, what: str) -> Array:
    """Return rows as an array of shape (rows, columns).

    Raises ConfigError unless all rows are equally long lists of finite numbers.
    """
    items = _items(value, invalid_value(what, value, "give a list of rows of numbers"))
    rows = [vector(row, f"{what}[{at}]") for at, row in enumerate(items)]
    if not rows or not len(rows[0]):
        raise ConfigError(invalid_value(what, value, "it holds no numbers"))
    for at, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ConfigError(
                f"{what}[{at}] has {len(row)} numbers where the first row has {len(rows[0])}."
            )
    return np.array(rows)


def _items(value: Any, message: str) -> Sequence[Any]:
    if isinstance(value, np.ndarray) and value.ndim:
        return list(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return value
    raise ConfigError(message)


def escaped(text: str) -> str:
    """Return `text` with lone surrogates (bytes of a name that are no UTF-8) escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def valid_text(text: str) -> None:
    """Raise ConfigError for lone surrogates."""
    shown = escaped(text)
    if shown != text:
        raise ConfigError(f"{shown}: this is no valid UTF-8; write another text, or rename a file.")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'lr'?`` if a known word is similar, else an empty string."""
    close = get_close_matches(str(word), list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def no_such_key(node: str, key: Any, known: Iterable[Any]) -> str:
    """Return the message for an unknown key of `node`, a dotted key: a similar key or all keys."""
    names = [str(name) for name in known]
    listed = f"; {node} has {', '.join(names)}." if names else f"; give {node} one whole value."
    return f"{node}.{key}: there is no such key{did_you_mean(str(key), names) or listed}"


def written(value: Any, text: Callable[[str], str] = str) -> str:
    """Return a value as one writes it on the command line; `text` is applied to texts."""
    if isinstance(value, list | tuple):
        return f"[{','.join(written(one, text) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{written(one, text)}' for key, one in value.items())}}}"
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def invalid_value(key: str, value: Any, advice: str) -> str:
    """Return the message for an invalid value: key and value as typed, then the advice."""
    shown = written(value, str if isinstance(value, str) else _quoted)
    if isinstance(value, str) and value in ("true", "false", "null"):
        shown = f'"{value}"'  # a string, not the literal
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return f"{key}={shown}: {advice}" + ("" if advice.endswith("?") else ".")


def _quoted(text: str) -> str:
    """Quote a text of a list or mapping that would be read as another value without quotes."""
    literal = r"|true|false|null|[-+]?[\d.]+(e[-+]?\d+)?"
    return f'"{text}"' if re.fullmatch(literal, text) else text


def plain_text(text: object) -> str:
    """Return text for a terminal, with control characters escaped."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text)
    )


def without_password(uri: str) -> str:
    """Return an address, or lines that hold addresses, without user and password."""
    return re.sub(r"//[^/\s]*@", "//", uri)
