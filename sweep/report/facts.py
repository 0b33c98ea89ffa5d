"""Everything that the report says, read once from a stored sweep and its runs.

Nothing here computes a mean or drops a run. Artifacts that cannot be read (a run that was
killed has none) are missing values and named in `Facts.unread`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from sweep.report.thinning import thinned
from sweep.report.values import planned_value

if TYPE_CHECKING:
    from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["FLOOR", "Facts", "Line", "Missing", "Point", "facts_of", "outcome_of", "read_artifact"]

FLOOR = 1e-13
"""An output cannot come nearer to its target in double precision: sqrt(E) <= FLOOR is a tie."""

MANY_LINES = 100
"""From this many curves on, each is kept in fewer points."""

_OUTCOMES = {"FAILED": "failed", "KILLED": "interrupted", "FINISHED": "completed"}

T = TypeVar("T")
Curve = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Point:
    """One run as a point of the grid.

    `others` holds the values of the axes beside lr and iters, as text, in the order of
    `Facts.others`. `final_error` is None unless the run completed.
    """

    run: StoredRun
    order: int
    lr: float
    iters: int
    others: tuple[str, ...]
    outcome: str
    final_error: float | None
    trajectory: str = ""
    cell: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def value(self, axis: str) -> str:
        """Return the text of any key of the configuration, from the plan: MLflow cuts params."""
        return planned_value(self.cell, axis) or self.run.params.get(axis, "")

    @property
    def at_floor(self) -> bool:
        """Tell whether the final error is as small as double precision allows."""
        return self.final_error is not None and math.sqrt(abs(self.final_error)) <= FLOOR

    def metric(self, name: str) -> float | None:
        """Return a stored metric, None where the run has none."""
        value: float | None = self.run.metrics.get(name)
        return value

    def step(self, name: str) -> int | None:
        """Return a stored metric that is a step."""
        value = self.metric(name)
        return None if value is None or not math.isfinite(value) else int(value)


@dataclass(frozen=True)
class Line:
    """One trajectory: its runs by iterations, and the curve of the longest of them.

    `steps` and `errors` are thinned for drawing; `thresholds` are exact. `reach` is the
    last step that was trained. `validation` is the second curve as steps and errors, both
    empty where there is none.
    """

    lr: float
    others: tuple[str, ...]
    points: tuple[Point, ...]
    steps: npt.NDArray[np.int64]
    errors: npt.NDArray[np.float64]
    thresholds: Mapping[int, int | None]
    reach: int | None
    validation: Curve = field(default_factory=lambda: (np.empty(0, dtype=np.int64), np.empty(0)))

    @property
    def longest(self) -> Point:
        """Return the run with the most iterations."""
        return self.points[-1]


@dataclass(frozen=True)
class Missing:
    """A cell of the plan that no run was stored for."""

    name: str
    lr: float | None
    iters: int | None
    others: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """A sweep as the report sees it.

    `runs` are all of them, `points` those with a place in the grid, both in plan order; `grid`
    is the one run that stands for each grid point (a completed one before any other), `lines`
    are the trajectories, by their other axes and lr.
    """

    sweep: StoredSweep
    plan: Mapping[str, Any]
    others: tuple[str, ...]
    points: tuple[Point, ...]
    lines: tuple[Line, ...]
    missing: tuple[Missing, ...]
    runs: tuple[StoredRun, ...]
    unread: tuple[str, ...] = field(default=())

    @cached_property
    def grid(self) -> dict[tuple[float, tuple[str, ...], int], Point]:
        """Return the run of each grid point by (lr, others, iters)."""
        chosen: dict[tuple[float, tuple[str, ...], int], Point] = {}
        for point in self.points:
            key = (point.lr, point.others, point.iters)
            held = chosen.get(key)
            if held is None or held.final_error is None:
                chosen[key] = point
        return chosen

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """Return the learning rates, ascending, planned ones too."""
        planned = [cell.lr for cell in self.missing if cell.lr is not None]
        return tuple(sorted({*(p.lr for p in self.points), *planned}))

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Return the iteration counts, ascending, planned ones too."""
        planned = [cell.iters for cell in self.missing if cell.iters is not None]
        return tuple(sorted({*(p.iters for p in self.points), *planned}))

    @cached_property
    def panels(self) -> tuple[tuple[str, ...], ...]:
        """Return each combination of the other axes, in plan order."""
        seen = [p.others for p in self.points] + [cell.others for cell in self.missing]
        return tuple(dict.fromkeys(seen))

    @cached_property
    def completed(self) -> tuple[Point, ...]:
        """Return the grid points that have a final error, best first.

        Equal errors are ordered by fewer iterations, then as planned.
        """
        done = [(p.final_error, p.iters, p.order, p) for p in self.grid.values()]
        kept = [item for item in done if item[0] is not None]
        return tuple(item[-1] for item in sorted(kept, key=lambda item: item[:3]))

    @property
    def best(self) -> Point | None:
        """Return the run with the smallest final error."""
        return self.completed[0] if self.completed else None

    @property
    def cheapest(self) -> Point | None:
        """Return the run with the fewest iterations that is as good as the best."""
        tied = [p for p in self.completed if p.at_floor]
        return min(tied, key=lambda p: p.iters) if tied else self.best


