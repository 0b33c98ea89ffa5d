"""A run that this process has started and not ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.tracking.entry import Entry
from sweep.tracking.metrics import Point

__all__ = ["StartedRun"]

STATUS = {
    "completed": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
"""Outcome -> MLflow's status."""


@dataclass(frozen=True)
class StartedRun:
    """A run that this process has started and not ended.

    Attributes
    ----------
    run_id
        None while it was not created: not yet, or the store could not be reached.
    asked
        Whether the store was asked to create it.
    clock
        The monotonic clock at the start: the wall clock may be set meanwhile.
    shown
        Points of the curves that `show` has written, by metric and step.
    """

    run_id: str | None
    sweep_id: str | None
    delivery: str
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    start_time: int
    clock: float
    asked: bool = True
    shown: frozenset[tuple[str, int]] = frozenset()

    def entry(
        self, outcome: str, metrics: Sequence[Point] = (), tags: Mapping[str, str] = {}
    ) -> Entry:
        """Return the end of this run, now, without the points that are shown already."""
        return Entry(
            delivery=self.delivery,
            run_id=self.run_id,
            sweep_id=self.sweep_id,
            name=self.name,
            params=self.params,
            tags={**self.tags, **tags, "sweep.outcome": outcome},
            metrics=tuple(point for point in metrics if (point.key, point.step) not in self.shown),
            status=STATUS[outcome],
            start_time=self.start_time,
            end_time=self.start_time + round((time.monotonic() - self.clock) * 1000),
        )
