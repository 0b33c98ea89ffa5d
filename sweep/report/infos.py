"""What each picture shows, computed before anything is drawn.

Positions are those of `LogScale`, colours and labels are final: a plot only puts them on
paper, and a test can read them without a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.report.colours import colour_scale, marker_scale
from sweep.report.facts import Facts, Line, Point
from sweep.report.scale import LogScale, log_scale
from sweep.report.thinning import envelope
from sweep.report.words import power, rate, thin, values_words

__all__ = [
    "MANY_RATES",
    "MOST_PANELS",
    "CurvePanel",
    "CurvesInfo",
    "HeatInfo",
    "HeatPanel",
    "Key",
    "LinesInfo",
    "curves_info",
    "heat_info",
    "lines_info",
]

MANY_RATES = 30
"""From here on lines are told apart by a colour scale, not by a legend entry each."""

MOST_PANELS = 12
MOST_CURVES = 60

FloatArray = npt.NDArray[np.float64]


class Key(NamedTuple):
    """The learning rates of a picture with their looks, ascending."""

    rates: tuple[float, ...]
    labels: tuple[str, ...]
    colours: tuple[str, ...]
    markers: tuple[str, ...]

    @property
    def many(self) -> bool:
        """Tell whether a colour scale replaces the legend."""
        return len(self.rates) >= MANY_RATES


class CurveLine(NamedTuple):
    """One line: its points, the marks of its runs, and how it ends."""

    lr: float
    colour: str
    marker: str
    x: FloatArray
    y: FloatArray
    mark_x: FloatArray
    mark_y: FloatArray
    diverged: tuple[float, float] | None


class CurvePanel(NamedTuple):
    """The lines of one combination of the other axes."""

    title: str
    lines: tuple[CurveLine, ...]
    best: tuple[float, float] | None
    lowest: tuple[FloatArray, FloatArray] | None


class CurvesInfo(NamedTuple):
    """Error curves, or final errors by iterations: the same shape of picture."""

    title: str
    x_label: str
    y_label: str
    key: Key
    x: LogScale
    y: LogScale
    panels: tuple[CurvePanel, ...]
    counts: tuple[tuple[float, str], ...]
    curves: bool
    left_out: str


LinesInfo = CurvesInfo


class HeatPanel(NamedTuple):
    """One heat map: log10 of the final error (NaN where none), text and best cell."""

    title: str
    values: FloatArray
    texts: tuple[tuple[str, ...], ...]
    best: tuple[int, int] | None


class HeatInfo(NamedTuple):
    """Final errors of the whole grid; rows are learning rates, the largest on top."""

    title: str
    rates: tuple[str, ...]
    counts: tuple[str, ...]
    scale: LogScale
    panels: tuple[HeatPanel, ...]
    left_out: str


def chosen_panels(facts: Facts) -> tuple[tuple[tuple[str, ...], ...], str]:
    """Return the combinations of the other axes that get a panel, and words on the rest.

    Where there are too many, those with the best runs.
    """
    panels = facts.panels
    if len(panels) <= MOST_PANELS:
        return panels, ""
    ranked = list(dict.fromkeys(p.others for p in facts.completed))[:MOST_PANELS]
    kept = ranked or list(panels[:MOST_PANELS])
    order = [others for others in panels if others in set(kept)]
    return tuple(order), f"the {len(order)} best of {len(panels)} combinations"


def _key(facts: Facts) -> Key:
    rates = facts.rates
    colours, markers = colour_scale(rates), marker_scale(rates)
    return Key(
        rates,
        tuple(map(rate, rates)),
        tuple(colours[lr] for lr in rates),
        tuple(markers[lr] for lr in rates),
    )


def _ceiling(facts: Facts) -> float:
    """Return the error above which a picture shows only that it is above.

    A thousand times the largest first or completed error: more room would press what one
    wants to compare into a thin line.
    """
    starts = [value for p in facts.points if (value := p.metric("initial_error")) is not None]
    starts += [float(line.errors[0]) for line in facts.lines if len(line.errors)]
    ends = sorted(p.final_error for p in facts.completed if p.final_error is not None)
    reference = max([value for value in starts if np.isfinite(value)], default=1.0)
    if ends and not starts:
        reference = ends[0]
    return max(reference, 1e-300) * 1e3 if reference < 1e300 else reference


def curves_info(facts: Facts) -> CurvesInfo:
    """Return the error curves of every trajectory with each run's last step marked."""
    key = _key(facts)
    panels, left_out = chosen_panels(facts)
    lines = [line for line in facts.lines if len(line.steps)]
    drawn, more = _spread(lines, panels)
    left_out = ", ".join(filter(None, (left_out, more)))
    last = max((int(line.steps[-1]) for line in lines), default=1)
    x = log_scale([0, 1, max(last, 1)], zero_label="0", margin=0.03)
    every = [value for line in lines for value in (line.errors.min(), line.errors.max())]
    every += [0.0] if any((line.errors <= 0).any() for line in lines) else []
    y = log_scale(every, ceiling=_ceiling(facts))
    shown = []
    for others in panels:
        own = [line for line in drawn if line.others == others]
        everything = [(line.steps, line.errors) for line in lines if line.others == others]
        lowest = envelope(everything) if key.many else None
        shown.append(
            CurvePanel(
                values_words(facts.others, others, 28),
                tuple(_curve(line, key, x, y) for line in own),
                _best(facts, others, x, y),
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
        True,
        left_out,
    )


def lines_info(facts: Facts) -> LinesInfo:
    """Return final error against iterations, a line for each learning rate."""
    key = _key(facts)
    panels, left_out = chosen_panels(facts)
    x = log_scale(facts.counts or (1,), margin=0.05)
    finals = [p.final_error for p in facts.completed if p.final_error is not None]
    y = log_scale(finals, ceiling=_ceiling(facts))
    shown = []
    for others in panels:
        lines = []
        points: list[Point] = []
        for lr, colour, marker in zip(key.rates, key.colours, key.markers, strict=True):
            row = [facts.grid.get((lr, others, n)) for n in facts.counts]
            own = [p for p in row if p is not None and p.final_error is not None]
            points += own
            px = x.place([p.iters for p in own])
            py = y.place([p.final_error for p in own if p.final_error is not None])
            bad = next((p for p in row if p is not None and p.outcome == "diverged"), None)
            end = None if bad is None else (float(x.place(bad.iters)), y.high)
            if own or end is not None:
                lines.append(CurveLine(lr, colour, marker, px, py, px, py, end))
        lowest = _lowest(points, x, y) if key.many else None
        best = _best(facts, others, x, y)
        title = values_words(facts.others, others, 28)
        shown.append(CurvePanel(title, tuple(lines), best, lowest))
    return CurvesInfo(
        "Final error by iterations",
        "iterations",
        "final error E",
        key,
        x,
        y,
        tuple(shown),
        _count_marks(facts, x),
        False,
        left_out,
    )


def heat_info(facts: Facts) -> HeatInfo:
    """Return the final errors of the grid as numbers, texts and the best cell."""
    rates, counts = facts.rates[::-1], facts.counts
    panels, left_out = chosen_panels(facts)
    finals = [p.final_error for p in facts.completed if p.final_error is not None]
    scale = log_scale(finals, ceiling=_ceiling(facts), margin=0.0)
    shown = []
    for others in panels:
        values = np.full((len(rates), len(counts)), np.nan)
        texts = []
        best = None
        for i, lr in enumerate(rates):
            row = []
            for j, iters in enumerate(counts):
                point = facts.grid.get((lr, others, iters))
                if point is not None and point.final_error is not None:
                    values[i, j] = scale.place(point.final_error)
                if point is not None and point is facts.best:
                    best = (i, j)
                row.append(_cell(point))
            texts.append(tuple(row))
        title = values_words(facts.others, others, 28)
        shown.append(HeatPanel(title, values, tuple(texts), best))
    return HeatInfo(
        "Final error E",
        tuple(map(rate, rates)),
        tuple(thin(n) for n in counts),
        scale,
        tuple(shown),
        left_out,
    )


def _cell(point: Point | None) -> str:
    if point is None:
        return "not run"
    if point.final_error is not None:
        return power(point.final_error)
    return {"completed": "none"}.get(point.outcome, point.outcome)


def _curve(line: Line, key: Key, x: LogScale, y: LogScale) -> CurveLine:
    index = key.rates.index(line.lr)
    done = [p for p in line.points if p.final_error is not None]
    bad = next((p for p in line.points if p.outcome == "diverged"), None)
    end = None
    if bad is not None:
        end = float(x.place(line.steps[-1])), float(y.place(line.errors[-1]))
    return CurveLine(
        line.lr,
        key.colours[index],
        key.markers[index],
        x.place(line.steps),
        y.place(line.errors),
        x.place([p.iters for p in done]),
        y.place([p.final_error for p in done if p.final_error is not None]),
        end,
    )


def _best(
    facts: Facts, others: tuple[str, ...], x: LogScale, y: LogScale
) -> tuple[float, float] | None:
    best = facts.best
    if best is None or best.others != others or best.final_error is None:
        return None
    return float(x.place(best.iters)), float(y.place(best.final_error))


def _lowest(points: Iterable[Point], x: LogScale, y: LogScale) -> tuple[FloatArray, FloatArray]:
    found: dict[int, float] = {}
    for p in points:
        if p.final_error is not None:
            found[p.iters] = min(p.final_error, found.get(p.iters, np.inf))
    counts = sorted(found)
    return x.place(counts), y.place([found[n] for n in counts])


def _spread(lines: Sequence[Line], panels: Sequence[tuple[str, ...]]) -> tuple[list[Line], str]:
    """Return at most MOST_CURVES lines, evenly over the learning rates of each panel."""
    inside = [line for line in lines if line.others in set(panels)]
    if len(inside) <= MOST_CURVES:
        return inside, ""
    each = max(MOST_CURVES // len(panels), 8)
    drawn: list[Line] = []
    for others in panels:
        own = sorted((line for line in inside if line.others == others), key=lambda ln: ln.lr)
        at = np.unique(np.linspace(0, len(own) - 1, min(each, len(own))).round().astype(int))
        drawn += [own[i] for i in at]
    return drawn, f"{len(drawn)} of {len(inside)} curves, evenly over the learning rates"


def _count_marks(facts: Facts, x: LogScale) -> tuple[tuple[float, str], ...]:
    """Return where the grid's iteration counts lie; too close ones lose their label."""
    marks: list[tuple[float, str]] = []
    gap, labelled = 0.07 * (x.high - x.low), -np.inf
    for n in facts.counts[:40]:
        at = float(x.place(n))
        near = at - labelled < gap
        labelled = labelled if near else at
        marks.append((at, "" if near else thin(n)))
    return tuple(marks)
