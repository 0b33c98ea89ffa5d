"""Events that a driver yields while it trains trajectories."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.engine.plan import Cell, Trajectory
from sweep.training.curve import CurveSlice
from sweep.training.history import RunResult
from sweep.training.surroundings import Failure

__all__ = ["Charted", "Ended", "Event", "Failure", "Noted", "Printed", "Progressed", "Started"]


@dataclass(frozen=True)
class Started:
    """The first slice of a trajectory was submitted."""

    trajectory: Trajectory


@dataclass(frozen=True)
class Progressed:
    """Iterations were trained, each counted once."""

    iterations: int


@dataclass(frozen=True)
class Charted:
    """New curve points of cells that are still in training."""

    cells: tuple[Cell, ...]
    part: CurveSlice


@dataclass(frozen=True)
class Noted:
    """A message for the user, one sentence."""

    sentence: str


@dataclass(frozen=True)
class Printed:
    """Lines that the training of a cell has printed."""

    cell: Cell
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """A cell has a result or a failure."""

    cell: Cell
    outcome: RunResult | Failure


Event = Started | Progressed | Charted | Noted | Printed | Ended
