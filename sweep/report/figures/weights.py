"""The weights before and after training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweep.report.axes import Axis, main_axis, remaining
from sweep.report.colours import GRID, INK, MARKERS, QUIET, shades
from sweep.report.curves import Frame, artifact
from sweep.report.data import SweepData
from sweep.report.figures.lines import mark_style
from sweep.report.figures.sheet import Panels, Picture, Sheet, panels_of, spread, styled
from sweep.report.formats import counted, figure, plain, tick

MOST_NAMED = 64
"""Networks of up to this many scalars are drawn by name, larger ones as a scatter plot."""

MOST_SERIES = 6
MOST_DOTS = 3000

_BEFORE: dict[str, Any] = {"marker": "_", "markersize": 16, "markeredgewidth": 2.2}
_BEFORE |= {"color": INK, "linestyle": "none"}


def flat_weights(
    weights: Mapping[str, Any],
) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Return names and values of all scalars, arrays by row; null (not finite) becomes NaN."""
    names: list[str] = []
    values = [np.empty(0)]
    for name, value in weights.items():
        array = np.atleast_1d(np.array(value, dtype=np.float64)).ravel()
        names += [name] if len(array) == 1 else [f"{name}[{i}]" for i in range(len(array))]
        values.append(array)
    return tuple(names), np.concatenate(values)


