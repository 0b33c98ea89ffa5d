"""The answer of a sweep in words: which values, how many iterations, what to try next."""

from __future__ import annotations

import math
from typing import Any

from sweep.report.axes import Axis, effects, scores
from sweep.report.data import SweepData
from sweep.report.formats import FLOOR, counted, figure, plain

__all__ = ["answer", "squared"]

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
    best = data.best
    if best is None:
        words = [f"None of {counted(total, 'run')} has a final error."]
    else:
        words = [f"Best of {counted(total, 'run')}: {data.words(best)}, {_error(best)}."]
        if total > 1:
            words += [*_tie(best), *_edges(data, best)]
    return " ".join([*words, *_others(data)])


def squared(cell: Any) -> bool:
    """Return whether a planned run's error is a squared one, as far as the plan says."""
    config = cell.get("config") or {}
    network, trainer = config.get("network"), config.get("trainer")
    loss = network.get("loss", "squared_error") if isinstance(network, dict) else "squared_error"
    target = str(trainer.get("_target_", "sweep.")) if isinstance(trainer, dict) else "sweep."
    return loss == "squared_error" and target.startswith("sweep.")


def _error(row: Any) -> str:
    text = f"final error {figure(row.error)}"
    if row.error < 0 or not squared(row.cell):
        return text
    return f"{text} (√E = {figure(math.sqrt(row.error), 2)})"


def _tie(best: Any) -> list[str]:
    """Say what being the best means at the floor of double precision."""
    if not 0 <= best.error <= FLOOR:
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
