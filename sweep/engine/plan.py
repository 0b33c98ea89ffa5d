"""The plan of a sweep: its grid points, and the trajectories that they share.

It is made before anything is written, stored as ``plan.json``, and sufficient to resume the sweep.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sweep.config.spec import RunSpec, canonical, shown
from sweep.errors import ConfigError

PLAN_VERSION = 1
MAX_NAME = 200


@dataclass(frozen=True)
class Cell:
    """A grid point: one MLflow run."""

    index: int  # position in the plan
    overrides: tuple[str, ...]
    values: Mapping[str, Any]  # swept key -> value, in the order of the axes
    spec: RunSpec
    number: int | None = None  # hydra.job.num that it was composed with; None for `index`
    planned: str | None = None  # its signature in plan.json, if it was read from there

    @property
    def signature(self) -> str:
        return self.planned or self.spec.signature

    @property
    def job(self) -> int:
        """The ``hydra.job.num`` that it is composed and run with."""
        return self.index if self.number is None else self.number

    @property
    def name(self) -> str:
        """The run's name: the swept values, else lr and iters."""
        return cell_name(self.values or {"lr": self.spec.lr, "iters": self.spec.iters})

    @property
    def key(self) -> str:
        """Its configuration as canonical text, unique in a plan.

        A rule of null is resolved, and the settings of drawn weights are floats: 1 is 1.0.
        """
        network = {**self.spec.config["network"]}
        drawn = (network.get("init") or {}).items()
        network["init"] = {key: float(n) if isinstance(n, int) else n for key, n in drawn}
        config = {**self.spec.config, "rule": self.spec.rule, "network": network}
        return canonical([config, self.spec.choices])

    def params(self) -> dict[str, str]:
        """Return the run's MLflow params, swept keys included."""
        swept = {key: shown(value) for key, value in self.values.items()}
        return {**swept, **self.spec.params()}

    def document(self) -> dict[str, Any]:
        """Return the entry for plan.json."""
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
    """Grid points with equal configurations except for `iters`, in ascending order of it."""

    cells: tuple[Cell, ...]

    @property
    def spec(self) -> RunSpec:
        """The specification of its longest run."""
        return self.cells[-1].spec

    @property
    def stops(self) -> tuple[int, ...]:
        """The cut points, distinct and ascending."""
        return tuple(dict.fromkeys(cell.spec.iters for cell in self.cells))


@dataclass(frozen=True)
class Plan:
    """All grid points of a sweep, in the order of its grid."""

    cells: tuple[Cell, ...]
    axes: tuple[str, ...]
    asked: int  # requested grid points, including duplicates
    command: str
    base: Path  # the caller's folder, to which data files are relative
    shared: bool = True  # whether runs share trajectories; not with other launchers
    default_axes: tuple[str, ...] = ()
    doubled: Mapping[str, int] = field(default_factory=dict)  # name -> how often it was requested
    kept: Mapping[str, Any] = field(default_factory=dict)  # overrides and flags for `resume`
    left_out: Mapping[str, int] = field(default_factory=dict)  # reason -> number of grid points
    left_out_before: Mapping[str, int] = field(default_factory=dict)  # by earlier commands
    about: Mapping[str, Any] = field(default_factory=dict)  # name, note and tags, if set
    repeats: tuple[str, ...] = ()  # axes whose values repeat a grid point, such as seeds

    def point(self, cell: Cell) -> str:
        """Return the name that a grid point shares with its repeats."""
        kept = {key: value for key, value in cell.values.items() if key not in self.repeats}
        return cell_name(kept) or "all"

    def trajectories(self, cells: Sequence[Cell] | None = None) -> list[Trajectory]:
        """Group `cells` (default: all) into trajectories, in the order of the grid."""
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
        """Return the iterations to train, shared trajectories counted once."""
        return sum(trajectory.stops[-1] for trajectory in self.trajectories(cells))

    def lines(self, cells: Sequence[Cell]) -> list[str]:
        """Return a summary of the training of `cells`, and a line for each reason in `left_out`."""
        text = counted(len(self.cells), len(self.trajectories(cells)), self.iterations(cells))
        if self.asked > len(self.cells):
            text += f" ({self.asked} grid points, {len(self.cells)} unique)"
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
        """Return the grid point of this configuration, else one of equal signature."""
        found = self._by_config.get(Cell(0, (), {}, spec).key)
        return found or next((one for one in self.cells if one.signature == spec.signature), None)

    def document(
        self, sweep_id: str, experiment: str, created: str, question: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the content of plan.json; `question` is the metric that ranks runs."""
        # The points of two commands may be the same ones.
        now = {why: max(n, self.left_out_before.get(why, 0)) for why, n in self.left_out.items()}
        return {
            "version": PLAN_VERSION,
            "sweep_id": sweep_id,
            "command": self.command,
            "created": created,
            "axes": list(self.axes),
            "experiment": experiment,
            "base": str(self.base),
            "kept": dict(self.kept),
            "question": dict(question),
            "left_out": {**self.left_out_before, **now},
            "about": dict(self.about),
            "shared": self.shared and all(cell.spec.trainer.shareable for cell in self.cells),
            "cells": [cell.document() for cell in self.cells],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], specs: Mapping[int, RunSpec]) -> Plan:
        """Return the plan in a plan.json, with only the grid points in `specs` (by index).

        The caller builds `specs` from the current configuration, so that no code named in the
        store is executed.
        """
        cells = []
        for at, stored in enumerate(document["cells"]):
            if at in specs:
                overrides, number = tuple(stored["overrides"]), stored.get("number", at)
                signature = stored.get("signature")
                cells.append(Cell(at, overrides, stored["values"], specs[at], number, signature))
        base = Path(document["base"])
        more = {key: document.get(key, {}) for key in ("kept", "about")}
        more["left_out_before"] = document.get("left_out", {})
        axes, command = tuple(document["axes"]), document["command"]
        repeats = tuple((document.get("question") or {}).get("repeats", ()))
        return cls(tuple(cells), axes, len(cells), command, base, repeats=repeats, **more)


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
    """Yield the grid points without duplicates, with new indices.

    Raises ConfigError if two of them have one name for values of different types, as 1 and '1'.
    """
    first: dict[str, Cell] = {}
    values: dict[str, str] = {}
    for cell in cells:
        first.setdefault(cell.key, cell)
    for cell in first.values():
        found = canonical(cell.values)
        if values.setdefault(cell.name, found) != found:
            raise ConfigError(
                f"{cell.name}: two grid points have this name, with values that only their type "
                "tells apart, as 1 and '1'; leave one of them out."
            )
    for index, cell in enumerate(first.values()):
        yield Cell(index, cell.overrides, cell.values, cell.spec, cell.job)


def cell_name(values: Mapping[str, Any]) -> str:
    """Return ``lr=0.05,iters=1000`` for the swept values.

    More than MAX_NAME characters are cut, with a digest of the whole at the end.
    """
    name = ",".join(f"{key}={shown(value)}" for key, value in values.items())
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}…{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def new_id() -> str:
    """Return a new id ``YYYYMMDD-HHMMSS-xxxx``: local time and a random part."""
    letters = "0123456789abcdefghjkmnpqrstvwxyz"
    tail = "".join(secrets.choice(letters) for _ in range(4))
    return time.strftime("%Y%m%d-%H%M%S-") + tail
