"""The answer of a sweep as text: the best values, and what to try next."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sweep.question import FLOOR
from sweep.report.axes import effects, scores
from sweep.report.data import SweepData
from sweep.report.formats import counted, figure, joined, plain

MOST_ALIKE = 4

LEVEL = 0.05
"""Significance level of the t test."""

LEAST_INFLUENCE = 0.05
"""Axes whose means span a smaller fraction of the range of all values are not mentioned."""


def answer(data: SweepData) -> str:
    """Return the answer of the sweep as one paragraph of plain text."""
    total, best, final = len(data.runs), data.best, data.metric == "final_error"
    unanswered = data.question.unanswered(data.stored)
    if unanswered:
        words = [unanswered]
    elif best is None:
        what = "a final error" if final else plain(data.metric)
        words = [f"None of {counted(total, 'run')} completed with {what}."]
    else:
        by = "" if final else f" by {data.question.mode} {plain(data.metric)}"
        of = counted(total, "run")
        if data.repeats:
            of = counted(len(data.grid), "grid point")
            by = f"{by or ' by final error'}, the mean of {_repeats(data, best.n)}"
        words = [f"Best of {of}{by}: {data.words(best)}, {_value(data, best)}."]
        most = data.grid.n.max()
        if best.n < most:
            have = "has" if best.n == 1 else "have"
            words.append(f"Only {best.n} of its {_repeats(data, most)} {have} a value.")
        if data.repeats and total > 1:
            words += [*_alike(data, best), *_luckiest(data, best)]
        if total > 1 and data.metric.endswith("error") and best.decisive == FLOOR:
            equal = f"errors below {FLOOR:g} count as equal"
            words.append(f"No cheaper run reaches this precision ({equal}).")
        words += _edges(data, best)
    return " ".join([*words, *_others(data)])


def _repeats(data: SweepData, count: int) -> str:
    one = len(data.repeats) == 1
    return counted(count, plain(data.repeats[0].rpartition(".")[2]) if one else "repeat")


def _value(data: SweepData, best: Any) -> str:
    text = f"{plain(data.label)} {figure(best.value)}"
    if data.repeats:
        spread = f" ± {figure(best.sd, 2)}" if best.n > 1 else ""
        return f"{text}{spread} ({figure(best.low)} to {figure(best.high)})"
    if data.metric != "final_error":
        return text if math.isnan(best.error) else f"{text}, final error {figure(best.error)}"
    if best.value < 0 or not _squared(best.cell):
        return text
    return f"{text} (√E = {figure(math.sqrt(best.value), 2)})"


def _squared(cell: Any) -> bool:
    """Return whether the plan has the squared error and a trainer of this package."""
    config = cell.get("config", {})
    network, trainer = config.get("network"), config.get("trainer")
    loss = network.get("loss", "squared_error") if isinstance(network, dict) else "squared_error"
    target = str(trainer.get("_target_", "sweep.")) if isinstance(trainer, dict) else "sweep."
    return loss == "squared_error" and target.startswith("sweep.")


def _alike(data: SweepData, best: Any) -> list[str]:
    """List grid points that the spread of the repeats cannot distinguish from the best one."""
    others = data.ranked.drop(index=best.name)
    others = others[others.diverged == 0]
    points = others[~distinct(others, best)]
    if points.empty:
        return []
    texts = data.values.loc[[best.name, *points.index[: MOST_ALIKE - 1]], list(data.keys)]
    keys = [key for key in data.keys if texts[key].nunique() > 1]
    names = [row.lr if keys == ["lr"] else joined(keys, row[keys]) for _, row in texts.iterrows()]
    left = 1 + len(points) - len(names)
    last = f"{left} more" if left else names.pop()
    number = _repeats(data, best.n) if set(points.n) == {best.n} else "their repeats"
    between = ", " if len(keys) == 1 else "; "
    return [f"{between.join(names)} and {last} are equal within the spread of {number}."]


def distinct(one: Any, two: Any) -> Any:
    """Return whether the means of grid points differ significantly, given their repeats.

    Welch's t test at the 5 % level (B. L. Welch, Biometrika 34, 1947). With zero spread, unequal
    means differ; with unknown (one run) or infinite spread, all do. Errors below the floor of
    double precision are equal.

    `one` and `two` are rows or columns of `SweepData.grid`.
    """
    from scipy.special import stdtr  # imported late: only repeats need it

    first, second = one.sd**2 / one.n, two.sd**2 / two.n
    squared = np.asarray(first + second, dtype=np.float64)
    known = np.isfinite(np.asarray(one.sd + two.sd, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = squared**2 / (first**2 / (one.n - 1) + second**2 / (two.n - 1))
        t = np.abs(one.decisive - two.decisive) / np.sqrt(squared)
        differ = 2 * stdtr(np.asarray(freedom, float), -np.asarray(t, float)) < LEVEL
    return np.where(known & (squared > 0), differ, ~known | (one.decisive != two.decisive))


def _luckiest(data: SweepData, best: Any) -> list[str]:
    """Name the best single run if it is not a repeat of the best grid point."""
    ends = data.decisive(data.grid["high" if data.question.mode == "max" else "low"])
    if ends[best.name] == ends.min():
        return []
    row = data.cells.loc[data.decisive(data.cells.value).idxmin()]
    return [f"The best single run is another: {plain(row['name'])} with {figure(row.value)}."]


def _edges(data: SweepData, best: Any) -> list[str]:
    """Suggest values beyond each axis that matters and has its best value at an end."""
    words = []
    influence = effects(data).groupby("axis").influence.first()
    score = scores(data)
    least = LEAST_INFLUENCE * (score.max() - score.min())
    for axis in data.varying:
        if not axis.numbers or influence[axis.name] <= least:
            continue
        if axis.name == "iters" or axis.name.endswith(("seed", "fold")):
            continue
        value, what = (
            data.values.loc[best.name, axis.name],
            "rates" if axis.name == "lr" else "values",
        )
        ends, low = {axis.values[-1]: ("largest", "above")}, axis.numbers[0]
        if axis.name == "lr" or (low > 0 and not low.is_integer()):  # not for sizes
            ends[axis.values[0]] = ("smallest", "below")
        if value in ends:
            (which, where), at = ends[value], plain(value)
            words.append(f"{plain(axis.name)}={at} is the {which} of the grid:")
            words.append(f"try {what} {where} {at}.")
    return words


def _others(data: SweepData) -> list[str]:
    """Count the runs that did not complete, stalled, are missing, or were deleted."""
    ends = data.started.outcome.replace(["interrupted", "unfinished"], "did not finish")
    counts = ends[ends != "completed"].value_counts().to_dict()
    kinds = dict.fromkeys(["diverged", "failed", "did not finish", *counts])
    words = [f"{counted(counts[kind], 'run')} {plain(kind)}." for kind in kinds if kind in counts]
    still = data.started[data.started.error > FLOOR]
    stalled = sum("stalled_at" in run.metrics for run in still.run)
    if stalled:
        words.append(f"{counted(stalled, 'run')} stalled.")
    missing = len(data.missing)
    verb, it = ("is", "it") if missing == 1 else ("are", "them")
    if missing:
        words.append(f"{missing} of {counted(len(data.runs), 'run')} {verb} missing;")
        words.append(f"`resume={plain(data.sweep.sweep_id)}` finishes {it}.")
    if deleted := len(data.sweep.deleted):
        words.append(f"{counted(deleted, 'run')} {'was' if deleted == 1 else 'were'} deleted.")
    return words
