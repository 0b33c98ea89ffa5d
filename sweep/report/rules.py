"""How far the notebook's rule is from the gradient: the same runs under both, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.report.facts import Facts, Line, Point, read_artifact
from sweep.report.looks import Key, Spot, ceiling_of, rate_key, spread
from sweep.report.scale import LogScale, log_scale
from sweep.report.tables import Table
from sweep.report.weights import flat_weights
from sweep.report.words import figure, plain, rate, values_words

__all__ = ["Pair", "RulesInfo", "rule_pairs", "rule_table", "rules_info"]

RULES = ("notebook", "gradient")
MOST_PAIRS = 400
"""Of more pairs only the longest of each learning rate have their weights compared."""

MOST_RATES = 5

FloatArray = npt.NDArray[np.float64]


class Pair(NamedTuple):
    """One grid point under both rules.

    `furthest` is the weight that differs most (name, under notebook, under gradient) and
    `distance` the root mean square of all differences; None where no weights are stored.
    """

    notebook: Point
    gradient: Point
    others: tuple[str, ...]
    furthest: tuple[str, float, float] | None
    distance: float | None


class RuleLine(NamedTuple):
    """One learning rate: its curve under both rules, and the largest difference by iters."""

    label: str
    colour: str
    marker: str
    notebook: tuple[FloatArray, FloatArray]
    gradient: tuple[FloatArray, FloatArray]
    apart: tuple[Spot, ...]


class RulesInfo(NamedTuple):
    """Error curves of both rules, and how far apart the weights are."""

    title: str
    x: LogScale
    y: LogScale
    apart_x: LogScale
    apart_y: LogScale
    lines: tuple[RuleLine, ...]
    left_out: str


def rule_pairs(facts: Facts) -> tuple[Pair, ...]:
    """Return every grid point that completed under both rules, in plan order."""
    if "rule" not in facts.others:
        return ()
    at = facts.others.index("rule")
    found = []
    for (lr, others, iters), point in facts.grid.items():
        if others[at] != RULES[0] or point.final_error is None:
            continue
        rest = others[:at] + others[at + 1 :]
        twin = facts.grid.get((lr, (*others[:at], RULES[1], *others[at + 1 :]), iters))
        if twin is not None and twin.final_error is not None:
            found.append(Pair(point, twin, rest, None, None))
    longest: dict[tuple[float, tuple[str, ...]], int] = {}
    for pair in found:
        key = (pair.notebook.lr, pair.others)
        longest[key] = max(longest.get(key, 0), pair.notebook.iters)
    few = len(found) <= MOST_PAIRS
    return tuple(
        _compared(pair)
        if few or pair.notebook.iters == longest[(pair.notebook.lr, pair.others)]
        else pair
        for pair in found
    )


def _compared(pair: Pair) -> Pair:
    one = read_artifact(pair.notebook.run.weights, "weights", [])
    two = read_artifact(pair.gradient.run.weights, "weights", [])
    names, first = flat_weights((one or {}).get("final", {}))
    others, second = flat_weights((two or {}).get("final", {}))
    if names != others or not len(names):
        return pair
    apart = np.abs(first - second)
    if not np.isfinite(apart).any():
        return pair
    most = int(np.nanargmax(apart))
    distance = float(np.sqrt(np.nanmean(apart**2)))
    return pair._replace(
        furthest=(names[most], float(first[most]), float(second[most])), distance=distance
    )


def rule_table(facts: Facts, pairs: Sequence[Pair]) -> Table:
    """Return error and weights of both rules at each grid point."""
    names = [axis for axis in facts.others if axis != "rule"]
    rows = []
    for pair in pairs:
        first, second = pair.notebook.final_error, pair.gradient.final_error
        most, apart = "", ""
        if pair.furthest is not None:
            name, a, b = pair.furthest
            most = f"{plain(name, 20)}: {figure(a)} against {figure(b)}"
            apart = figure(abs(a - b))
        ratio = figure(first / second, 3) if first and second else ""
        rows.append(
            (
                rate(pair.notebook.lr),
                str(pair.notebook.iters),
                *map(plain, pair.others),
                figure(first),
                figure(second),
                ratio,
                apart,
                most,
                figure(pair.distance),
            )
        )
    heads = ("E notebook", "E gradient", "E ratio", "largest weight difference", "where", "RMS")
    return Table(
        "The notebook’s rule against the gradient",
        ("lr", "iterations", *map(plain, names), *heads),
        tuple(rows),
        (True, True, *[False] * len(names), True, True, True, True, False, True),
        "Under notebook b2 moves by ∂E/∂b1 and b1 never; under gradient every bias by its own "
        "derivative. RMS is the root mean square of the differences of all weights.",
    )


def rules_info(facts: Facts, pairs: Sequence[Pair]) -> RulesInfo | None:
    """Return what the picture of both rules shows, None where they cannot be compared."""
    if not pairs:
        return None
    groups = list(dict.fromkeys(pair.others for pair in pairs))
    best = min(pairs, key=lambda pair: pair.gradient.final_error or 0.0)
    inside = [pair for pair in pairs if pair.others == best.others]
    rates = sorted({pair.notebook.lr for pair in inside})
    kept = [rates[i] for i in spread(len(rates), MOST_RATES)]
    inside = [pair for pair in inside if pair.notebook.lr in kept]
    curves = {(ln.lr, ln.others): ln for ln in facts.lines}
    shown = [_lines(curves, inside, lr) for lr in kept]
    every = [line for pair in shown for line in pair if line is not None and len(line.steps)]
    last = max((int(line.steps[-1]) for line in every), default=1)
    x = log_scale([0, 1, max(last, 1)], margin=0.03, whole=True)
    ends = [value for line in every for value in (line.errors.min(), line.errors.max())]
    y = log_scale(ends or [1.0], ceiling=ceiling_of(facts))
    apart_x = log_scale([pair.notebook.iters for pair in inside], margin=0.06, whole=True)
    apart_y = log_scale([_apart(pair) for pair in inside if pair.furthest] or [1.0])
    key = rate_key(facts)
    lines = []
    for lr, (notebook, gradient) in zip(kept, shown, strict=True):
        own = [p for p in inside if p.notebook.lr == lr and p.furthest]
        own.sort(key=lambda pair: pair.notebook.iters)
        spots = [
            (float(apart_x.place(p.notebook.iters)), float(apart_y.place(_apart(p)))) for p in own
        ]
        lines.append(_line(key, lr, _placed(notebook, x, y), _placed(gradient, x, y), spots))
    left_out = []
    if len(kept) < len(rates):
        left_out.append(f"{len(kept)} of {len(rates)} learning rates")
    if len(groups) > 1:
        names = [axis for axis in facts.others if axis != "rule"]
        left_out.append(values_words(names, best.others, 20))
    title = "The notebook’s rule against the gradient"
    return RulesInfo(title, x, y, apart_x, apart_y, tuple(lines), ", ".join(left_out))


def _apart(pair: Pair) -> float:
    return abs(pair.furthest[1] - pair.furthest[2]) if pair.furthest else np.nan


def _lines(
    curves: dict[tuple[float, tuple[str, ...]], Line], pairs: Sequence[Pair], lr: float
) -> tuple[Line | None, Line | None]:
    pair = next(pair for pair in pairs if pair.notebook.lr == lr)
    first, second = (lr, pair.notebook.others), (lr, pair.gradient.others)
    return curves.get(first), curves.get(second)


def _placed(line: Line | None, x: LogScale, y: LogScale) -> tuple[FloatArray, FloatArray]:
    if line is None:
        return np.empty(0), np.empty(0)
    return x.place(line.steps), y.place(line.errors, clamp=False)


def _line(
    key: Key,
    lr: float,
    notebook: tuple[FloatArray, FloatArray],
    gradient: tuple[FloatArray, FloatArray],
    apart: Sequence[Spot],
) -> RuleLine:
    index = key.values.index(lr)
    look = (key.labels[index], key.colours[index], key.markers[index])
    return RuleLine(*look, notebook, gradient, tuple(apart))
