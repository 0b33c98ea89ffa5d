"""What all pictures share: panels for the other axes, and how each line looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sweep.report.colours import MARKERS, colour_scale, deep, marker_scale
from sweep.report.facts import Facts, Point
from sweep.report.scale import LogScale
from sweep.report.words import rate, thin, values_words

__all__ = [
    "MANY",
    "MOST_PANELS",
    "Key",
    "Spot",
    "ceiling_of",
    "chosen_panels",
    "columns_of",
    "count_key",
    "panel_title",
    "rate_key",
    "spot_of",
    "spread",
]

MANY = 30
"""From here on lines are told apart by a colour scale, not by a legend entry each."""

MOST_PANELS = 12

Spot = tuple[float, float]
"""A place in a picture: x and y in the units of its axes."""


class Key(NamedTuple):
    """The lines of a picture with their looks, ascending by value."""

    title: str
    values: tuple[float, ...]
    labels: tuple[str, ...]
    colours: tuple[str, ...]
    markers: tuple[str, ...]

    @property
    def many(self) -> bool:
        """Tell whether a colour scale replaces the legend."""
        return len(self.values) >= MANY


def rate_key(facts: Facts) -> Key:
    """Return the looks of the learning rates."""
    rates = facts.rates
    colours, markers = colour_scale(rates), marker_scale(rates)
    return Key(
        "learning rate",
        rates,
        tuple(map(rate, rates)),
        tuple(colours[lr] for lr in rates),
        tuple(markers[lr] for lr in rates),
    )


def count_key(facts: Facts) -> Key:
    """Return the looks of the iteration counts, in shades of their own."""
    counts = facts.counts
    span = max(len(counts) - 1, 1)
    return Key(
        "iterations",
        tuple(map(float, counts)),
        tuple(map(thin, counts)),
        tuple(deep(i / span) for i in range(len(counts))),
        tuple(MARKERS[i % len(MARKERS)] for i in range(len(counts))),
    )


def chosen_panels(facts: Facts) -> tuple[tuple[tuple[str, ...], ...], str]:
    """Return the combinations of the other axes that get a panel, and words on the rest.

    Where there are too many, those with the best runs.
    """
    panels = facts.panels
    if len(panels) <= MOST_PANELS:
        return panels, ""
    ranked = list(dict.fromkeys(p.others for p in facts.completed))[:MOST_PANELS]
    kept = set(ranked or panels[:MOST_PANELS])
    order = tuple(others for others in panels if others in kept)
    return order, f"the {len(order)} best of {len(panels)} combinations"


def panel_title(facts: Facts, others: tuple[str, ...]) -> str:
    """Return the other axes with their values; each is cut, so that titles keep apart."""
    room = max(34 // max(len(others), 1), 8)
    names = [name.rpartition(".")[2] for name in facts.others]  # network.layers: layers
    return values_words(names, others, room)


def ceiling_of(facts: Facts) -> float:
    """Return the error above which a picture shows only that it is above.

    A thousand times the largest first error: more room for a run that diverges would press
    what one wants to compare into a thin line.
    """
    starts = [float(line.errors[0]) for line in facts.lines if len(line.errors)]
    starts += [value for p in facts.points if (value := p.metric("initial_error")) is not None]
    ends = [p.final_error for p in facts.completed if p.final_error is not None]
    known = [value for value in (starts or ends[:1]) if np.isfinite(value)]
    largest = max(known, default=1.0)
    return min(max(largest, 1e-300) * 1e3, 1e300)


def columns_of(facts: Facts) -> int:
    """Return how many panels stand side by side so that two axes make rows and columns.

    0 where the paper may choose.
    """
    values = [list(dict.fromkeys(column)) for column in zip(*facts.panels, strict=True)]
    varied = [len(column) for column in values if len(column) > 1]
    whole = len(varied) == 2 and varied[0] * varied[1] == len(facts.panels) <= MOST_PANELS
    return varied[1] if whole and 1 < varied[1] <= 4 else 0


def spot_of(
    point: Point | None, others: tuple[str, ...], x: Callable[[Point], float], y: LogScale
) -> Spot | None:
    """Return where a run lies in the panel of `others`, None where it is not in it."""
    if point is None or point.others != others or point.final_error is None:
        return None
    return x(point), float(y.place(point.final_error))


def spread(count: int, most: int) -> Sequence[int]:
    """Return at most `most` indices of `count`, evenly apart, the ends among them."""
    at = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(i) for i in np.unique(at)]
