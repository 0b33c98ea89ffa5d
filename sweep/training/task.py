"""What travels between the driver and its workers: tasks and results; plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from sweep.training.curve import CurveSlice, Landmarks
from sweep.training.surroundings import Failure

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec

Weights = Mapping[str, Any]


@dataclass(frozen=True)
class Saved:
    """Where a trajectory can go on from, with its training time and what it has printed."""

    marks: Landmarks
    seconds: float
    trainer: Mapping[str, npt.NDArray[Any]]
    printed: str = ""


@dataclass(frozen=True)
class Item:
    """One trajectory of a task, from step 0 or from where an earlier training ended.

    `cuts` are the iteration counts at which a run ends, ascending; `max_seconds` is the training
    time from step 0 on at which the trajectory is ended; `environment` holds variables that are
    set while it trains.
    """

    spec: RunSpec
    cuts: tuple[int, ...]
    saved: Saved | None = None
    max_seconds: float = math.inf
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Advance a batch by a slice of about so many seconds.

    A worker goes on with a live training only where its next slice is `number` of `batch`. The
    `items` are all at one step; None where the worker has them.
    """

    batch: int
    number: int
    seconds: float
    items: tuple[Item, ...] | None


@dataclass(frozen=True)
class Snapshot:
    """Weights and a trainer's own metrics at a step, and the step from which nothing changes.

    With what `weights()` or `metrics()` raised, and the weights that early stopping keeps.
    """

    weights: Weights = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    stalled_at: int | None = None
    failure: Failure | None = None
    best: Weights | None = None


@dataclass(frozen=True)
class Part:
    """A stretch of a trajectory, and what was printed in it.

    `seconds` is the training time from step 0 to its end. Of trajectories that train in one batch
    each has its share: a call's time divided by the number of those that were under way.
    """

    curve: CurveSlice
    seconds: float
    snapshot: Snapshot | None  # at a cut point, or where the trajectory ends
    ended: bool = False  # no more is trained: diverged, stopped, or `max_seconds` have passed
    initial: bool = False  # `snapshot` is that of step 0
    printed: str = ""


@dataclass(frozen=True)
class SliceResult:
    """What a slice gave, for each trajectory of the batch.

    Each of the `parts` ends at a cut point or with the slice. A state is None where the trainer
    has none, or it is large and not due. `failure` is what the trainer raised after the parts.
    """

    parts: tuple[tuple[Part, ...], ...]
    states: tuple[Saved | None, ...]
    failure: Failure | None = None
