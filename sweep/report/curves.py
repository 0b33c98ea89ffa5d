"""Error curves of the trajectories of a sweep, thinned for drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

T = TypeVar("T")

Frame: TypeAlias = Any
"""A data frame, typed as Any: pandas-stubs type each value as a union of all types."""

MANY = 100
"""With more curves than this, each keeps fewer points."""

Curve = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
EMPTY: Curve = (np.empty(0, dtype=np.int64), np.empty(0))


@dataclass(frozen=True)
class Trajectory:
    """The runs of a trajectory (`rows`, sorted by iterations) and the longest curves among them.

    `curve` and `validation` are thinned for drawing, and empty if missing. `thresholds` maps k to
    the first step with an error of at most 10^-k, exactly (None if not reached); `reach` is the
    last trained step. The mean of `repeats` has no thresholds, and `band` holds the lowest and
    highest error at the steps of `curve`, shape (n,) each.
    """

    rows: tuple[int, ...]
    curve: Curve = EMPTY
    validation: Curve = EMPTY
    thresholds: Mapping[int, int | None] | None = None
    reach: int | None = None
    band: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
    repeats: tuple[Trajectory, ...] = ()


def trajectories_of(runs: Frame, unread: list[str]) -> list[Trajectory]:
    """Return the trajectories of `SweepData.started`; unreadable files are added to `unread`."""
    groups: dict[Any, list[Any]] = {}  # a frame for each of thousands of groups is slow
    for row in runs.assign(done=runs.error.notna()).itertuples():
        key = row.combination, row.lr, str(row.cell.get("trajectory", ""))
        groups.setdefault(key, []).append(row)
    size = 600 if len(groups) <= MANY else 120
    return [_trajectory(group, size, unread) for group in groups.values()]


def _trajectory(group: list[Any], size: int, unread: list[str]) -> Trajectory:
    """Read the longest curves: a run with more iterations may have been killed earlier."""
    group.sort(key=lambda row: (row.iters, row.done))
    found = Trajectory(tuple(row.Index for row in group))
    for row in reversed(group):
        run, reach = row.run, found.reach or 0
        if found.reach is not None and row.iters <= reach:
            break
        columns = artifact(run.columns, f"curve of run {run.name}", unread)
        if columns is None or not len(columns["step"]):
            if columns is not None and row.done:
                unread.append(f"curve of run {run.name}: not there")
            continue
        steps, validation = columns["step"], columns.get("validation_error")
        if found.reach is not None and steps[-1] <= reach:
            continue
        thresholds = artifact(run.thresholds, f"thresholds of run {run.name}", unread)
        if thresholds == {}:
            unread.append(f"thresholds of run {run.name}: not there")
        found = Trajectory(
            found.rows,
            thinned(steps, columns["error"], size),
            EMPTY if validation is None else thinned(steps, validation, size),
            thresholds or {},
            int(steps[-1]),
        )
    return found


def repeated(lines: list[Trajectory], runs: Frame) -> list[Trajectory]:
    """Merge the trajectories that repeat a grid point; `runs` as in `SweepData`."""
    bad = set(runs.index[runs.outcome == "diverged"])
    last = runs.loc[[line.rows[-1] for line in lines]].assign(line=lines)
    groups = last.groupby(["combination", "lr", "iters"], sort=False).line
    return [_averaged(list(own), bad) for _, own in groups]


def _averaged(every: list[Trajectory], diverged: set[int]) -> Trajectory:
    """Return the mean of repeats, without those that diverged unless all did."""
    found = Trajectory(tuple(row for line in every for row in line.rows), repeats=tuple(every))
    known = [line for line in every if len(line.curve[0])]
    lines = [line for line in known if not diverged.intersection(line.rows)] or known
    if not lines:
        return found
    table = _table([line.curve for line in lines], 300)
    others = [line.validation for line in lines if len(line.validation[0])]
    return replace(
        found,
        curve=_mean(table),
        validation=_mean(_table(others, 300)) if others else EMPTY,
        reach=max(line.reach or 0 for line in lines),
        band=(table.min(axis=1).to_numpy(), table.max(axis=1).to_numpy()),
    )


def _mean(table: pd.DataFrame) -> Curve:
    return table.index.to_numpy(np.int64), table.mean(axis=1).to_numpy(np.float64)


def _table(curves: list[Curve], size: int) -> pd.DataFrame:
    """Return the curves at about `size` common steps (the index), NaN beyond their ends."""
    last = max(int(steps[-1]) for steps, _ in curves)
    grid = np.unique(np.concatenate([[0], np.geomspace(1, max(last, 1), size).astype(np.int64)]))
    grid = grid[grid <= last]
    columns = [_interpolated(grid, *curve) for curve in curves]
    return pd.DataFrame(np.column_stack(columns), grid).dropna(how="all")


def artifact(call: Callable[[], T], what: str, unread: list[str]) -> T | None:
    """Return `call()`; if it raises, add a message to `unread` and return None."""
    try:
        return call()
    except Exception as error:  # damaged file or lost server: report the rest
        unread.append(f"{what}: {' '.join(str(error).split())[:200]}")
        return None


def typed_fields(
    stored: Any, types: Mapping[str, type], what: str, unread: list[str]
) -> dict[str, Any]:
    """Return an object of plan.json without fields of a wrong type, which `unread` then names."""
    if not isinstance(stored, dict):
        unread.append(what)
        return {}
    wrong = [key for key in types if not isinstance(stored.get(key, types[key]()), types[key])]
    unread += [f"{what} {key}" for key in wrong]
    return {key: value for key, value in stored.items() if key not in wrong}


def thinned(steps: npt.ArrayLike, errors: npt.ArrayLike, size: int) -> Curve:
    """Return at most about `size` points of a curve, evenly spaced in the logarithm of the step.

    The smallest and largest error of each interval are kept, so that oscillations keep their
    amplitude, and so are the first and last point. Non-finite points are dropped. `steps` and
    `errors` have shape (n,); steps ascend from 0.
    """
    curve = pd.Series(np.asarray(errors, dtype=np.float64), np.asarray(steps, dtype=np.int64))
    curve = curve[np.isfinite(curve)]
    if len(curve) > size:
        x = np.log10(np.maximum(curve.index.to_numpy(), 0.5))
        width = (x[-1] - x[0]) / max(size // 2, 2)
        stretches = curve.groupby(((x - x[0]) / width).astype(np.int64), sort=False)
        kept = {curve.index[0], curve.index[-1], *stretches.idxmin(), *stretches.idxmax()}
        curve = curve.loc[sorted(kept)]
    return np.asarray(curve.index, dtype=np.int64), np.asarray(curve, dtype=np.float64)


def best_of_all(curves: list[Curve], size: int = 240) -> Curve:
    """Return the smallest error that any curve has reached by each step.

    Curves are interpolated, and keep their minimum after their end. Shape (m,) each, m <= `size` +
    1.
    """
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return EMPTY
    lowest = _table(curves, size).min(axis=1).cummin()
    return lowest.index.to_numpy(np.int64), lowest.to_numpy(np.float64)


def _interpolated(
    grid: npt.NDArray[np.int64], steps: npt.NDArray[np.int64], errors: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Interpolate a curve at the steps of `grid`, linearly in a picture with log axes."""
    x, at = np.log(steps + 1.0), np.log(grid + 1.0)
    logarithmic = bool((errors > 0).all())
    y = np.log(errors) if logarithmic else errors
    found: npt.NDArray[np.float64] = np.interp(at, x, y, left=np.nan, right=np.nan)
    return np.exp(found) if logarithmic else found
