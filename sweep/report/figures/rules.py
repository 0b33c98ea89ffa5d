"""How far the notebook's rule is from the gradient: the same grid points under both."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.report.colours import INK, MARKERS, shades
from sweep.report.curves import EMPTY, Curve, artifact
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import Picture, legend, sheet, spread
from sweep.report.figures.lines import line_style, mark_style
from sweep.report.figures.panels import ceiling_of
from sweep.report.figures.scale import Scale, error_scale, floor_band, set_scale, step_scale
from sweep.report.figures.weights import flat_weights
from sweep.report.formats import figure, joined, short

__all__ = ["RulesData", "rule_pairs", "rules_data", "rules_picture"]

MOST_RATES = 5

MOST_PAIRS = 400
"""Of more pairs only the longest of each learning rate have their weights compared."""

RULES = ("notebook", "gradient")

_NOTEBOOK: dict[str, Any] = {"linestyle": (0, (3, 1.5))}


class RateLines(NamedTuple):
    """One learning rate: its curve under both rules, and the largest difference by iters."""

    rate: int
    notebook: Curve
    gradient: Curve
    apart: Frame


class RulesData(NamedTuple):
    """Error curves of both rules, and the largest difference of a weight by iterations."""

    rates: tuple[float, ...]
    lines: tuple[RateLines, ...]
    note: str
    last: int
    error: Scale
    apart: Scale


def rule_pairs(data: SweepData) -> Frame:
    """Return every grid point that completed under both rules, in plan order.

    Columns: lr, iters, the other keys but rule, then for each rule its row of `SweepData.runs`
    (``row_notebook``, ``row_gradient``), error and run, and of the weights ``where`` (the name
    of the one that differs most), ``apart`` (by how much), ``from`` and ``to`` (its values) and
    ``rms`` (the root mean square of all differences); missing where no weights are stored.
    """
    rest = [key for key in data.others if key != "rule"]
    done = data.grid[data.grid.error.notna()]
    table = done[["lr", "iters", "error", "run"]].join(data.values[rest]).assign(row=done.index)
    if "rule" not in data.keys:
        return pd.DataFrame()
    rule = data.values.rule.loc[done.index]
    one, two = (table[rule == name] for name in RULES)
    pairs = one.merge(two, on=["lr", "iters", *rest], suffixes=("_notebook", "_gradient"))
    longest = pairs.groupby(["lr", *rest]).iters.transform("max") if len(pairs) else []
    near = pairs if len(pairs) <= MOST_PAIRS else pairs[pairs.iters == longest]
    weights = pd.DataFrame(
        [_difference(row) for row in near.itertuples()],
        index=near.index,
        columns=["where", "apart", "from", "to", "rms"],
    )
    return pairs.join(weights)


def _difference(row: Any) -> tuple[Any, ...]:
    """Return which weight is furthest apart, by how much, its values, and the RMS of all."""
    both = []
    for run in (row.run_notebook, row.run_gradient):
        both.append(flat_weights((artifact(run.weights, "weights", []) or {}).get("final", {})))
    (names, first), (others, second) = both
    apart = np.abs(first - second) if names == others else np.empty(0)
    if not np.isfinite(apart).any():
        return None, np.nan, np.nan, np.nan, np.nan
    at = int(np.nanargmax(apart))
    rms = float(np.sqrt(np.nanmean(np.square(apart))))
    return names[at], float(apart[at]), float(first[at]), float(second[at]), rms


def rules_picture(data: SweepData, pairs: Frame) -> Picture | None:
    """Return the picture of both rules; None where no grid point ran under both."""
    if pairs.empty:
        return None
    words = (
        "Two panels for the rules notebook and gradient: error curves, and the largest "
        "difference of a weight by iterations."
    )
    if pairs.apart.notna().any():
        row = pairs.loc[pairs.apart.idxmax()]
        noun = "iteration" if row.iters == 1 else "iterations"
        words += (
            f" Furthest apart: {row['where']} after {row.iters} {noun} with lr={float(row.lr)!r}, "
            f"{figure(row['from'], 3)} under notebook and {figure(row['to'], 3)} under gradient."
        )
    caption = "Solid: every bias by its own derivative. Dashed: the notebook’s slip."
    draw = partial(_draw, rules_data(data, pairs))
    return Picture("rules", "The notebook’s rule against the gradient", words, caption, draw)


def rules_data(data: SweepData, pairs: Frame) -> RulesData:
    """Return the curves of some learning rates under both rules, at the best other keys."""
    rest = [key for key in data.others if key != "rule"]
    best = pairs.loc[pairs.error_gradient.idxmin()]
    inside = pairs[(pairs[rest] == best[rest]).all(axis=1)] if rest else pairs
    every = sorted(set(inside.lr))
    kept = [every[at] for at in spread(len(every), MOST_RATES)]
    curve_of = {row: line.curve for line in data.trajectories for row in line.rows}
    lines = []
    for lr in kept:
        own = inside[inside.lr == lr].sort_values("iters")
        first = own.iloc[-1]
        both = [curve_of.get(first[f"row_{rule}"], EMPTY) for rule in RULES]
        apart = own.dropna(subset="apart").set_index("iters").apart
        lines.append(
            RateLines(data.axes["lr"].values.index(repr(float(lr))), both[0], both[1], apart)
        )
    curves = [curve for line in lines for curve in (line.notebook, line.gradient) if len(curve[0])]
    notes = [f"{len(kept)} of {len(every)} learning rates"] if len(kept) < len(every) else []
    if rest and len(inside) < len(pairs):
        notes.append(joined(rest, (str(best[key]) for key in rest), 20))
    ends = [value for _, errors in curves for value in (errors.min(), errors.max())]
    distances = [value for line in lines for value in line.apart if value > 0]
    return RulesData(
        data.axes["lr"].numbers,
        tuple(lines),
        ", ".join(notes),
        max((int(steps[-1]) for steps, _ in curves), default=1),
        error_scale(ends or [1.0], ceiling_of(data)),
        error_scale(distances or [1.0]),
    )


def _draw(data: RulesData, subtitle: str) -> Figure:
    subtitle = f"{subtitle} · shown: {data.note}" if data.note else subtitle
    title = "The notebook’s rule against the gradient"
    page = sheet(title, subtitle, 2, small=(4.3, 3.6), gap=(1.0, 0.45), right=1.9)
    left, right = page.panels
    texts = ("iteration (0 is before training)", "error E")
    _panel(left, "error while training", texts, step_scale(data.last, zero=True), data.error)
    texts = ("iterations", "largest difference of a weight")
    what = "weights after training: |notebook − gradient|"
    _panel(right, what, texts, step_scale(data.last, zero=False), data.apart)
    floor_band(left, data.error, named=False)
    colours = shades("lr", len(data.rates))
    entries: list[tuple[str, dict[str, Any]]] = []
    for line in data.lines:
        colour, marker = colours[line.rate], MARKERS[line.rate % len(MARKERS)]
        style = line_style(colour)
        left.plot(line.gradient[0], data.error.drawn(line.gradient[1]), **style)
        left.plot(line.notebook[0], data.error.drawn(line.notebook[1]), **style | _NOTEBOOK)
        x = line.apart.index.to_numpy(float)
        y = data.apart.inside(line.apart)
        right.plot(x, y, **style)
        right.plot(x, y, clip_on=False, zorder=3, **mark_style(colour, marker, 7))
        look = mark_style(colour, marker, 6) | {"linestyle": "-", "linewidth": 1.7}
        entries.insert(0, (short(repr(data.rates[line.rate])), look))
    solid = line_style(INK)
    entries += [("gradient", solid), ("notebook", solid | _NOTEBOOK)]
    legend(page, "learning rate", entries)
    return page.figure


def _panel(axes: Axes, title: str, labels: tuple[str, str], x: Scale, y: Scale) -> None:
    set_scale(axes, "x", x)
    set_scale(axes, "y", y)
    axes.set_title(title, size=10, color=INK, loc="left", parse_math=False)
    axes.set_xlabel(labels[0], size=11, color=INK, parse_math=False)
    axes.set_ylabel(labels[1], size=11, color=INK, parse_math=False)
