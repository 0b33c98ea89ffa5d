"""The plan of a sweep: its cells, and the trajectories that they share.

A plan is made before anything exists and holds all that is needed to finish the sweep
later: ``plan.json`` is its document.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sweep.config.spec import RunSpec, canonical, shown
from sweep.errors import RunFailed

__all__ = ["Cell", "Plan", "Trajectory", "cell_name", "counted", "new_id", "unique"]

PLAN_VERSION = 1
MAX_NAME = 200


@dataclass(frozen=True)
class Cell:
    """One point of the grid: one MLflow run.

    Attributes
    ----------
    index
        Position in the plan.
    overrides
        What Hydra composed it from.
    values
        The value of each swept key, in the order of the axes.
    planned
        The signature that plan.json has for it, where it was read from there.
    """

    index: int
    overrides: tuple[str, ...]
    values: Mapping[str, Any]
    spec: RunSpec
    number: int | None = None
    planned: str | None = None

    @property
    def signature(self) -> str:
        """The signature that its run must have."""
        return self.planned or self.spec.signature

    @property
    def job(self) -> int:
        """The number (``hydra.job.num``) under which it was composed, and runs."""
        return self.index if self.number is None else self.number

    @property
    def name(self) -> str:
        """The run's name, made from the swept axes."""
        return cell_name(self.values or {"lr": self.spec.lr, "iters": self.spec.iters})

    @property
    def key(self) -> str:
        """What tells this cell from the others: its configuration as one text."""
        return canonical([self.spec.config, self.spec.choices])

    def check(self, spec: RunSpec) -> None:
        """Refuse what a job composed for this cell, where it would train by something else.

        Raises
        ------
        RunFailed
            The data or the trainer's source has changed, or is another one where the job runs.
        """
        if spec.signature != self.signature:
            raise RunFailed(
                "The data or the trainer's source is not what the sweep was planned with; put it "
                "back, then resume=last."
            )

    def params(self) -> dict[str, str]:
        """Return the run's params: the contract's and every swept key."""
        swept = {key: shown(value) for key, value in self.values.items()}
        return {**swept, **self.spec.params()}

    def document(self) -> dict[str, Any]:
        """Return the cell as plan.json holds it."""
        return {
            "index": self.index,
            "number": self.job,
            "name": self.name,
            "overrides": list(self.overrides),
            "values": dict(self.values),
            "params": self.params(),
            "signature": self.spec.signature,
            "source": self.spec.trainer.source,
            "trajectory": self.spec.trajectory,
            "choices": dict(self.spec.choices),
            "config": dict(self.spec.config),
        }


@dataclass(frozen=True)
class Trajectory:
    """The training that its cells share: equal in everything but `iters`, which ascend."""

    cells: tuple[Cell, ...]

    @property
    def spec(self) -> RunSpec:
        """The specification of its longest run."""
        return self.cells[-1].spec

    @property
    def stops(self) -> tuple[int, ...]:
        """The distinct iteration counts at which a run ends, ascending."""
        return tuple(dict.fromkeys(cell.spec.iters for cell in self.cells))


