"""The weights: where each began and where training left it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.report.axes import Axis
from sweep.report.colours import GRID, INK, MARKERS, QUIET, shades
from sweep.report.curves import Trajectory, artifact
from sweep.report.data import SweepData
from sweep.report.figures.canvas import Picture, Sheet, legend, sheet, spread
from sweep.report.figures.lines import mark_style
from sweep.report.figures.panels import main_axis, panels_of
from sweep.report.formats import counted, figure, plain, tick

__all__ = ["WeightsData", "flat_weights", "weights_data", "weights_picture"]

MOST_NAMED = 64
"""Networks of up to this many scalars are drawn by name, larger ones as a cloud."""

MOST_SERIES = 7
MOST_DOTS = 3000

_BEFORE: dict[str, Any] = {
    "marker": "_",
    "markersize": 16,
    "markeredgewidth": 2.2,
    "color": INK,
    "linestyle": "none",
}

Values = npt.NDArray[np.float64]


class Series(NamedTuple):
    """The weights of one run before and after training, NaN where none."""

    value: int
    iters: int
    initial: Values
    final: Values


class WeightsData(NamedTuple):
    """Weights by name, or (`names` empty) as many dots as a cloud holds."""

    key: Axis
    names: tuple[str, ...]
    titles: tuple[str, ...]
    panels: tuple[tuple[Series, ...], ...]
    note: str


def flat_weights(weights: Mapping[str, Any]) -> tuple[tuple[str, ...], Values]:
    """Return the names and values of all scalars, arrays opened up row by row.

    A null (a weight that became NaN or infinite) is NaN.
    """
    names: list[str] = []
    values: list[Values] = []
    for name, value in weights.items():
        array = np.atleast_1d(np.array(value, dtype=np.float64)).ravel()
        names += [name] if len(array) == 1 else [f"{name}[{i}]" for i in range(len(array))]
        values.append(array)
    return tuple(names), np.concatenate(values) if values else np.empty(0)


def weights_picture(data: SweepData) -> Picture | None:
    """Return the picture of the weights; None without any."""
    shown = weights_data(data)
    if shown is None:
        return None
    caption = f"The longest run of each {shown.key.label}."
    draw = partial(_draw, shown)
    return Picture("weights", "Weights before and after training", _alt(shown), caption, draw)


def weights_data(data: SweepData) -> WeightsData | None:
    """Return the weights of the longest run of some trajectories, None without any.

    Of many values the smallest, the largest, the best and some between are shown; of more
    combinations than have panels, that of the best run.
    """
    key = main_axis(data)
    panels = panels_of(data, key, data.axes["iters"])
    best = None if data.best is None else data.best.name
    groups, note = list(zip(panels.titles, panels.rows, strict=True)), ""
    if panels.whole:
        chosen = data.best if data.best is not None else data.runs.iloc[0]
        same = data.runs.combination == chosen.combination
        if key.name != "lr":
            same &= data.runs.lr == chosen.lr
        groups = [("", data.runs.index[same])]
        note = f"the combination of the best run, of {panels.note.removeprefix('all ')}"
    value_of = {text: at for at, text in enumerate(key.values)}
    texts = data.values[key.name]
    names: tuple[str, ...] = ()
    found: list[tuple[str, tuple[Series, ...]]] = []
    for title, rows in groups:
        inside = set(rows)
        own = [line for line in data.trajectories if line.rows[0] in inside]
        own.sort(key=lambda line: value_of[texts[line.rows[0]]])
        series = []
        for line in _some(own, best):
            read = _series(data, line, value_of[texts[line.rows[0]]])
            if read is not None and names in ((), read[0]):  # another network has other names
                names = read[0]
                series.append(read[1])
        if series:
            found.append((title, tuple(series)))
    if not found:
        return None
    if len(key.values) > MOST_SERIES:
        most = max(len(series) for _, series in found)
        some = f"{most} of {len(key.values)} values of {key.label}"
        note = f"{note}, {some}" if note else some
    shown = tuple(plain(name, 12) for name in names) if len(names) <= MOST_NAMED else ()
    titles, every = zip(*found, strict=True)
    return WeightsData(key, shown, titles, every, note)


def _some(lines: list[Trajectory], best: Any) -> list[Trajectory]:
    if len(lines) <= MOST_SERIES:
        return lines
    at = {i for i, line in enumerate(lines) if best in line.rows}
    return [lines[i] for i in sorted(at | set(spread(len(lines), MOST_SERIES - 1)))]


def _series(data: SweepData, line: Trajectory, value: int) -> tuple[tuple[str, ...], Series] | None:
    ended = [at for at in line.rows if data.runs.outcome[at] not in ("diverged", "failed")]
    stored = artifact(data.runs.run[ended[-1]].weights, "weights", []) if ended else None
    if not stored:
        return None
    names, initial = flat_weights(stored.get("initial", {}))
    others, final = flat_weights(stored.get("final", {}))
    if names != others or not len(names):
        return None
    step = -(-len(names) // MOST_DOTS)
    kept = (names[::step], initial[::step], final[::step])
    return kept[0], Series(value, data.runs.iters[ended[-1]], kept[1], kept[2])


def _draw(data: WeightsData, subtitle: str) -> Figure:
    count, named = len(data.panels), bool(data.names)
    width = min(max(0.42 * len(data.names), 5.0), 13.0) if named else 5.2
    small = (min(width, 9.0 if count <= 3 else 6.6), 2.3) if named else (3.2, 3.2)
    page = sheet(
        "Weights before and after training",
        f"{subtitle} · shown: {data.note}" if data.note else subtitle,
        count,
        size=(width, 4.4),
        small=small,
        right=2.2,
        columns=(1 if count <= 3 else 2) if named else 0,  # names below each other
    )
    limits = _limits(data)
    ticks = [at for at in MaxNLocator(7).tick_values(*limits) if limits[0] < at < limits[1]]
    colours = shades(data.key.name, len(data.key.values))
    for index, series in enumerate(data.panels):
        axes = page.panels[index]
        axes.set_title(data.titles[index], size=10, color=INK, loc="left", parse_math=False)
        if named:
            _by_name(page, index, data.names, series, colours)
        else:
            _cloud(axes, series, colours, limits)
            axes.set_xticks(ticks, [f"{at:g}" for at in ticks], parse_math=False)
        axes.set_ylim(*limits)
        axes.set_yticks(ticks, [f"{at:g}" for at in ticks], parse_math=False)
    entries: list[tuple[str, dict[str, Any]]] = [("before training", _BEFORE)] if named else []
    shown = {(s.value, s.iters) for series in data.panels for s in series}
    for value, iters in sorted(shown, reverse=True):
        label = f"{data.key.labels[value]} · {tick(min(iters, 10**300))}"
        entries.append((label, mark_style(colours[value], MARKERS[value % len(MARKERS)], 7)))
    legend(page, f"{data.key.label} · iterations", entries)
    return page.figure


def _limits(data: WeightsData) -> tuple[float, float]:
    arrays = [np.concatenate([s.initial, s.final]) for series in data.panels for s in series]
    values = np.concatenate(arrays)
    values = np.clip(values[np.isfinite(values)], -1e150, 1e150)
    if not len(values):
        return -1.0, 1.0
    pad = 0.06 * float(np.ptp(values)) or 0.5
    return float(values.min()) - pad, float(values.max()) + pad


def _by_name(
    page: Sheet, index: int, names: tuple[str, ...], panel: tuple[Series, ...], colours: list[str]
) -> None:
    axes = page.panels[index]
    last, first = page.outer(index)
    x = np.arange(len(names))
    axes.grid(False, axis="x")
    for i, series in enumerate(panel):
        at = x + (i - (len(panel) - 1) / 2) * min(0.22, 0.8 / len(panel))
        colour, marker = colours[series.value], MARKERS[series.value % len(MARKERS)]
        axes.vlines(at, series.initial, series.final, color=colour, linewidth=1.2)
        axes.plot(at, series.final, **mark_style(colour, marker, 6))
    axes.plot(x, panel[0].initial, **_BEFORE, zorder=4)
    axes.set_xlim(-0.7, len(names) - 0.3)
    crowded = len(names) > 32 or (page.columns > 1 and len(names) > 16)
    labels = list(names) if last else [""] * len(names)
    axes.set_xticks(x, labels, parse_math=False, rotation=90 if crowded else 0)
    axes.tick_params(axis="x", labelsize=7 if crowded else 9)
    for line in x[:-1] + 0.5:
        axes.axvline(line, color=GRID, linewidth=0.5, zorder=0)
    axes.tick_params(axis="y", labelleft=first)
    look: dict[str, Any] = {"size": 11, "color": INK, "parse_math": False}
    axes.set_ylabel("value of the weight" if first else "", **look)
    axes.set_xlabel("weight" if last else "", **look)


def _cloud(
    axes: Axes, panel: tuple[Series, ...], colours: list[str], limits: tuple[float, float]
) -> None:
    axes.axline((0, 0), slope=1, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    for series in panel:
        style = mark_style(colours[series.value], MARKERS[series.value % len(MARKERS)], 4)
        axes.plot(series.initial, series.final, alpha=0.6, **style)
    axes.set_xlim(*limits)
    axes.set_xlabel("before training", size=11, color=INK, parse_math=False)
    axes.set_ylabel("after training", size=11, color=INK, parse_math=False)


def _alt(data: WeightsData) -> str:
    series = [one for panel in data.panels for one in panel]
    size = len(series[0].initial)
    words = (
        f"The {counted(size, 'weight')} and biases before training and after it, for "
        f"{counted(len(series), 'run')}."
    )
    moves = np.array([np.nan_to_num(np.abs(s.final - s.initial), nan=-1.0) for s in series])
    at, which = np.unravel_index(int(moves.argmax()), moves.shape)
    if moves[at, which] < 0:
        return words
    name = data.names[which] if data.names else f"number {which + 1}"
    one = series[at]
    return (
        f"{words} {name} moves most: from {figure(float(one.initial[which]), 3)} to "
        f"{figure(float(one.final[which]), 3)} "
        f"({data.key.label} {data.key.labels[one.value]})."
    )
