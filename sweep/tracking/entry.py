"""What is to be written about a run, as one plain value that survives the process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.tracking.metrics import Point

__all__ = ["Entry"]


@dataclass(frozen=True)
class Entry:
    """The end of a run.

    Attributes
    ----------
    delivery
        Which attempt at which cell: tag ``sweep.delivery`` of the run, searched for before
        the run is created again.
    run_id
        None where the store could not be asked to create the run.
    sweep_id
        None for a single run.
    tags
        All tags of the run, the parent's id and the outcome among them.
    status
        FINISHED, FAILED or KILLED.
    start_time, end_time
        Milliseconds since the epoch.
    store
        Which store it is for (``Tracking.name``): several may share a folder of outputs.
    """

    delivery: str
    run_id: str | None
    sweep_id: str | None
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: tuple[Point, ...]
    status: str
    start_time: int
    end_time: int
    store: str = ""

    def to_json(self) -> bytes:
        """Return the entry as JSON; floats are exact."""
        values = dict(vars(self))  # not asdict, which copies each point: 3 ms a run
        values["metrics"] = [[point.key, point.value, point.step] for point in self.metrics]
        return json.dumps(values, allow_nan=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Entry:
        """Return the entry that `to_json` wrote.

        Raises
        ------
        ValueError
            It is not one.
        """
        values: dict[str, Any] = json.loads(content)
        try:
            points = tuple(Point(str(k), float(v), int(s)) for k, v, s in values.pop("metrics"))
            return cls(metrics=points, **values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not the end of a run: {error}") from error
