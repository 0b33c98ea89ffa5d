"""The answer of a sweep in words: which values, how many iterations, what to try next."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sweep.report.axes import Axis, effects, scores
from sweep.report.data import SweepData
from sweep.report.formats import FLOOR, counted, figure, joined, plain

__all__ = ["answer", "distinct"]

MOST_ALIKE = 4

LEAST_INFLUENCE = 0.05
"""Share of the whole range of final errors that an axis must span to be worth a word."""

ENDINGS = {
    "diverged": "diverged",
    "failed": "failed",
    "interrupted": "did not finish",
    "unfinished": "did not finish",
}


def answer(data: SweepData) -> str:
    """Return the answer of the sweep in one paragraph of plain text with its figures."""
    total = len(data.runs)
    best, final = data.best, data.metric == "final_error"
    unanswered = data.question.unanswered(data.stored)
    if unanswered:
        words = [unanswered]
    elif best is None:
        what = "a final error" if final else plain(data.metric)
        words = [f"None of {counted(total, 'run')} has {what}."]
    else:
        by = "" if final else f" by {data.question.mode} {plain(data.metric)}"
        of = counted(total, "run")
        if data.repeats:
            of = f"{counted(len(data.grid), 'grid point')}"
            by = f"{by or ' by final error'}, the mean of {_repeats(data, best.n)}"
        words = [f"Best of {of}{by}: {data.words(best)}, {_value(data, best)}."]
        if total > 1:
            words += [*_alike(data, best), *_luckiest(data, best), *_tie(data, best)]
            words += _edges(data, best)
    return " ".join([*words, *_others(data)])


def _repeats(data: SweepData, count: int) -> str:
    """Return how many repeats there are: 10 seeds."""
    one = len(data.repeats) == 1
    return counted(count, plain(data.repeats[0].rpartition(".")[2]) if one else "repeat")


def _alike(data: SweepData, best: Any) -> list[str]:
    """Say which grid points the spread of the repeats cannot tell from the best one."""
    others = data.ranked.drop(index=best.name)
    points = others[~distinct(others, best)]
    if points.empty:
        return []
    rows = [best.name, *points.index[: MOST_ALIKE - 1]]
    texts = data.values.loc[rows, list(data.keys)]
    keys = [key for key in data.keys if texts[key].nunique() > 1]
    names = [
        text if keys == ["lr"] else joined(keys, texts.loc[row, keys])
        for row, text in texts.lr.items()
    ]
    left = 1 + len(points) - len(names)
    last = f"{left} more" if left else names.pop()
    same = set(points.n) == {best.n}
    number = _repeats(data, best.n) if same else "their repeats"
    between = ", " if len(keys) == 1 else "; "
    return [f"{between.join(names)} and {last} are equal within the spread of {number}."]


def distinct(one: Any, two: Any) -> Any:
    """Return whether two means differ by more than the spread of their repeats.

    They do where they are further apart than twice the standard error of their difference,
    sqrt(sd²/n + sd²/n), about the 95 % level; without repeats wherever they are not equal.
    Errors below the floor of double precision are equal, as where the best point is chosen.

    Parameters
    ----------
    one, two
        ``decisive``, ``sd`` and ``n`` of grid points, as rows or columns of `SweepData.grid`.
    """
    error = np.sqrt(one.sd**2 / one.n + two.sd**2 / two.n)
    return ~((one.decisive - two.decisive).abs() <= 2 * error)


def _luckiest(data: SweepData, best: Any) -> list[str]:
    """Name the best single run where it is none of the best point's."""
    if not data.repeats:
        return []
    value, largest = data.cells.value, data.question.mode == "max"
    row = data.cells.loc[value.idxmax() if largest else value.idxmin()]
    if row.value == (best.high if largest else best.low):
        return []
    return [f"The best single run is another: {plain(row['name'])} with {figure(row.value)}."]


def _squared(cell: Any) -> bool:
    """Return whether a planned run's error is a squared one, as far as the plan says."""
    config = cell.get("config") or {}
    network, trainer = config.get("network"), config.get("trainer")
    loss = network.get("loss", "squared_error") if isinstance(network, dict) else "squared_error"
    target = str(trainer.get("_target_", "sweep.")) if isinstance(trainer, dict) else "sweep."
    return loss == "squared_error" and target.startswith("sweep.")


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


def _tie(data: SweepData, best: Any) -> list[str]:
    """Say what being the best means at the floor of double precision."""
    if not 0 <= best.decisive <= FLOOR or not data.metric.endswith("error"):
        return []
    return [f"No cheaper run reaches this precision (errors below {FLOOR:g} count as equal)."]


def _edges(data: SweepData, best: Any) -> list[str]:
    """Say where the best run lies at the edge of the grid on an axis that matters.

    Iterations and seeds have no edge to go beyond.
    """
    words = []
    influence = effects(data).groupby("axis").influence.first()
    score = scores(data)
    least = LEAST_INFLUENCE * (score.max() - score.min())
    for axis in data.varying:
        if not axis.numbers or axis.name in ("iters", "seed") or influence[axis.name] <= least:
            continue
        at = axis.values.index(data.values.loc[best.name, axis.name])
        if at in (0, len(axis.values) - 1):
            words.append(_edge(axis, at))
    return words


def _edge(axis: Axis, at: int) -> str:
    which, where = ("smallest", "below") if at == 0 else ("largest", "above")
    value = plain(axis.values[at])
    what = "rates" if axis.name == "lr" else "values"
    return f"{plain(axis.name)}={value} is the {which} of the grid: try {what} {where} {value}."


def _others(data: SweepData) -> list[str]:
    """Say what became of the runs that did not complete, stopped changing or are missing."""
    counts = data.started.outcome.map(lambda text: ENDINGS.get(text, text)).value_counts()
    kinds = [text for text in dict.fromkeys([*ENDINGS.values(), *counts.index]) if text in counts]
    bad = [kind for kind in kinds if kind != "completed"]
    words = [f"{counted(counts[kind], 'run')} {plain(kind)}." for kind in bad]
    still = data.started[data.started.error > FLOOR]
    stalled = sum("stalled_at" in run.metrics for run in still.run)
    if stalled:
        words.append(f"{counted(stalled, 'run')} stopped changing.")
    missing = len(data.missing)
    if missing:
        verb, it = ("is", "it") if missing == 1 else ("are", "them")
        words.append(
            f"{missing} of {counted(len(data.runs), 'run')} {verb} missing; "
            f"`resume={plain(data.sweep.sweep_id)}` trains {it}."
        )
    return words
