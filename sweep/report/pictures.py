"""The pictures of a report: which there are, what they are called, what they show in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sweep.report import alts
from sweep.report.curve_plots import draw_curves
from sweep.report.curves import curves_info, lines_info, rates_info
from sweep.report.facts import Facts
from sweep.report.heat import heat_info
from sweep.report.heat_plots import draw_heat
from sweep.report.rule_plots import draw_rules
from sweep.report.rules import Pair, rules_info
from sweep.report.weight_plots import draw_weights
from sweep.report.weights import weights_info

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "pictures_of"]

RATES_FROM = 6
"""From this many learning rates on there is a picture with them on the x axis."""


class Picture(NamedTuple):
    """One picture: `draw(subtitle)` makes the figure, `alt` says what it shows."""

    name: str
    title: str
    alt: str
    caption: str
    draw: Callable[[str], Figure]


def pictures_of(facts: Facts, pairs: Sequence[Pair]) -> list[Picture]:
    """Return the pictures that this sweep has something to show in."""
    found = []
    curves = curves_info(facts)
    if any(panel.lines for panel in curves.panels):
        caption = "A line for each training; every iteration count of the grid is marked on it."
        if any(line.validation is not None for panel in curves.panels for line in panel.lines):
            caption += " Dashed: the error on the samples that were kept back for validation."
        found.append(
            Picture(
                "error_curves",
                curves.title,
                alts.curves_alt(facts, curves),
                caption,
                partial(draw_curves, curves),
            )
        )
    if facts.points:
        heat = heat_info(facts)
        alt = alts.heat_alt(facts)
        caption = "The best run is outlined; a dashed outline is the cheapest that is as good."
        draw = partial(draw_heat, heat)
        found.append(Picture("final_error_heatmap", heat.title, alt, caption, draw))
    if facts.completed:
        lines = lines_info(facts)
        alt = alts.lines_alt(facts)
        draw = partial(draw_curves, lines)
        found.append(Picture("final_error_by_iterations", lines.title, alt, "", draw))
        if len(facts.rates) >= RATES_FROM:
            rates = rates_info(facts)
            alt = alts.rates_alt(facts)
            draw = partial(draw_curves, rates)
            found.append(Picture("final_error_by_rate", rates.title, alt, "", draw))
    weights = weights_info(facts)
    if weights is not None:
        alt = alts.weights_alt(facts, weights)
        caption = "The longest run of each learning rate."
        draw = partial(draw_weights, weights)
        found.append(Picture("weights", weights.title, alt, caption, draw))
    rules = rules_info(facts, pairs)
    if rules is not None:
        alt = alts.rules_alt(pairs)
        draw = partial(draw_rules, rules)
        caption = "Solid: every bias by its own derivative. Dashed: the notebook’s slip."
        found.append(Picture("rules", rules.title, alt, caption, draw))
    return found
