"""The weights: where each began and where training left it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.report.axes import Axis
from sweep.report.colours import GRID, INK, MARKERS, QUIET, shades
from sweep.report.curves import Trajectory, artifact
from sweep.report.data import Frame, SweepData
from sweep.report.figures.canvas import Picture, Sheet, spread
from sweep.report.figures.lines import mark_style
from sweep.report.figures.panels import Panels, main_axis, panels_of
from sweep.report.formats import counted, figure, plain, tick

__all__ = ["flat_weights", "weights_data", "weights_picture"]

MOST_NAMED = 64
"""Networks of up to this many scalars are drawn by name, larger ones as a cloud."""

MOST_SERIES = 7
MOST_DOTS = 3000

_BEFORE: dict[str, Any] = {"marker": "_", "markersize": 16, "markeredgewidth": 2.2}
_BEFORE |= {"color": INK, "linestyle": "none"}


def flat_weights(
    weights: Mapping[str, Any],
) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Return the names and values of all scalars, arrays opened up row by row.

    A null (a weight that became NaN or infinite) is NaN.
    """
    names: list[str] = []
    values = [np.empty(0)]
    for name, value in weights.items():
        array = np.atleast_1d(np.array(value, dtype=np.float64)).ravel()
        names += [name] if len(array) == 1 else [f"{name}[{i}]" for i in range(len(array))]
        values.append(array)
    return tuple(names), np.concatenate(values)


def weights_picture(data: SweepData) -> Picture | None:
    """Return the picture of the weights; None without any."""
    key = main_axis(data)
    panels = panels_of(data, key, data.axes["iters"])
    weights, note = weights_data(data, key, panels)
    if weights is None:
        return None
    titles = [title for title in panels.titles if title in set(weights.panel)]
    caption = f"The longest run of each {key.label}."
    if data.repeats:
        caption = f"The longest run of each {key.label}, of its repeats the first."
    draw = partial(_draw, weights, key, titles, note)
    alt = _alt(weights, key)
    return Picture("weights", "Weights before and after training", alt, caption, draw)


def weights_data(data: SweepData, key: Axis, panels: Panels) -> tuple[Frame | None, str]:
    """Return the weights of the longest run of some trajectories, and what is left out.

    Columns: ``panel``, ``value`` (of the key, as text), ``iters``, ``weight`` (its name),
    ``initial``, ``final`` (NaN where none). None where no run has weights. Of many values the
    smallest, the largest, the best and some between are shown; of more combinations than have
    panels, that of the best run; of many weights as many as a cloud of dots holds.
    """
    order = {text: at for at, text in enumerate(key.values)}
    texts = data.values[key.name]
    rows, note = data.runs, ""
    if panels.whole:
        chosen = data.best if data.best is not None else rows.iloc[0]
        rows = rows[rows.combination == chosen.combination]
        rows = rows if key.name == "lr" else rows[rows.lr == chosen.lr]
        note = f"the combination of the best run, of {panels.note.removeprefix('all ')}"
    inside = set(rows.index)
    first = set(data.grid.index)  # of repeats the one that stands for them
    known = [line for line in data.trajectories if line.rows[0] in inside and first & {*line.rows}]
    known.sort(key=lambda line: order[texts[line.rows[0]]])
    found: list[pd.DataFrame] = []
    for title in panels.titles:
        own = [line for line in known if panels.of[line.rows[0]] == title]
        for line in _some(own, data.best):
            table = _weights(data, line)
            # Another network has other names.
            if table is not None and (not found or table.weight.equals(found[0].weight)):
                found.append(table.assign(panel=title, value=texts[line.rows[0]]))
    if not found:
        return None, note
    every: Frame = pd.concat(found, ignore_index=True)
    if len(key.values) > MOST_SERIES:
        most = every.groupby("panel").value.nunique().max()
        some = f"{most} of {len(key.values)} values of {key.label}"
        note = f"{note}, {some}" if note else some
    return every, note


def _some(lines: list[Trajectory], best: Any) -> list[Trajectory]:
    if len(lines) <= MOST_SERIES:
        return lines
    at = {i for i, line in enumerate(lines) if best is not None and best.name in line.rows}
    return [lines[i] for i in sorted(at | set(spread(len(lines), MOST_SERIES - 1)))]


