"""One thing that differs, in words: what, what is stored, what came out, by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.checks import plain_text
from sweep.config.spec import canonical

__all__ = ["MISSING", "Difference", "different_leaves"]

LONGEST = 120


class _Missing:
    """What stands for a value that is not there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class Difference:
    """A value that is not what it should be.

    Attributes
    ----------
    what
        Its name: ``metric final_error``, ``curve.parquet error at step 10``.
    stored, expected
        The two values, or MISSING.
    source
        Where the expected value is from.
    """

    what: str
    stored: Any
    expected: Any
    source: str = "trained again"

    def __str__(self) -> str:
        text = f"{self.what}: stored {_shown(self.stored)}, {self.source} {_shown(self.expected)}"
        if _is_number(self.stored) and _is_number(self.expected):
            text += f" (off by {abs(self.stored - self.expected):.3g})"
        return plain_text(text)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf of nested mappings and lists with its path, ``network.layers.0``."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and value:
        for position, item in enumerate(value):
            yield from _flat(item, f"{path}.{position}")
    else:
        yield path, value


def different_leaves(
    what: str, stored: Any, expected: Any, source: str = "trained again"
) -> Iterator[Difference]:
    """Yield what differs between two trees of plain values; 1, 1.0 and true are three values."""
    ours, theirs = dict(_flat(expected)), dict(_flat(stored))
    for path in dict.fromkeys([*ours, *theirs]):
        pair = theirs.get(path, MISSING), ours.get(path, MISSING)
        if MISSING in pair or canonical(pair[0]) != canonical(pair[1]):
            yield Difference(f"{what} {path}".rstrip(), *pair, source)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
