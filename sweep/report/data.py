"""The report's data: one table of a sweep's runs, one of its grid points, and the error curves.

Nothing here drops a run. Artifacts that cannot be read (a run that was killed has none) are
missing values and named in `SweepData.unread`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.report.axes import Axis, axis_of
from sweep.report.curves import Frame, Trajectory, artifact, repeated, trajectories_of
from sweep.report.formats import FLOOR, joined
from sweep.tracking.question import Question, question_of

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["Frame", "SweepData", "outcome_of", "planned_value", "sweep_data"]

OUTCOMES = {"FAILED": "failed", "KILLED": "interrupted", "FINISHED": "completed"}

POINT = ["combination", "lr", "iters"]  # the columns that tell grid points apart

COLUMNS = ["run", "cell", "name", "outcome", "lr", "iters", "error", "value", "needed"]


@dataclass(frozen=True)
class SweepData:
    """A sweep as the report reads it.

    Attributes
    ----------
    question, metric
        What decides between runs, and the metric that does in this sweep.
    swept
        lr, iters and the other swept keys, in the order of the plan.
    repeats
        Those of them whose values repeat a grid point.
    stored
        All runs in plan order; those without usable lr and iters are in no table.
    runs
        A row a run, then a row a missing run. Columns: ``run`` (None where missing), ``cell``
        (its entry in the plan), ``name``, ``outcome``, ``lr``, ``iters``, ``error`` (the final
        error, NaN where none), ``value`` (the deciding metric, likewise), ``needed`` (iterations
        after which nothing changed), ``combination`` (a number for each combination of the keys
        other than lr, iters and repeats, in plan order).
    values
        The text of each swept key, a column a key, rows as in `runs`.
    """

    sweep: StoredSweep
    plan: Mapping[str, Any]
    question: Question
    metric: str
    swept: tuple[str, ...]
    repeats: tuple[str, ...]
    stored: tuple[StoredRun, ...]
    runs: Frame
    values: Frame
    unread: list[str]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys whose values make grid points."""
        return tuple(key for key in self.swept if key not in self.repeats)

    @property
    def others(self) -> tuple[str, ...]:
        """Return those beside lr and iters."""
        return tuple(key for key in self.keys if key not in ("lr", "iters"))

    @property
    def label(self) -> str:
        """Return the name of the deciding metric to show."""
        return "final error" if self.metric == "final_error" else self.metric

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """Return each key with its values."""
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
        """Return the rows that no run was stored for."""
        return self.runs[self.runs.run.isna()]

    @cached_property
    def metrics(self) -> Frame:
        """Return all metrics of the runs but curves and weights, rows as in `started`."""
        table = pd.DataFrame([run.metrics for run in self.started.run], self.started.index)
        return table.filter(regex=r"^(?!weights/|(validation_)?error$)")

    @cached_property
    def cells(self) -> Frame:
        """Return one row for each cell of the plan: a completed run before any other."""
        first = self.runs.assign(none=self.runs.value.isna()).sort_values("none", kind="stable")
        doubled = self.values.loc[first.index, list(self.swept)].duplicated()
        return first[~doubled].sort_index()

    @cached_property
    def grid(self) -> Frame:
        """Return one row for each grid point.

        ``value`` and ``error`` are means over its repeats. Beside the columns of `runs`, which
        are those of the first repeat that has a value, there are ``n`` (repeats with a value),
        ``sd``, ``median``, ``low``, ``high``, ``diverged`` (how many did) and ``decisive``
        (smaller is better; errors below the floor are equal).
        """
        diverged = self.cells.outcome == "diverged"
        groups = self.cells.assign(diverged=diverged).groupby(POINT, sort=False)
        found = groups.agg(
            value=("value", "mean"),
            error=("error", "mean"),
            needed=("needed", "max"),
            n=("value", "count"),
            sd=("value", "std"),
            median=("value", "median"),
            low=("value", "min"),
            high=("value", "max"),
            diverged=("diverged", "sum"),
        )
        first = self.cells.sort_values("none", kind="stable").drop_duplicates(POINT).sort_index()
        table = first.drop(columns=["value", "error", "needed"]).join(found, on=POINT)
        floor = FLOOR if self.metric.endswith("error") else -math.inf
        decisive = table.value.where(table.value < 0, table.value.clip(lower=floor))
        return table.assign(decisive=-table.value if self.question.mode == "max" else decisive)

    @cached_property
    def ranked(self) -> Frame:
        """Return the grid points with a value, best first; ties by iterations, then as planned.

        Points of which a repeat diverged come after all others.
        """
        done = self.grid[self.grid.value.notna()]
        done = done.assign(unsafe=done.diverged > 0)
        return done.sort_values(["unsafe", "decisive", "needed", "iters"], kind="stable")

    @property
    def best(self) -> Any:
        """Return the best row of all, None without any."""
        return None if self.ranked.empty else self.ranked.iloc[0]

    @cached_property
    def logarithmic(self) -> bool:
        """True where values are compared by their logarithms: none is negative, small is best."""
        return self.question.mode == "min" and not (self.ranked.decisive <= 0).any()

    @cached_property
    def trajectories(self) -> list[Trajectory]:
        """Return the trajectories with their curves, in plan order; reads them once."""
        return trajectories_of(self.started, self.unread)

    @cached_property
    def curves(self) -> list[Trajectory]:
        """Return the trajectories to draw: repeats as one, its curve their mean, with a band."""
        return repeated(self.trajectories, self.runs) if self.repeats else self.trajectories

    def texts(self, names: Iterable[str]) -> list[list[str]]:
        """Return the texts of some keys for each row."""
        found: list[list[str]] = self.values[list(names)].to_numpy().tolist()
        return found

    def words(self, row: Any) -> str:
        """Return what a run is, with the iterations needed: lr=0.05, 1000 iterations."""
        count = f"{row.needed} iteration{'' if row.needed == 1 else 's'}"
        if row.needed < row.iters:
            stopped = "stopped_at" in row.run.metrics
            why = "the run stopped there" if stopped else "nothing changes after them"
            count += f" (of {row.iters}; {why})"
        words = [f"lr={self.values.lr[row.name]}", count]
        if self.others:
            words.append(joined(self.others, self.values.loc[row.name, list(self.others)]))
        return ", ".join(words)