def facts_of(sweep: StoredSweep, runs: Sequence[StoredRun]) -> Facts:
    """Read a sweep's plan and its runs' artifacts once.

    Parameters
    ----------
    sweep, runs
        As `sweep.tracking.read` gives them, runs in plan order.
    """
    unread: list[str] = []
    plan = read_artifact(sweep.plan, f"plan of sweep {sweep.sweep_id}", unread) or {}
    axes = [str(axis) for axis in plan.get("axes", ())]
    others = tuple(axis for axis in axes if axis not in ("lr", "iters"))
    cells = [cell for cell in plan.get("cells", ()) if isinstance(cell, Mapping)]
    planned = {(str(c.get("name")), str(c.get("signature"))): c for c in cells}
    points = []
    for order, run in enumerate(runs):
        cell = planned.get((run.name, run.tags.get("sweep.signature", "")), {})
        point = _point(run, order, others, cell)
        if point is None:
            unread.append(f"params lr and iters of run {run.name}")
        else:
            points.append(point)
    lines = _lines(points, unread)
    missing = _missing(cells, runs, others)
    return Facts(sweep, plan, others, tuple(points), lines, missing, tuple(runs), tuple(unread))


def outcome_of(run: StoredRun) -> str:
    """Return what became of a run; a run without the tag is judged by its status."""
    return run.outcome or _OUTCOMES.get(run.status, "unfinished")


def _point(
    run: StoredRun, order: int, others: tuple[str, ...], cell: Mapping[str, Any]
) -> Point | None:
    try:
        lr, iters = float(run.params["lr"]), int(float(run.params["iters"]))
    except (KeyError, ValueError, OverflowError):
        return None
    outcome = outcome_of(run)
    final = run.metrics.get("final_error") if outcome == "completed" else None
    if final is not None and not math.isfinite(final):
        final = None
    trajectory = str(cell.get("trajectory", ""))
    point = Point(run, order, lr, iters, (), outcome, final, trajectory, cell)
    return replace(point, others=tuple(point.value(axis) for axis in others))


def _lines(points: Iterable[Point], unread: list[str]) -> tuple[Line, ...]:
    groups: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        groups.setdefault((point.others, point.lr, point.trajectory), []).append(point)
    size = 600 if len(groups) <= MANY_LINES else 120
    return tuple(_line(group, size, unread) for group in groups.values())


def _line(group: Sequence[Point], size: int, unread: list[str]) -> Line:
    ordered = sorted(group, key=lambda p: (p.iters, p.final_error is not None))
    steps, errors = np.empty(0, dtype=np.int64), np.empty(0)
    thresholds: Mapping[int, int | None] = {}
    reach = None
    validation: Curve = steps, errors
    for point in reversed(ordered):  # the run that got furthest speaks for all
        if reach is not None and point.iters <= reach:
            break
        curve = read_artifact(point.run.curve, f"curve of run {point.run.name}", unread)
        if curve is None:
            continue
        if not len(curve[0]):
            if point.final_error is not None:
                unread.append(f"curve of run {point.run.name}: not there")
            continue
        if reach is not None and curve[0][-1] <= reach:
            continue
        reach = int(curve[0][-1])
        steps, errors = thinned(curve[0], curve[1], size)
        found = read_artifact(point.run.thresholds, f"thresholds of run {point.run.name}", unread)
        if found == {}:
            unread.append(f"thresholds of run {point.run.name}: not there")
        thresholds = {int(k): step for k, step in (found or {}).items()}
        others = read_artifact(point.run.validation, "validation errors", unread)
        if others is not None and len(others) == len(curve[0]):
            validation = thinned(curve[0], others, size)
    first = ordered[0]
    return Line(
        first.lr, first.others, tuple(ordered), steps, errors, thresholds, reach, validation
    )


def _missing(
    cells: Iterable[Mapping[str, Any]], runs: Iterable[StoredRun], others: tuple[str, ...]
) -> tuple[Missing, ...]:
    runs = list(runs)
    signatures = {run.tags.get("sweep.signature") for run in runs}
    names = {run.name for run in runs}
    found = []
    for cell in cells:
        name = str(cell.get("name", ""))
        if cell.get("signature") in signatures or name in names:
            continue
        params = cell.get("params") or cell.get("values") or {}
        values = tuple(planned_value({**cell, "params": params}, axis) for axis in others)
        lr, iters = _number(params.get("lr")), _number(params.get("iters"))
        found.append(Missing(name, lr, None if iters is None else int(iters), values))
    return tuple(found)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def read_artifact(call: Callable[[], T], what: str, unread: list[str]) -> T | None:
    """Call a reader; what cannot be read is named in `unread` and None."""
    try:
        return call()
    except Exception as error:  # a damaged file or a lost server: the rest is still worth telling
        unread.append(f"{what}: {' '.join(str(error).split())[:200]}")
        return None