@dataclass(frozen=True)
class Plan:
    """All cells of a sweep in the order of its grid, each once.

    Attributes
    ----------
    asked
        The number of grid points that were asked for, doubled ones included.
    base
        The caller's folder, which a relative data file is relative to.
    shared
        Whether a trajectory is trained once for all its runs; other launchers train each alone.
    default_axes
        Those of the axes that nobody named.
    doubled
        The name of each cell that was asked for several times -> how often.
    left_out
        Why grid points were left out -> how many.
    kept
        How the sweep runs, for `resume`: ``overrides`` and ``flags`` of its command.
    """

    cells: tuple[Cell, ...]
    axes: tuple[str, ...]
    asked: int
    command: str
    base: Path
    shared: bool = True
    default_axes: tuple[str, ...] = ()
    doubled: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def trajectories(self, cells: Sequence[Cell] | None = None) -> list[Trajectory]:
        """Group `cells` (default: all) by the training they share, in the grid's order."""
        groups: dict[Any, list[Cell]] = {}
        for cell in self.cells if cells is None else cells:
            spec = cell.spec
            key = spec.trajectory if self.shared and spec.trainer.shareable else cell.index
            groups.setdefault(key, []).append(cell)
        return [
            Trajectory(tuple(sorted(group, key=lambda cell: cell.spec.iters)))
            for group in groups.values()
        ]

    def iterations(self, cells: Sequence[Cell] | None = None) -> int:
        """Return the iterations to train, a shared trajectory counted once."""
        return sum(trajectory.stops[-1] for trajectory in self.trajectories(cells))

    def lines(self, cells: Sequence[Cell]) -> list[str]:
        """Return what is trained for `cells` with the axes, then a line for what was left out."""
        text = counted(len(self.cells), len(self.trajectories(cells)), self.iterations(cells))
        if self.asked > len(self.cells):
            text += f" ({self.asked} cells, {len(self.cells)} unique)"
        axes = [f"{key} (default)" if key in self.default_axes else key for key in self.axes]
        first = f"{text}, over {', '.join(axes)}" if axes else text
        return [first] + [
            f"Left out: {count} grid point{'' if count == 1 else 's'}, {reason}"
            for reason, count in self.left_out.items()
        ]

    @cached_property
    def _by_config(self) -> dict[str, Cell]:
        return {cell.key: cell for cell in self.cells}

    def find(self, spec: RunSpec) -> Cell | None:
        """Return the cell of this configuration, else one whose numbers are the same."""
        same = self._by_config.get(canonical([spec.config, spec.choices]))
        return same or next((cell for cell in self.cells if cell.signature == spec.signature), None)

    def document(self, sweep_id: str, experiment: str, created: str) -> dict[str, Any]:
        """Return the plan as plan.json holds it."""
        return {
            "version": PLAN_VERSION,
            "sweep_id": sweep_id,
            "command": self.command,
            "created": created,
            "axes": list(self.axes),
            "experiment": experiment,
            "base": str(self.base),
            "kept": dict(self.kept),
            "left_out": dict(self.left_out),
            "shared": self.shared and all(cell.spec.trainer.shareable for cell in self.cells),
            "cells": [cell.document() for cell in self.cells],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], specs: Mapping[int, RunSpec]) -> Plan:
        """Return the plan that plan.json holds, with those of its cells that `specs` describes.

        Parameters
        ----------
        specs
            Number of a cell -> its specification. It is the caller who makes it, from a
            configuration of today's: what the store holds is compared and never run.
        """
        cells = tuple(
            Cell(
                number,
                tuple(cell["overrides"]),
                cell["values"],
                specs[number],
                cell.get("number", number),
                cell.get("signature"),
            )
            for number, cell in enumerate(document["cells"])
            if number in specs
        )
        base = Path(document["base"])
        more = {key: document.get(key, {}) for key in ("kept", "left_out")}
        return cls(cells, tuple(document["axes"]), len(cells), document["command"], base, **more)


def counted(runs: int, trajectories: int, iterations: int) -> str:
    """Return ``12 runs, 3 trajectories, 300000 iterations``."""
    return ", ".join(
        f"{count} {one if count == 1 else many}"
        for count, one, many in (
            (runs, "run", "runs"),
            (trajectories, "trajectory", "trajectories"),
            (iterations, "iteration", "iterations"),
        )
    )


def unique(cells: Sequence[Cell]) -> Iterator[Cell]:
    """Yield the cells whose configuration did not come before, numbered anew."""
    seen: set[str] = set()
    numbers = itertools.count()
    for cell in cells:
        if cell.key not in seen:
            seen.add(cell.key)
            yield Cell(next(numbers), cell.overrides, cell.values, cell.spec, cell.job)


def cell_name(values: Mapping[str, Any]) -> str:
    """Return ``lr=0.05,iters=1000`` for the swept values, cut where MLflow would."""
    name = ",".join(f"{key}={shown(value)}" for key, value in values.items())
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def new_id() -> str:
    """Return a new id ``YYYYMMDD-HHMMSS-xxxx``: the clock, and a random part against its ties."""
    import secrets
    import time

    letters = "0123456789abcdefghjkmnpqrstvwxyz"
    tail = "".join(secrets.choice(letters) for _ in range(4))
    return time.strftime("%Y%m%d-%H%M%S-") + tail
