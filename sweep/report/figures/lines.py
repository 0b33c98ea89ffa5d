"""Draw a table of points as lines and marks: error curves, and final errors by one key."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from sweep.report.axes import LARGEST, Axis
from sweep.report.colours import INK, MARKERS, QUIET, shades
from sweep.report.data import Frame
from sweep.report.figures.canvas import MANY, Sheet, text_inches
from sweep.report.figures.panels import Panels
from sweep.report.figures.scale import error_axis, floor_band, inside, spaced
from sweep.report.formats import tick

__all__ = ["MOST_LINES", "draw_lines", "mark_style", "points_of"]

MOST_LINES = 60

MOST_BANDS = 12
"""The bands of more lines in a panel would hide each other."""

LOOKS: dict[str, dict[str, Any]] = {
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": (0, (2.5, 1.5))},
    "band": {"linestyle": "-", "linewidth": 8, "alpha": 0.2},
    "best": {"marker": "o", "markersize": 14, "markerfacecolor": "none", "color": INK},
    "lowest": {"linestyle": (0, (4, 1.5)), "linewidth": 2.2, "color": INK, "zorder": 4},
    "above": {"marker": "^", "markersize": 9, "markerfacecolor": "white"},
    "diverged": {"marker": "x", "markersize": 9, "markeredgewidth": 2.4},
}
"""How matplotlib draws each kind of points; a ``run`` is drawn by `mark_style`."""

NAMES = {"best": "best", "band": "lowest to highest", "lowest": "best of all"}
NAMES |= {"above": "above the axis", "diverged": "diverged"}
"""Kinds that the legend explains."""


def points_of(
    panel: str,
    kind: str,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    line: int = -1,
    value: str | None = None,
) -> Frame:
    """Return rows of the table that `draw_lines` draws."""
    same: dict[str, Any] = {"panel": panel, "line": line, "value": value, "kind": kind}
    return pd.DataFrame({"x": np.asarray(x, float), "y": np.asarray(y, float)}).assign(**same)


def draw_lines(
    subtitle: str,
    *,
    title: str,
    labels: tuple[str, str],
    points: Frame,
    key: Axis,
    panels: Panels,
    x_axis: Callable[[Axes], None],
    ceiling: float = math.inf,
    log: bool = True,
    counts: Sequence[float] = (),
    dashed: str = "validation",
    note: str = "",
) -> Figure:
    """Draw a panel for each combination, one legend or colour scale.

    Parameters
    ----------
    points
        Columns ``panel``, ``line``, ``value`` (of the key, as text), ``kind``, ``x``, ``y``.
        A ``line`` may have a second one (``dashed``) and a mark where a ``run`` of it ended or
        ``diverged``; ``best`` is the best of all, ``lowest`` the least of many lines. A ``band``
        reaches from ``y`` up to ``top``, a column that others do not need.
    x_axis
        Sets the x axis of a panel.
    ceiling
        The largest error worth its room.
    log
        Whether the y axis may be logarithmic.
    counts
        Iteration counts to mark at the top.
    dashed
        What the second lines are.
    """
    right = max(1.75, 0.75 + text_inches([*key.labels, key.label]))
    how: dict[str, Any] = {"note": note, "columns": panels.columns, "right": right}
    page = Sheet(title, subtitle, panels.titles, labels, **how)
    shown = page.panels
    points = points if "top" in points else points.assign(top=np.nan)
    bands = points[points.kind == "band"].groupby("panel").line.nunique()
    if bands.max() > MOST_BANDS:
        points = points[points.kind != "band"]
    error_axis(shown[0], "y", points[["y", "top"]], ceiling, log=log)
    above = (points.kind == "run") & (points.y > shown[0].get_ylim()[1])
    points = points.assign(kind=points.kind.mask(above, "above"))
    colours = shades(key.name, len(key.values))
    for name, axes in zip(panels.titles, shown, strict=True):
        x_axis(axes)
        floor_band(axes, named=len(shown) == 1)
        _counts(axes, counts, named=len(shown) == 1)
        _panel(axes, points[points.panel == name], key, colours, alone=len(shown) == 1)
    many, kinds = len(key.values) >= MANY, set(points.kind)
    entries = []
    for at in () if many else reversed(range(len(key.values))):
        look = mark_style(colours[at], MARKERS[at % len(MARKERS)], 6)
        entries.append((key.labels[at], look | {"linestyle": "-", "linewidth": 1.7}))
    for kind, text in {"dashed": dashed, **NAMES}.items():
        if kind in kinds:
            entries.append((text, _look(kind, QUIET)))
    page.legend("" if many else key.label, entries)
    if many:
        norm, scale = Normalize(-0.5, len(colours) - 0.5), ListedColormap(colours)
        room = 0.55 + 0.25 * len(entries)
        page.colour_bar(key.label, norm, scale, range(len(colours)), key.labels, room=room)
    return page.figure


def mark_style(colour: str, marker: str, size: float) -> dict[str, Any]:
    """Return the look of a run's mark: its colour with a white rim."""
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.8 if size > 4 else 0.3}
    return {"marker": marker, "markersize": size, "color": colour, "linestyle": "none", **edge}


def _look(kind: str, colour: str, width: float = 1.7) -> dict[str, Any]:
    width = 0.8 * width if kind == "dashed" else width
    look = {"color": colour, "linewidth": width, "linestyle": "none", "markeredgewidth": 1.9}
    return look | LOOKS[kind]


def _panel(axes: Axes, points: Frame, key: Axis, colours: Sequence[str], *, alone: bool) -> None:
    many = len(key.values) >= MANY
    crowded = many or points[points.kind == "line"].line.nunique() >= MANY
    place = {value: at for at, value in enumerate(key.values)}
    for (_, kind), rows in points.groupby(["line", "kind"], sort=False):
        at = place.get(rows.value.iloc[0], 0)
        marker = "o" if many else MARKERS[at % len(MARKERS)]
        size = 3.0 if crowded or len(rows) >= 35 else 7.0 if alone else 5.0
        if kind == "band":
            ends = [np.clip(rows[name], axes.get_ylim()[0], LARGEST) for name in ("y", "top")]
            axes.fill_between(rows.x, *ends, color=colours[at], alpha=0.12, linewidth=0, zorder=1)
            for end in ends:
                axes.plot(rows.x, end, color=colours[at], alpha=0.5, linewidth=0.7, zorder=1)
        elif kind in ("line", "dashed", "lowest"):  # what is above leaves the picture
            look = _look(str(kind), colours[at], 0.9 if crowded else 1.7)
            axes.plot(rows.x, np.clip(rows.y, axes.get_ylim()[0], LARGEST), **look)
        else:
            run = mark_style(colours[at], marker, size)
            look = run if kind == "run" else _look(str(kind), colours[at])
            axes.plot(rows.x, inside(axes, rows.y), **look, clip_on=False, zorder=3)


def _counts(axes: Axes, counts: Sequence[float], *, named: bool) -> None:
    """Mark the iteration counts of the grid, with their numbers at the top edge."""
    counts = [count for count in counts if count <= axes.get_xlim()[1]]
    for count in counts:
        axes.axvline(count, color=QUIET, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
    if not named or not counts:
        return
    look: dict[str, Any] = {"transform": axes.transAxes, "size": 9, "color": QUIET, "va": "bottom"}
    spots = axes.transData.transform([(count, 1) for count in counts])
    x = axes.transAxes.inverted().transform(spots)[:, 0]
    for at in spaced(x, 0.07):
        axes.text(x[at], 1.01, tick(counts[at]), ha="center", **look)
    axes.text(-0.012, 1.01, "runs end at", ha="right", **look)