def sweep_data(
    sweep: StoredSweep, runs: Sequence[StoredRun], question: Question | None = None
) -> SweepData:
    """Read a sweep's plan and the table of its runs.

    Parameters
    ----------
    sweep, runs
        As `sweep.tracking.read` gives them, runs in plan order.
    question
        What decides between runs; None for what the plan says.
    """
    unread: list[str] = []
    plan = artifact(sweep.plan, f"plan of sweep {sweep.sweep_id}", unread) or {}
    question = question or question_of(plan)
    metric = question.deciding(runs)
    swept = tuple(dict.fromkeys(["lr", "iters", *map(str, plan.get("axes", ()))]))
    rows, values = [], []
    for run, cell in _placed(runs, plan):
        params = run.params if run else {}
        texts = [planned_value(cell, key) or params.get(key, "") for key in swept]
        numbers = _numbers(*texts[:2])
        if numbers is None:
            unread += [f"params lr and iters of run {run.name}"] if run else []
            continue
        lr, iters = numbers
        name = run.name if run else str(cell.get("name", ""))
        rows.append((run, cell, name, outcome_of(run), lr, iters, *_ended(run, metric, iters)))
        values.append([repr(lr), str(iters), *texts[2:]])
    table = pd.DataFrame(rows, columns=COLUMNS).astype(
        {"run": object, "cell": object, "iters": object}
        | {"lr": float, "error": float, "value": float}
    )
    texts_of = pd.DataFrame(values, columns=list(swept), dtype=object)
    repeated = [key for key in question.repeats if key in swept[2:] and len(set(texts_of[key])) > 1]
    others = [key for key in swept[2:] if key not in repeated]
    table["combination"] = texts_of.groupby(others, sort=False).ngroup() if others else 0
    keys = (swept, tuple(repeated))
    return SweepData(sweep, plan, question, metric, *keys, tuple(runs), table, texts_of, unread)


def outcome_of(run: StoredRun | None) -> str:
    """Return what became of a run; one without the tag is judged by its status."""
    return "missing" if run is None else run.outcome or OUTCOMES.get(run.status, "unfinished")


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
) -> Iterator[tuple[StoredRun | None, Mapping[str, Any]]]:
    """Yield every run with its cell of the plan, then every cell that has no run.

    A cell is known by name and signature, and by its count where the plan has several alike.
    """
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for cell in plan.get("cells", ()):
        if isinstance(cell, Mapping):
            key = str(cell.get("name")), str(cell.get("signature"))
            cells.setdefault(key, []).append(cell)
    used: Counter[tuple[str, str]] = Counter()
    for run in runs:
        key = run.name, run.tags.get("sweep.signature", "")
        own = cells.get(key, [{}])
        yield run, own[min(used[key], len(own) - 1)]
        used[key] += 1
    for key, own in cells.items():
        yield from ((None, cell) for cell in own[used[key] :])


def _ended(run: StoredRun | None, metric: str, iters: int) -> tuple[float, float, int]:
    """Return final error, deciding metric and the iterations until it stopped changing."""
    if run is None:
        return math.nan, math.nan, iters
    done = outcome_of(run) == "completed"
    error, value = (
        found if done and np.isfinite(found := run.metrics.get(name, math.nan)) else math.nan
        for name in ("final_error", metric)
    )
    ends = (run.metrics.get(name, math.inf) for name in ("stalled_at", "stopped_at"))
    return error, value, int(min(*ends, iters))


def _numbers(lr: str, iters: str) -> tuple[float, int] | None:
    """Return learning rate and iterations from their texts; None where they are none."""
    try:
        rate = float(lr)
        steps = int(iters) if iters.isdecimal() else int(float(iters))
    except (ValueError, OverflowError):
        return None
    return (rate, steps) if math.isfinite(rate) else None
