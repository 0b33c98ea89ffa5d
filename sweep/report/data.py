"""The data of a report: tables of runs and grid points, and error curves."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.question import Question, last_change, question_of
from sweep.report.axes import LARGEST, Axis, axis_of, sparse
from sweep.report.curves import Frame, Trajectory, artifact, repeated, trajectories_of, typed_fields
from sweep.report.formats import counted, figure, joined, plain

if TYPE_CHECKING:
    from sweep.tracking.read import StoredRun, StoredSweep

OUTCOMES = {"FAILED": "failed", "KILLED": "interrupted", "FINISHED": "completed"}

PLAN = {"axes": list, "about": dict, "left_out": dict, "cells": list}
CELL = {"values": dict, "params": dict, "config": dict}
"""The fields of plan.json and of its grid points that a report reads, with their types."""

FEW = 20  # grid points that are always shown as a table

POINT = ["combination", "lr", "iters"]
"""The columns that identify a grid point."""


@dataclass(frozen=True)
class SweepData:
    """A stored sweep, prepared for the report.

    Attributes
    ----------
    question, metric
        What decides between runs, and the metric used for it in this sweep.
    swept, repeats
        lr, iters and the other swept keys, in plan order; the keys that only repeat a grid point.
    stored
        All runs in plan order; those without usable lr and iters are in no table.
    runs
        One row for each run and each missing planned run, in plan order; a deleted run is not
        missing. Columns: ``run`` (None if missing), ``cell`` (its entry in the plan), ``name``,
        ``outcome``, ``lr``, ``iters``, ``error`` (final error) and ``value`` (deciding metric;
        both NaN unless completed), ``needed`` (iterations after which nothing changed),
        ``combination`` (index of the combination of the keys other than lr, iters and repeats).
    values, metrics
        The swept keys as text, and all metrics except curves and weights; rows as in `runs`.
    unread
        Artifacts that cannot be read (a killed run has none); their values are missing.
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
    metrics: Frame
    unread: list[str]

    @property
    def keys(self) -> tuple[str, ...]:
        """The swept keys that define grid points."""
        return tuple(key for key in self.swept if key not in self.repeats)

    @property
    def others(self) -> tuple[str, ...]:
        """`keys` without lr and iters."""
        return tuple(key for key in self.keys if key not in ("lr", "iters"))

    @property
    def label(self) -> str:
        """The display name of the deciding metric."""
        return "final error" if self.metric == "final_error" else self.metric

    @property
    def heading(self) -> str:
        """`label` as the start of a title."""
        return "Final error" if self.metric == "final_error" else self.metric

    @property
    def subtitle(self) -> str:
        """The line below the title of each picture."""
        return f"sweep {plain(self.sweep.sweep_id)} · {counted(len(self.started), 'run')}"

    @cached_property
    def axes(self) -> dict[str, Axis]:
        return {key: axis_of(key, self.values[key]) for key in self.keys}

    @cached_property
    def varying(self) -> tuple[Axis, ...]:
        """The axes with more than one value."""
        return tuple(axis for axis in self.axes.values() if len(axis.values) > 1)

    @cached_property
    def started(self) -> Frame:
        """The rows of `runs` with a stored run."""
        return self.runs[self.runs.run.notna()]

    @cached_property
    def missing(self) -> Frame:
        """The rows of `runs` without a stored run."""
        return self.runs[self.runs.run.isna()]

    @cached_property
    def not_finite(self) -> Frame:
        """Metrics stored as nan, inf or -inf, as text; rows as in `started`."""
        return pd.DataFrame([run.not_finite() for run in self.started.run], self.started.index)

    @cached_property
    def metric_names(self) -> dict[str, str]:
        """The user's names of metrics by their names in the store, if they differ."""
        return {key: name for run in self.started.run for key, name in run.metric_names().items()}

    @cached_property
    def cells(self) -> Frame:
        """One row for each combination of swept values: the first run with a value, if any."""
        first = self.runs.assign(none=self.runs.value.isna()).sort_values("none", kind="stable")
        return first[~self.values.loc[first.index].duplicated()].sort_index()

    def decisive(self, values: Frame) -> Frame:
        """Return `values` as compared: see `Question.decisive`."""
        return values.map(lambda value: self.question.decisive(self.metric, value))

    @cached_property
    def logarithmic(self) -> bool:
        """True if values are compared by logarithm: all are positive, small is best."""
        positive = self.decisive(self.cells.value.dropna()) > 0
        return self.question.mode == "min" and bool(positive.all())

    @cached_property
    def grid(self) -> Frame:
        """One row for each grid point.

        ``value`` and ``error`` are means over its repeats. Columns in addition to those of `runs`
        (which are those of the first repeat with a value): ``n`` (repeats with a value), ``sd``,
        ``median``, ``low``, ``high``, ``diverged`` (number of diverged repeats) and ``decisive``
        (smaller is better; errors below the floor are equal).
        """
        most = LARGEST if self.repeats else np.inf  # means shall not overflow
        numbers = self.cells[["value", "error"]].clip(-most, most)
        cells = self.cells.assign(diverged=self.cells.outcome == "diverged", **numbers)
        found = cells.groupby(POINT, sort=False).agg(
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
        return table.assign(decisive=self.decisive(table.value))

    @cached_property
    def sparse(self) -> bool:
        """Whether a table of learning rates by iterations would be long and mostly empty."""
        rows = self.grid.groupby(["combination", "lr"]).ngroups
        few = len(self.ranked) <= FEW
        return not few and sparse(len(self.grid), rows, len(self.axes["iters"].values))

    @cached_property
    def ranked(self) -> Frame:
        """The grid points with a value, best first; those with a diverged repeat come last."""
        done = self.grid[self.grid.value.notna()]
        done = done.assign(unsafe=done.diverged > 0)
        return done.sort_values(["unsafe", "decisive", "needed", "iters"], kind="stable")

    @property
    def best(self) -> Any:
        """The best row of `ranked`; None if it is empty."""
        return None if self.ranked.empty else self.ranked.iloc[0]

    @property
    def best_words(self) -> str:
        """The best grid point as the last sentence of a description; empty if there is none."""
        best = self.best
        return "" if best is None else f" Best: {figure(best.value)} at {self.words(best)}."

    @cached_property
    def trajectories(self) -> list[Trajectory]:
        """The trajectories with their curves, in plan order."""
        return trajectories_of(self.started, self.unread)

    @cached_property
    def curves(self) -> list[Trajectory]:
        """The trajectories to draw: repeats are averaged, with a band."""
        return repeated(self.trajectories, self.runs) if self.repeats else self.trajectories

    def words(self, row: Any) -> str:
        """Return a run as text, with the iterations needed: lr=0.05, 1000 iterations."""
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
    """Read a sweep and its runs (in plan order); `question` is the plan's if None."""
    unread: list[str] = []
    stored = artifact(sweep.plan, f"plan of sweep {sweep.sweep_id}", unread)
    plan = typed_fields(stored or {}, PLAN, "plan.json", unread)
    question = question or question_of(plan)
    metric = question.deciding(runs)
    cells = [
        typed_fields(cell, CELL, f"plan.json cells.{index}", unread)
        for index, cell in enumerate(plan.get("cells", ()))
    ]
    at = pd.DataFrame({"at": [run.cell for run in runs], "number": range(len(runs))})
    at = at.merge(pd.DataFrame({"at": range(len(cells))}), "outer", "at")  # in plan order
    swept = tuple(dict.fromkeys(["lr", "iters", *map(str, plan.get("axes", ()))]))
    rows, values = [], []
    for index, number in at.itertuples(index=False):
        if index in sweep.deleted:
            continue
        run = None if math.isnan(number) else runs[int(number)]
        cell = cells[index] if index < len(cells) else {}
        params = run.params if run else {}
        lr, iters, *texts = (planned_value(cell, key) or params.get(key, "") for key in swept)
        numbers = _numbers(lr, iters)
        if numbers is None:
            unread += [f"params lr and iters of run {run.name}"] if run else []
            continue
        name = run.name if run else str(cell.get("name", ""))
        rows.append((run, cell, name, outcome_of(run), *numbers))
        values.append([repr(numbers[0]), str(numbers[1]), *map(_written, texts)])
    table = pd.DataFrame(rows, columns=["run", "cell", "name", "outcome", "lr", "iters"])
    table = table.astype({"run": object, "cell": object, "iters": object, "lr": float})
    texts_of = pd.DataFrame(values, columns=list(swept), dtype=object)
    metrics = pd.DataFrame([run.metrics if run else {} for run in table.run], table.index)
    ends = metrics.reindex(columns=list(dict.fromkeys(["final_error", metric]))).astype(float)
    ends = ends.where(np.isfinite(ends)).where(table.outcome == "completed")
    table["error"], table["value"] = ends["final_error"], ends[metric]
    table["needed"] = [
        iters if run is None or (step := last_change(run)) >= iters else int(step)
        for run, iters in zip(table.run, table.iters, strict=True)
    ]
    repeats = [key for key in question.repeats if key in swept[2:] and texts_of[key].nunique() > 1]
    others = [key for key in swept[2:] if key not in repeats]
    table["combination"] = texts_of.groupby(others, sort=False).ngroup() if others else 0
    metrics = metrics.filter(regex=r"^(?!weights/|(validation_)?error$)")
    keys, frames = (swept, tuple(repeats)), (table, texts_of, metrics)
    return SweepData(sweep, plan, question, metric, *keys, tuple(runs), *frames, unread)


def outcome_of(run: StoredRun | None) -> str:
    """Return the outcome of a run, derived from its status if it has no such tag."""
    return "missing" if run is None else run.outcome or OUTCOMES.get(run.status, "unfinished")


def planned_value(cell: Mapping[str, Any], key: str) -> str:
    """Return the value of a dotted key of a planned grid point as text; empty if it has none."""
    params = cell.get("params", {})
    if key in params:
        return str(params[key])
    value: Any = cell.get("config", {})
    for part in key.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return str(cell.get("values", {}).get(key, ""))
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _written(text: str) -> str:
    """Return the JSON of a list or mapping as one writes it: [auto,8,auto], {scheme:he}."""
    words = r'"(?!(?:true|false|null)")([A-Za-z_][\w.]*)"'
    return re.sub(words, r"\1", text) if text.startswith(("[", "{")) else text


def _numbers(lr: str, iters: str) -> tuple[float, int] | None:
    """Return lr and iters as numbers; None if they are not finite numbers."""
    try:
        rate, steps = float(lr), int(iters) if iters.isdecimal() else int(float(iters))
    except (ValueError, OverflowError):
        return None
    return (rate, steps) if math.isfinite(rate) else None
