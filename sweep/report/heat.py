"""What the heat map of final errors shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.report.facts import Facts, Point
from sweep.report.looks import ceiling_of, chosen_panels, columns_of, panel_title
from sweep.report.scale import LogScale, log_scale
from sweep.report.words import power, rate, thin

__all__ = ["HeatInfo", "HeatPanel", "heat_info"]

MOST_WRITTEN = (45, 14)
"""Rows and columns up to which a cell has room for its number."""


class HeatPanel(NamedTuple):
    """One heat map: positions on the scale (NaN where none), texts, outlined cells."""

    title: str
    values: npt.NDArray[np.float64]
    texts: tuple[tuple[str, ...], ...]
    best: tuple[int, int] | None
    cheapest: tuple[int, int] | None


class HeatInfo(NamedTuple):
    """Final errors of the whole grid; rows are learning rates, the largest on top."""

    title: str
    rates: tuple[str, ...]
    counts: tuple[str, ...]
    scale: LogScale
    panels: tuple[HeatPanel, ...]
    written: bool
    left_out: str
    columns: int


def heat_info(facts: Facts) -> HeatInfo:
    """Return the final errors of the grid with their texts, the best cell and the cheapest."""
    rates, counts = facts.rates[::-1], facts.counts
    panels, left_out = chosen_panels(facts)
    finals = [p.final_error for p in facts.completed if p.final_error is not None]
    scale = log_scale(finals, ceiling=ceiling_of(facts), margin=0.0)
    shown = []
    for others in panels:
        rows = [[facts.grid.get((lr, others, n)) for n in counts] for lr in rates]
        shown.append(
            HeatPanel(
                panel_title(facts, others),
                np.array([[_place(point, scale) for point in row] for row in rows]),
                tuple(tuple(map(_text, row)) for row in rows),
                _where(facts.best, rows),
                _where(facts.cheapest, rows),
            )
        )
    written = len(rates) <= MOST_WRITTEN[0] and len(counts) <= MOST_WRITTEN[1]
    return HeatInfo(
        "Final error by learning rate and iterations",
        tuple(map(rate, rates)),
        tuple(map(thin, counts)),
        scale,
        tuple(shown),
        written,
        left_out,
        columns_of(facts),
    )


def _place(point: Point | None, scale: LogScale) -> float:
    if point is None or point.final_error is None:
        return np.nan
    return float(scale.place(point.final_error))


def _text(point: Point | None) -> str:
    if point is None:
        return "not run"
    if point.final_error is not None:
        return power(point.final_error)
    return "none" if point.outcome == "completed" else point.outcome


def _where(point: Point | None, rows: list[list[Point | None]]) -> tuple[int, int] | None:
    if point is None:
        return None
    found = ((i, row.index(point)) for i, row in enumerate(rows) if point in row)
    return next(found, None)
