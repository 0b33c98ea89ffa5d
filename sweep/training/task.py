"""What travels between the driver and its workers: tasks, results and failures; plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sweep.training.history import Part, Saved
from sweep.training.surroundings import Failure

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec

__all__ = ["Failure", "Item", "SliceResult", "Task"]


@dataclass(frozen=True)
class Item:
    """One trajectory of a task.

    Attributes
    ----------
    cuts
        The iteration counts at which a run ends, ascending, beyond `saved`.
    saved
        Where an earlier training ended; None for step 0.
    max_seconds
        Training time of the trajectory, from step 0 on, at which it is ended.
    environment
        Variables that are set while it trains.
    """

    spec: RunSpec
    cuts: tuple[int, ...]
    saved: Saved | None = None
    max_seconds: float = math.inf
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Advance a batch by a slice; plain values that any worker can be sent.

    Attributes
    ----------
    batch, number
        The batch, and which of its slices this is: a worker goes on with a live training only
        where that is its next slice.
    seconds
        How long to train, about.
    items
        The trajectories, all at one step; None where the worker has them.
    """

    batch: int
    number: int
    seconds: float
    items: tuple[Item, ...] | None


@dataclass(frozen=True)
class SliceResult:
    """What a slice gave, for each trajectory of the batch.

    Attributes
    ----------
    parts
        New parts of each trajectory, in order; each ends at a cut point or with the slice.
    states
        Where each can go on from; None where its trainer cannot, or the state is large and not
        due.
    failure
        What the trainer raised in this slice, after `parts`.
    """

    parts: tuple[tuple[Part, ...], ...]
    states: tuple[Saved | None, ...]
    failure: Failure | None = None
