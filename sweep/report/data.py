"""The report's data: one table of a sweep's runs, and the error curve of each trajectory.

Nothing here drops a run. Artifacts that cannot be read (a run that was killed has none) are
missing values and named in `SweepData.unread`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from sweep.report.axes import Axis, axis_of
from sweep.report.curves import Frame, Trajectory, artifact, trajectories_of
from sweep.report.formats import FLOOR, joined

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["Frame", "SweepData", "outcome_of", "planned_value", "sweep_data"]

_OUTCOMES = {"FAILED": "failed", "KILLED": "interrupted", "FINISHED": "completed"}


@dataclass(frozen=True)
class SweepData:
    """A sweep as the report reads it.

    Attributes
    ----------
    keys
        lr, iters and the other swept keys, in the order of the plan.
    stored
        All runs in plan order; those without usable lr and iters are in no table.
    runs
        A row a run, then a row a missing grid point. Columns: ``run`` (None where missing),
        ``cell`` (its entry in the plan), ``name``, ``outcome``, ``lr``, ``iters``, ``error``
        (the final error, NaN where none), ``decisive`` (the same, with what is below the floor
        made equal), ``needed`` (iterations after which nothing changed), ``combination`` (a
        number for each combination of the keys other than lr and iters, in plan order).
    values
        The text of each swept key, a column a key, rows as in `runs`.
    """

    sweep: StoredSweep
    plan: Mapping[str, Any]
    keys: tuple[str, ...]
    stored: tuple[StoredRun, ...]
    runs: Frame
    values: Frame
    unread: list[str]

    @property
    def others(self) -> tuple[str, ...]:
        """Return the swept keys beside lr and iters."""
        return tuple(key for key in self.keys if key not in ("lr", "iters"))

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """Return each swept key with its values."""
        return {key: axis_of(key, self.values[key]) for key in self.keys}

    @cached_property
    def varying(self) -> tuple[Axis, ...]:
        """Return the keys that have more than one value."""
        return tuple(axis for axis in self.axes.values() if len(axis.values) > 1)

    @cached_property
    def started(self) -> Frame:
        """Return the rows of the runs."""
        return self.runs[self.runs.run.notna()]

    @cached_property
    def missing(self) -> Frame:
        """Return the rows of the grid points that no run was stored for."""
        return self.runs[self.runs.run.isna()]

    @cached_property
    def grid(self) -> Frame:
        """Return one row for each grid point: a completed run before any other."""
        first = self.runs.assign(none=self.runs.error.isna()).sort_values("none", kind="stable")
        return first.drop_duplicates(["lr", "combination", "iters"]).sort_index()

    @cached_property
    def ranked(self) -> Frame:
        """Return the rows with a final error, best first; ties by iterations, then as planned."""
        done = self.grid[self.grid.error.notna()]
        return done.sort_values(["decisive", "needed", "iters"], kind="stable")

    @property
    def best(self) -> Any:
        """Return the best row of all, None without any."""
        return None if self.ranked.empty else self.ranked.iloc[0]

    @cached_property
    def logarithmic(self) -> bool:
        """True where no final error is negative: they are compared by their logarithms."""
        return not bool((self.runs.error < 0).any())

    @cached_property
    def trajectories(self) -> list[Trajectory]:
        """Return the trajectories with their curves, in plan order; reads them once."""
        return trajectories_of(self.started, self.unread)

    def texts(self, names: Iterable[str]) -> list[list[str]]:
        """Return the texts of some keys for each row."""
        found: list[list[str]] = self.values[list(names)].to_numpy().tolist()
        return found

    def words(self, row: Any) -> str:
        """Return what a run is: lr=0.05, 1000 iterations, rule=gradient.

        Where nothing changed any more, the iterations that were needed.
        """
        words = [
            f"lr={self.values.lr[row.name]}",
            f"{row.needed} iteration{'' if row.needed == 1 else 's'}",
        ]
        if row.needed < row.iters:
            words[1] += f" (of {row.iters}; nothing changes after them)"
        if self.others:
            words.append(joined(self.others, self.values.loc[row.name, list(self.others)]))
        return ", ".join(words)


def sweep_data(sweep: StoredSweep, runs: Sequence[StoredRun]) -> SweepData:
    """Read a sweep's plan and the table of its runs.

    Parameters
    ----------
    sweep, runs
        As `sweep.tracking.read` gives them, runs in plan order.
    """
    unread: list[str] = []
    plan = artifact(sweep.plan, f"plan of sweep {sweep.sweep_id}", unread) or {}
    swept = [str(axis) for axis in plan.get("axes", ())]
    keys = tuple(dict.fromkeys(["lr", "iters", *swept]))
    rows, values = [], []
    for run, cell in _placed(runs, plan):
        texts = [planned_value(cell, key) or _param(run, key) for key in keys]
        lr, iters = _number(texts[0]), _whole(texts[1])
        if lr is None or iters is None:
            if run is not None:
                unread.append(f"params lr and iters of run {run.name}")
            continue
        rows.append(_row(run, cell, lr, iters))
        values.append([repr(lr), str(iters), *texts[2:]])
    columns = ("run", "cell", "name", "outcome", "lr", "iters", "error", "needed")
    table = pd.DataFrame(rows, columns=list(columns)).astype(
        {"run": object, "cell": object, "lr": float, "iters": object, "error": float}
    )
    texts_of = pd.DataFrame(values, columns=list(keys), dtype=object)
    table["decisive"] = table.error.where(table.error < 0, table.error.clip(lower=FLOOR))
    others = [list(row[2:]) for row in values]
    order = {json.dumps(other): None for other in others}
    ranks = {text: rank for rank, text in enumerate(order)}
    table["combination"] = [ranks[json.dumps(other)] for other in others]
    return SweepData(sweep, plan, keys, tuple(runs), table, texts_of, unread)


def outcome_of(run: StoredRun) -> str:
    """Return what became of a run; a run without the tag is judged by its status."""
    return run.outcome or _OUTCOMES.get(run.status, "unfinished")


def planned_value(cell: Mapping[str, Any], key: str) -> str:
    """Return the text of a dotted key of a planned cell; empty where it has none."""
    params = cell.get("params") or {}
    if key in params:
        return str(params[key])
    value: Any = cell.get("config") or {}
    for part in key.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return str((cell.get("values") or {}).get(key, ""))
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _placed(
    runs: Sequence[StoredRun], plan: Mapping[str, Any]
) -> list[tuple[StoredRun | None, Mapping[str, Any]]]:
    """Return every run with its cell of the plan, then every cell that has no run.

    A cell is known by name and signature, and by its count where the plan has several alike.
    """
    cells = [cell for cell in plan.get("cells", ()) if isinstance(cell, Mapping)]
    key = ["name", "signature"]
    planned = pd.DataFrame(
        [(str(c.get("name")), str(c.get("signature"))) for c in cells], columns=key
    )
    started = pd.DataFrame(
        [(run.name, run.tags.get("sweep.signature", "")) for run in runs], columns=key
    )
    for table in (planned, started):
        table["count"] = table.groupby(key).cumcount()
        table["at"] = table.index
    both: Frame = started.merge(planned, "outer", [*key, "count"], indicator=True)
    inside = {int(row.at_x): int(row.at_y) for row in both[both._merge == "both"].itertuples()}
    absent = sorted(int(at) for at in both[both._merge == "right_only"].at_y)
    # A second run of a cell has no cell of its own, but the same values.
    twins = {name: at for at, name in enumerate(zip(planned.name, planned.signature, strict=True))}
    found: list[tuple[StoredRun | None, Mapping[str, Any]]] = []
    for at, run in enumerate(runs):
        cell = inside.get(at, twins.get((run.name, run.tags.get("sweep.signature", ""))))
        found.append((run, {} if cell is None else cells[cell]))
    return found + [(None, cells[at]) for at in absent]


def _row(run: StoredRun | None, cell: Mapping[str, Any], lr: float, iters: int) -> tuple[Any, ...]:
    if run is None:
        return None, cell, str(cell.get("name", "")), "missing", lr, iters, math.nan, iters
    outcome = outcome_of(run)
    error = run.metrics.get("final_error", math.nan) if outcome == "completed" else math.nan
    if not math.isfinite(error):
        error = math.nan
    stalled = run.metrics.get("stalled_at", math.inf)
    needed = int(min(stalled, iters)) if stalled < iters else iters
    return run, cell, run.name, outcome, lr, iters, error, needed


def _param(run: StoredRun | None, key: str) -> str:
    return "" if run is None else run.params.get(key, "")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _whole(text: str) -> int | None:
    try:
        return int(text) if text.isdecimal() else int(float(text))
    except (ValueError, OverflowError):
        return None