def _weights(data: SweepData, line: Trajectory) -> Frame | None:
    """Return the weights of the longest run of a trajectory."""
    ended = [at for at in line.rows if data.runs.outcome[at] not in ("diverged", "failed")]
    stored = artifact(data.runs.run[ended[-1]].weights, "weights", []) if ended else None
    if not stored:
        return None
    names, initial = flat_weights(stored.get("initial", {}))
    others, final = flat_weights(stored.get("final", {}))
    if names != others or not names:
        return None
    table = pd.DataFrame({"weight": names, "initial": initial, "final": final})
    table = table.iloc[:: -(-len(names) // MOST_DOTS)].reset_index(drop=True)
    return table.assign(iters=float(min(data.runs.iters[ended[-1]], 10**300)))


def _draw(weights: Frame, key: Axis, titles: list[str], note: str, subtitle: str) -> Figure:
    names = list(dict.fromkeys(weights.weight))
    count, named = len(titles), len(names) <= MOST_NAMED
    width = min(max(0.42 * len(names), 5.0), 13.0) if named else 5.2
    labels = ("weight", "value of the weight") if named else ("before training", "after training")
    page = Sheet(
        "Weights before and after training",
        subtitle,
        titles,
        labels,
        note=f"shown: {note}" if note else "",
        size=(width, 4.4),
        small=(min(width, 9.0 if count <= 3 else 6.6), 2.3) if named else (3.2, 3.2),
        right=2.2,
        columns=(1 if count <= 3 else 2) if named else 0,  # names below each other
    )
    panels = page.panels
    colours = shades(key.name, len(key.values))
    styles = {
        value: mark_style(colours[at], MARKERS[at % len(MARKERS)], 6 if named else 4)
        for at, value in enumerate(key.values)
    }
    for title, axes in zip(titles, panels, strict=True):
        rows = weights[weights.panel == title].groupby("value", sort=False)
        (_by_name if named else _cloud)(axes, rows, styles)
        axes.margins(y=0.06)
        axes.yaxis.set_major_locator(MaxNLocator(7, prune="both"))
    if named:
        crowded = len(names) > 32 or (count > 3 and len(names) > 16)
        look: dict[str, Any] = {"rotation": 90 if crowded else 0, "size": 7 if crowded else 9}
        for axes in panels:
            axes.set_xticks(range(len(names)), [plain(name, 12) for name in names], **look)
    else:
        both = [*panels[0].get_xlim(), *panels[0].get_ylim()]
        panels[0].set(xlim=(min(both), max(both)), ylim=(min(both), max(both)))
        panels[0].xaxis.set_major_locator(MaxNLocator(7, prune="both"))
    entries = [("before training", _BEFORE)] if named else []
    shown = weights[["value", "iters"]].drop_duplicates()
    places = shown.value.map(key.values.index)
    for at, iters in sorted(zip(places, shown.iters, strict=True), reverse=True):
        label = f"{key.labels[at]} · {tick(iters)}"
        entries.append((label, styles[key.values[at]] | {"markersize": 7}))
    page.legend(f"{key.label} · iterations", entries)
    return page.figure


def _by_name(axes: Axes, values: Any, styles: Mapping[str, dict[str, Any]]) -> None:
    """Draw a column a weight: a dash before training, a mark after it for each value."""
    count = values.ngroups
    for i, (value, rows) in enumerate(values):
        x = np.arange(len(rows)) + (i - (count - 1) / 2) * min(0.22, 0.8 / count)
        axes.vlines(x, rows.initial, rows.final, color=styles[value]["color"], linewidth=1.2)
        axes.plot(x, rows.final, **styles[value])
        if not i:
            axes.plot(np.arange(len(rows)), rows.initial, **_BEFORE, zorder=4)
    axes.set_xlim(-0.7, len(rows) - 0.3)
    axes.grid(False, axis="x")
    for between in np.arange(len(rows) - 1) + 0.5:
        axes.axvline(between, color=GRID, linewidth=0.5, zorder=0)


def _cloud(axes: Axes, values: Any, styles: Mapping[str, dict[str, Any]]) -> None:
    """Draw a dot a weight: before training across, after it upwards."""
    axes.axline((0, 0), slope=1, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    for value, rows in values:
        axes.plot(rows.initial, rows.final, alpha=0.6, **styles[value])


def _alt(weights: Frame, key: Axis) -> str:
    size = weights.weight.nunique()
    runs = len(weights[["panel", "value"]].drop_duplicates())
    words = (
        f"The {counted(size, 'weight')} and biases before training and after it, for "
        f"{counted(runs, 'run')}."
    )
    moves = (weights.final - weights.initial).abs()
    if not moves.notna().any():
        return words
    one = weights.loc[moves.idxmax()]
    return (
        f"{words} {plain(one.weight, 24)} moves most: from {figure(one.initial, 3)} to "
        f"{figure(one.final, 3)} ({key.label} {key.labels[key.values.index(one.value)]})."
    )
