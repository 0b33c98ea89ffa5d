"""What the picture of the error curves shows, and the two of final errors.

All three are lines on two logarithmic axes, a panel for each combination of the other axes.
Positions are those of `LogScale`: a plot only puts them on paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.report.facts import Facts, Line, Point
from sweep.report.looks import (
    Key,
    Spot,
    ceiling_of,
    chosen_panels,
    columns_of,
    count_key,
    panel_title,
    rate_key,
    spot_of,
    spread,
)
from sweep.report.scale import LogScale, log_scale
from sweep.report.thinning import envelope
from sweep.report.words import thin

__all__ = [
    "CurveLine",
    "CurvePanel",
    "CurvesInfo",
    "curves_info",
    "lines_info",
    "rates_info",
]

MOST_CURVES = 60
MOST_MARKS = 40

FloatArray = npt.NDArray[np.float64]


class CurveLine(NamedTuple):
    """One line: its points, the marks of its runs, and what else became of them.

    `beyond` are marks above the upper edge, `diverged` the places where runs ended so;
    `validation` is the second curve, where there is one.
    """

    value: float
    colour: str
    marker: str
    x: FloatArray
    y: FloatArray
    marks: tuple[Spot, ...]
    beyond: tuple[Spot, ...]
    diverged: tuple[Spot, ...]
    validation: tuple[FloatArray, FloatArray] | None = None


class CurvePanel(NamedTuple):
    """The lines of one combination of the other axes; `lowest` is the best envelope."""

    title: str
    lines: tuple[CurveLine, ...]
    best: Spot | None
    cheapest: Spot | None
    lowest: tuple[FloatArray, FloatArray] | None


class CurvesInfo(NamedTuple):
    """A picture of lines. `counts` are iteration counts to mark at the top, with labels."""

    title: str
    x_label: str
    y_label: str
    key: Key
    x: LogScale
    y: LogScale
    panels: tuple[CurvePanel, ...]
    counts: tuple[tuple[float, str], ...]
    left_out: str
    columns: int


def curves_info(facts: Facts) -> CurvesInfo:
    """Return the error curve of every trajectory with each run's last step marked."""
    key = rate_key(facts)
    panels, left_out = chosen_panels(facts)
    lines = [line for line in facts.lines if len(line.steps)]
    drawn, more = _drawn(lines, panels)
    last = max((int(line.steps[-1]) for line in lines), default=1)
    x = log_scale([0, 1, max(last, 1)], margin=0.03, whole=True)
    both = [e for line in lines for e in (line.errors, line.validation[1]) if len(e)]
    ends = [value for errors in both for value in (errors.min(), errors.max())]
    y = log_scale([*ends, *_finals(facts)], ceiling=ceiling_of(facts))

    def at(point: Point) -> float:
        return float(x.place(point.iters))

    shown = []
    for others in panels:
        every = [(line.steps, line.errors) for line in lines if line.others == others]
        lowest = envelope(every) if key.many else None
        shown.append(
            CurvePanel(
                panel_title(facts, others),
                tuple(_curve(line, key, x, y) for line in drawn if line.others == others),
                spot_of(facts.best, others, at, y),
                spot_of(facts.cheapest, others, at, y),
                None if lowest is None else (x.place(lowest[0]), y.place(lowest[1])),
            )
        )
    return CurvesInfo(
        "Error while training",
        "iteration (0 is before training)",
        "error E",
        key,
        x,
        y,
        tuple(shown),
        _count_marks(facts, x),
        ", ".join(filter(None, (left_out, more))),
        columns_of(facts),
    )


def lines_info(facts: Facts) -> CurvesInfo:
    """Return final error against iterations, a line for each learning rate."""
    x = log_scale(facts.counts or (1,), margin=0.05, whole=True)
    return _final_info(
        facts,
        ("Final error by iterations", "iterations"),
        rate_key(facts),
        x,
        lambda point: float(x.place(point.iters)),
        lambda point: point.lr,
    )


def rates_info(facts: Facts) -> CurvesInfo:
    """Return final error against learning rate, a line for each iteration count."""
    x = log_scale(facts.rates or (1.0,), margin=0.05)
    return _final_info(
        facts,
        ("Final error by learning rate", "learning rate"),
        count_key(facts),
        x,
        lambda point: float(x.place(point.lr)),
        lambda point: float(point.iters),
    )


