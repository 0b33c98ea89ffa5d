"""Compare the notebook's rule with the gradient at the same grid points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sweep.report.curves import EMPTY, Frame
from sweep.report.data import SweepData
from sweep.report.figures.lines import draw_lines, points
from sweep.report.figures.sheet import Panels, Picture, spread, styled
from sweep.report.figures.weights import stored_weights
from sweep.report.formats import counted, figure, joined

MOST_RATES = 5

MOST_PAIRS = 400
"""With more pairs, weights are compared only for the longest runs of each learning rate."""

RULES = ("notebook", "gradient")


def rule_pairs(data: SweepData) -> Frame:
    """Return the grid points that completed under both rules, in plan order.

    Columns: lr, iters, the other keys except rule; for each rule its row of `SweepData.runs`
    (``row_notebook``, ``row_gradient``), error and run; of the weights ``where`` (name of the
    weight that differs most), ``difference`` (absolute), ``from`` and ``to`` (its values), ``rms``
    (root mean square of all differences), all missing if no weights are stored.
    """
    if "rule" not in data.keys:
        return pd.DataFrame()
    rest = [key for key in data.others if key != "rule"]
    done = data.grid[data.grid.error.notna()]
    table = done[["lr", "iters", "error", "run"]].join(data.values[rest]).assign(row=done.index)
    one, two = (table[data.values.rule.loc[done.index] == name] for name in RULES)
    pairs = one.merge(two, on=["lr", "iters", *rest], suffixes=("_notebook", "_gradient"))
    longest = pairs.groupby(["lr", *rest]).iters.transform("max") if len(pairs) else []
    near = pairs if len(pairs) <= MOST_PAIRS else pairs[pairs.iters == longest]
    weights = pd.DataFrame(
        [_difference(row) for row in near.itertuples()],
        index=near.index,
        columns=["where", "difference", "from", "to", "rms"],
    )
    return pairs.join(weights)


def _difference(row: Any) -> tuple[Any, ...]:
    """Return the weight that differs most, its difference and values, and the RMS of all."""
    (names, first), (others, second) = (
        stored_weights(run, "final") for run in (row.run_notebook, row.run_gradient)
    )
    differences = np.abs(first - second) if names == others else np.empty(0)
    if not np.isfinite(differences).any():
        return None, np.nan, np.nan, np.nan, np.nan
    at = int(np.nanargmax(differences))
    rms = float(np.sqrt(np.nanmean(np.square(differences))))
    return names[at], float(differences[at]), float(first[at]), float(second[at]), rms


@styled
def rules_pictures(data: SweepData, pairs: Frame) -> list[Picture]:
    """Return errors and weight differences under both rules; other keys as in the best pair."""
    if pairs.empty:
        return []
    rest = [key for key in data.others if key != "rule"]
    best = pairs.loc[pairs.error_gradient.idxmin()]
    inside = pairs[(pairs[rest] == best[rest]).all(axis=1)] if rest else pairs
    every = sorted(set(inside.lr))
    kept = [every[at] for at in spread(len(every), MOST_RATES)]
    notes = [f"{len(kept)} of {len(every)} learning rates"] if len(kept) < len(every) else []
    if len(inside) < len(pairs):
        notes.append(joined(rest, (str(best[key]) for key in rest), 20))
    note = ", ".join(notes)
    curve_of = {row: line.curve for line in data.trajectories for row in line.rows}
    curves: list[pd.DataFrame] = []
    weights: list[pd.DataFrame] = []
    for lr in kept:
        own, value = inside[inside.lr == lr].sort_values("iters"), repr(float(lr))
        for kind, rule in zip(("dashed", "line"), RULES, strict=True):
            curve = curve_of.get(own.iloc[-1][f"row_{rule}"], EMPTY)
            curves.append(points(kind, "", value, *curve))
        own = own.dropna(subset="difference")
        weights += [points(k, "", value, own.iters, own.difference) for k in ("line", "run")]
    key, panels, iters = data.axes["lr"], Panels(), data.axes["iters"]
    shown: Frame = pd.concat(curves)
    title, label = "Error under both rules", "error E"
    errors = draw_lines(title, data, label, shown, key, panels, note=note, dashed=RULES[0])
    shown = pd.concat(weights)
    title, label = "Weight differences between the rules", "largest difference"
    apart = draw_lines(title, data, label, shown, key, panels, iters, note=note)
    solid = "Solid: every bias by its own derivative. Dashed: the notebook’s slip."
    most = "The weight that differs most between the rules, after so many iterations."
    return [
        errors.picture("rules", f"{errors.title}. {_alt(pairs)}", solid),
        apart.picture("rules_weights", f"{apart.title}. {_alt(pairs)}", most),
    ]


def _alt(pairs: Frame) -> str:
    if not pairs.difference.notna().any():
        return "No weights are stored for both."
    row = pairs.loc[pairs.difference.idxmax()]
    return (
        f"Furthest apart: {row['where']} after {counted(row.iters, 'iteration')} with "
        f"lr={float(row.lr)!r}, {figure(row['from'], 3)} under notebook and "
        f"{figure(row['to'], 3)} under gradient."
    )
