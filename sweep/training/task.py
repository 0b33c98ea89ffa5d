"""Tasks and their results, sent between the driver and its workers; plain values."""

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
    """State of a trajectory to continue from, with its training time and printed output."""

    marks: Landmarks
    seconds: float
    trainer: Mapping[str, npt.NDArray[Any]]
    printed: str = ""


@dataclass(frozen=True)
class Item:
    """One trajectory of a task, from step 0 or from a saved state."""

    spec: RunSpec
    cuts: tuple[int, ...]  # the cut points, ascending
    saved: Saved | None = None
    max_seconds: float = math.inf  # of training since step 0
    environment: Mapping[str, str] = field(default_factory=dict)  # to set during training


@dataclass(frozen=True)
class Task:
    """Advance a batch by a slice of about `seconds`.

    A worker continues the training it keeps only if the next slice is `number` of `batch`. The
    `items` are all at one step; None if the worker has them.
    """

    batch: int
    number: int
    seconds: float
    items: tuple[Item, ...] | None


@dataclass(frozen=True)
class Snapshot:
    """Weights and a trainer's own metrics at a cut point or the end of a trajectory.

    `seconds` is the training time from step 0; in a batch the time of each call is divided equally
    among the trajectories in training. `printed` is the output since the last snapshot.
    """

    marks: Landmarks  # of the steps up to this one
    seconds: float
    ended: bool  # not trained further: diverged, stopped, or `max_seconds` passed
    weights: Weights = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    stalled_at: int | None = None  # the step from which no weight changes
    failure: Failure | None = None  # the exception of `weights()`, `metrics()` or `close()`
    best: Weights | None = None  # kept by early stopping
    printed: str = ""


@dataclass(frozen=True)
class Part:
    """What a slice adds to one trajectory.

    `initial` are the weights of step 0, if the trainer was built in this slice. The state is None
    if the trainer has none, or if it is large and not due.
    """

    curve: CurveSlice
    seconds: float
    snapshots: tuple[Snapshot, ...]
    state: Saved | None
    initial: Weights | None
    printed: str  # since the last snapshot


@dataclass(frozen=True)
class SliceResult:
    """Results of a slice for each trajectory of the batch.

    `failure` is the trainer's exception, raised after what the parts hold.
    """

    parts: tuple[Part, ...]
    failure: Failure | None = None


Reply = SliceResult | Failure | None
"""Of a worker; a Failure if no training could be built, None if it does not have the training."""