def _final_info(
    facts: Facts,
    texts: tuple[str, str],
    key: Key,
    x: LogScale,
    at: Callable[[Point], float],
    line_of: Callable[[Point], float],
) -> CurvesInfo:
    panels, left_out = chosen_panels(facts)
    y = log_scale(_finals(facts), ceiling=ceiling_of(facts))
    kept = spread(len(key.values), max(MOST_CURVES // max(len(panels), 1), 8))
    if len(kept) < len(key.values):
        some = f"{len(kept)} of {len(key.values)} lines"
        left_out = f"{left_out}, {some}" if left_out else some
    shown = []
    for others in panels:
        inside = sorted((p for p in facts.grid.values() if p.others == others), key=at)
        lines = []
        for index in kept:
            value = key.values[index]
            own = [p for p in inside if line_of(p) == value]
            if own:
                lines.append(_final_line(own, key, index, at, y))
        lowest = _lowest(inside, at, y) if key.many else None
        best = spot_of(facts.best, others, at, y)
        cheapest = spot_of(facts.cheapest, others, at, y)
        shown.append(CurvePanel(panel_title(facts, others), tuple(lines), best, cheapest, lowest))
    return CurvesInfo(
        texts[0],
        texts[1],
        "final error E",
        key,
        x,
        y,
        tuple(shown),
        (),
        left_out,
        columns_of(facts),
    )


def _final_line(
    points: Sequence[Point], key: Key, index: int, at: Callable[[Point], float], y: LogScale
) -> CurveLine:
    done = [(at(p), p.final_error) for p in points if p.final_error is not None]
    bad = tuple((at(p), y.high) for p in points if p.outcome == "diverged")
    return CurveLine(
        key.values[index],
        key.colours[index],
        key.markers[index],
        np.array([place for place, _ in done]),
        y.place([error for _, error in done], clamp=False),
        *_marks(done, y),
        bad,
    )


def _marks(
    done: Iterable[tuple[float, float]], y: LogScale
) -> tuple[tuple[Spot, ...], tuple[Spot, ...]]:
    """Return the marks inside the picture and those above its upper edge."""
    inside: list[Spot] = []
    beyond: list[Spot] = []
    for place, error in done:
        spots = beyond if y.above(error) else inside
        spots.append((place, float(y.place(error))))
    return tuple(inside), tuple(beyond)


def _curve(line: Line, key: Key, x: LogScale, y: LogScale) -> CurveLine:
    index = key.values.index(line.lr)
    done = [
        (float(x.place(p.iters)), p.final_error) for p in line.points if p.final_error is not None
    ]
    bad: tuple[Spot, ...] = ()
    if any(p.outcome == "diverged" for p in line.points):
        bad = ((float(x.place(line.steps[-1])), float(y.place(line.errors[-1]))),)
    return CurveLine(
        line.lr,
        key.colours[index],
        key.markers[index],
        x.place(line.steps),
        y.place(line.errors, clamp=False),
        *_marks(done, y),
        bad,
        (x.place(line.validation[0]), y.place(line.validation[1], clamp=False))
        if len(line.validation[0])
        else None,
    )


def _finals(facts: Facts) -> list[float]:
    return [p.final_error for p in facts.completed if p.final_error is not None]


def _lowest(
    points: Iterable[Point], at: Callable[[Point], float], y: LogScale
) -> tuple[FloatArray, FloatArray]:
    found: dict[float, float] = {}
    for p in points:
        if p.final_error is not None:
            found[at(p)] = min(p.final_error, found.get(at(p), np.inf))
    places = sorted(found)
    return np.array(places), y.place([found[place] for place in places])


def _drawn(lines: Sequence[Line], panels: Sequence[tuple[str, ...]]) -> tuple[list[Line], str]:
    """Return at most about MOST_CURVES lines, evenly over the learning rates of each panel."""
    inside = [line for line in lines if line.others in set(panels)]
    if len(inside) <= MOST_CURVES:
        return inside, ""
    each = max(MOST_CURVES // len(panels), 8)
    drawn: list[Line] = []
    for others in panels:
        own = sorted((line for line in inside if line.others == others), key=lambda ln: ln.lr)
        drawn += [own[i] for i in spread(len(own), each)]
    if len(drawn) == len(inside):
        return drawn, ""
    return drawn, f"{len(drawn)} of {len(inside)} curves, evenly over the learning rates"


def _count_marks(facts: Facts, x: LogScale) -> tuple[tuple[float, str], ...]:
    """Return where the grid's iteration counts lie; too close ones lose their label."""
    counts = facts.counts
    marks: list[tuple[float, str]] = []
    gap, labelled = 0.07 * (x.high - x.low), -np.inf
    for n in (counts[i] for i in spread(len(counts), MOST_MARKS)):
        at = float(x.place(n))
        near = at - labelled < gap
        labelled = labelled if near else at
        marks.append((at, "" if near else thin(n)))
    return tuple(marks)