def stored_weights(run: Any, part: str) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Return `flat_weights` of a run; empty if none are stored or the file is damaged."""
    found = artifact(lambda: flat_weights(run.weights().get(part, {})), "weights", [])
    return found or flat_weights({})


@styled
def weights_picture(data: SweepData) -> Picture | None:
    """Return the picture of the weights; None if there are none."""
    key = main_axis(data)
    weights, note = weights_data(data, key, panels_of(data, key, data.axes["iters"]))
    if weights is None:
        return None
    titles, names = list(dict.fromkeys(weights.panel)), list(dict.fromkeys(weights.weight))
    count, named = len(titles), len(names) <= MOST_NAMED
    size, columns = ((5.2, 4.4) if count == 1 else (3.2, 3.2)), 0
    if named:  # the same names below each other
        most = 13.0 if count == 1 else 9.0 if count <= 3 else 6.6
        size = (min(max(0.42 * len(names), 5.0), most), 4.4 if count == 1 else 2.3)
        columns = 1 if count <= 3 else 2
    page = Sheet(
        "Weights before and after training",
        data.subtitle,
        ("weight", "value of the weight") if named else ("before training", "after training"),
        Panels(tuple(titles), columns=columns),
        note=f"shown: {note}" if note else "",
        size=size,
        right=2.2,
    )
    colours, styles = shades(key.name, len(key.values)), {}
    for at, value in enumerate(key.values):
        styles[value] = mark_style(colours[at], MARKERS[at % len(MARKERS)], 6 if named else 4)
    for name, axes in zip(titles, page.panels, strict=True):
        rows = weights[weights.panel == name].groupby("value", sort=False)
        (_by_name if named else _cloud)(axes, rows, styles)
        axes.margins(y=0.06)
        axes.yaxis.set_major_locator(MaxNLocator(7, prune="both"))
        if named:
            crowded = len(names) > 32 or (count > 3 and len(names) > 16)
            look: dict[str, Any] = {"rotation": 90 if crowded else 0, "size": 7 if crowded else 9}
            axes.set_xticks(range(len(names)), [plain(name, 12) for name in names], **look)
    if not named:
        axes = page.panels[0]
        both = [*axes.get_xlim(), *axes.get_ylim()]
        axes.set(xlim=(min(both), max(both)), ylim=(min(both), max(both)))
        axes.xaxis.set_major_locator(MaxNLocator(7, prune="both"))
    entries = [("before training", _BEFORE)] if named else []
    shown = weights[["value", "iters"]].drop_duplicates()
    positions = shown.value.map(key.values.index)
    for at, iters in sorted(zip(positions, shown.iters, strict=True), reverse=True):
        label = f"{key.labels[at]} · {tick(iters)}"
        entries.append((label, styles[key.values[at]] | {"markersize": 7}))
    page.legend(f"{key.label} · iterations", entries)
    repeats = ", of its repeats the first" if data.repeats else ""
    return page.picture(
        "weights", _alt(weights, key), f"The longest run of each {key.label}{repeats}."
    )


def weights_data(data: SweepData, key: Axis, panels: Panels) -> tuple[Frame | None, str]:
    """Return the weights of the longest run of some trajectories, and a note on omissions.

    Columns: ``panel``, ``value`` (of the key, as text), ``iters``, ``weight`` (its name),
    ``initial``, ``final`` (NaN if there is none). None if no run has weights. Of many values, the
    smallest, the largest, the best and some between are shown; of more combinations than panels,
    that of the best run; of many weights, an evenly spaced selection.
    """
    rows, best, notes = data.grid, data.best, []
    if panels.note:
        rest = [axis.name for axis in remaining(data, key, data.axes["iters"])]
        chosen = data.values.loc[rows.index[0] if best is None else best.name, rest]
        rows = rows[(data.values.loc[rows.index, rest] == chosen).all(axis=1)]
        notes.append(f"the combination of the best run, of {panels.note.removeprefix('all ')}")
    rows = rows[rows.run.notna() & ~rows.outcome.isin(["diverged", "failed"])]
    rows = rows.assign(value=data.values[key.name][rows.index], panel=panels.of[rows.index])
    rows = rows.assign(rank=rows.value.map(key.values.index))
    rows = rows.sort_values(["rank", "iters"], kind="stable")
    rows = rows.drop_duplicates(["combination", "lr"], keep="last")
    first = None if best is None else _weights(best.run)
    found: list[pd.DataFrame] = []
    others: list[str] = []
    for title in panels.titles:
        own = rows[rows.panel == title]
        kept = set(spread(len(own), MOST_SERIES))
        if best is not None:
            kept |= {*np.flatnonzero((own.combination == best.combination) & (own.lr == best.lr))}
        for row in own.iloc[sorted(kept)].itertuples():
            table = _weights(row.run)
            if table is None:
                continue
            first = table if first is None else first
            if not table.weight.equals(first.weight):
                others.append(title or f"{key.label}={row.value}")  # not comparable
            else:
                iters = float(min(row.iters, 10**300))
                found.append(table.assign(panel=title, value=row.value, iters=iters))
    if not found:
        return None, ""
    every: Frame = pd.concat(found, ignore_index=True)
    most = every.groupby("panel").value.nunique().max()
    if most < len(key.values):
        notes.append(f"{most} of {len(key.values)} values of {key.label}")
    if others:
        names = plain("; ".join(dict.fromkeys(others)), 90)
        notes.append(f"omitted, other layer sizes: {names}")
    return every, ", ".join(notes)


def _weights(run: Any) -> pd.DataFrame | None:
    (names, initial), (others, final) = (stored_weights(run, part) for part in ("initial", "final"))
    if names != others or not names:
        return None
    table = pd.DataFrame({"weight": names, "initial": initial, "final": final})
    return table.iloc[:: -(-len(names) // MOST_DOTS)].reset_index(drop=True)


def _by_name(axes: Axes, values: Any, styles: Mapping[str, dict[str, Any]]) -> None:
    """Draw a column for each weight: a dash before training, a mark after it for each value."""
    count = values.ngroups
    for i, (value, rows) in enumerate(values):
        x = np.arange(len(rows)) + (i - (count - 1) / 2) * min(0.22, 0.8 / count)
        axes.vlines(x, rows.initial, rows.final, color=styles[value]["color"], linewidth=1.2)
        axes.plot(x, rows.final, **styles[value])
    axes.plot(np.arange(len(rows)), rows.initial, **_BEFORE, zorder=4)
    axes.set_xlim(-0.7, len(rows) - 0.3)
    axes.grid(False, axis="x")
    for between in np.arange(len(rows) - 1) + 0.5:
        axes.axvline(between, color=GRID, linewidth=0.5, zorder=0)


def _cloud(axes: Axes, values: Any, styles: Mapping[str, dict[str, Any]]) -> None:
    """Draw a dot for each weight: x before training, y after it."""
    axes.axline((0, 0), slope=1, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    for value, rows in values:
        axes.plot(rows.initial, rows.final, alpha=0.6, **styles[value])


def _alt(weights: Frame, key: Axis) -> str:
    runs = len(weights[["panel", "value"]].drop_duplicates())
    words = f"The {counted(weights.weight.nunique(), 'weight')} and biases before training and "
    words += f"after it, for {counted(runs, 'run')}."
    moves = (weights.final - weights.initial).abs()
    if not moves.notna().any():
        return words
    one = weights.loc[moves.idxmax()]
    return (
        f"{words} {plain(one.weight, 24)} moves most: from {figure(one.initial, 3)} to "
        f"{figure(one.final, 3)} ({key.label} {key.labels[key.values.index(one.value)]})."
    )
