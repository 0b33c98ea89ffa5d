"""What a plan says of a cell: any key of its configuration, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["planned_value"]


def planned_value(cell: Mapping[str, Any], axis: str) -> str:
    """Return the text of a key of a planned cell, dotted; empty where it has none."""
    params = cell.get("params") or {}
    if axis in params:
        return str(params[axis])
    value: Any = cell.get("config") or {}
    for part in axis.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
