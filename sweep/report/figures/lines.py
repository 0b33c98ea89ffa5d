"""Draw lines and marks in panels: error curves, and final errors by one key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.transforms import ScaledTranslation

from sweep.report.axes import LARGEST, Axis
from sweep.report.colours import INK, MARKERS, QUIET, shades
from sweep.report.curves import Frame
from sweep.report.data import SweepData
from sweep.report.figures.scales import (
    ceiling_of,
    error_axis,
    floor_band,
    inside,
    key_axis,
    spaced,
    step_axis,
)
from sweep.report.figures.sheet import MANY, Panels, Sheet, spread, text_inches
from sweep.report.formats import tick

MOST_BANDS = 12
"""With more bands in a panel, none are drawn: they would hide each other."""

LOOKS: dict[str, dict[str, Any]] = {
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": (0, (2.5, 1.5))},
    "best": {"marker": "o", "markersize": 14, "markerfacecolor": "none", "color": INK},
    "band": {"linestyle": "-", "linewidth": 8, "alpha": 0.2},
    "lowest": {"linestyle": (0, (4, 1.5)), "linewidth": 2.2, "color": INK, "zorder": 4},
    "above": {"marker": "^", "markersize": 9, "markerfacecolor": "white"},
    "diverged": {"marker": "x", "markersize": 9, "markeredgewidth": 2.4},
}
"""Style of each kind of line; a ``run`` is drawn by `mark_style`."""

NAMES = {"best": "best", "band": "lowest to highest", "lowest": "best of all"}
NAMES |= {"above": "above the axis", "diverged": "diverged"}


POINTS = ["kind", "panel", "value", "line", "x", "y", "low", "high"]
"""Columns of a table of points to draw.

Kinds: ``line`` and a second one (``dashed``), marks where a ``run`` of it ended or ``diverged``,
the ``best`` of all, and the ``lowest`` of many lines. ``panel`` is its title, ``value`` that of the
key as text; ``line`` separates lines of one value, and ``low`` and ``high`` are the ends of a band.
"""


def points(
    kind: str, panel: str, value: str, x: Any, y: Any, *, line: int = 0, **band: Any
) -> Frame:
    """Return the points of one line, or marks on it; the columns are `POINTS`."""
    named = {"kind": kind, "panel": panel, "value": value, "line": line}
    ends = {"low": math.nan, "high": math.nan, **band}
    return pd.DataFrame({**named, "x": np.asarray(x, float), "y": np.asarray(y, float), **ends})


def draw_lines(
    title: str,
    data: SweepData,
    label: str,
    shown: Frame,
    key: Axis,
    panels: Panels,
    x: Axis | None = None,
    *,
    note: str = "",
    log: bool = True,
    errors: bool = True,
    counts: Sequence[float] = (),
    dashed: str = "validation",
) -> Sheet:
    """Draw points (`POINTS`) in their panels, coloured by `key`, with one legend or colour bar.

    Parameters
    ----------
    label, x
        Label of the y axis; the key of the x axis, None for iterations from 0.
    log
        Whether the y axis may be logarithmic.
    errors
        False for other metrics: each panel has its own y axis, logarithmic above two decades.
    counts
        Iteration counts to mark at the top.
    dashed
        Legend text of the dashed lines.
    """
    right = max(1.75, 0.75 + text_inches([*key.labels, key.label]))
    labels = (x.label if x else "iteration (0 is before training)", label)
    share = "xy" if errors else "x"
    page = Sheet(title, data.subtitle, labels, panels, note=note, right=right, share=share)
    banded = shown[shown.low.notna()].groupby("panel").line.nunique().max()
    if banded > MOST_BANDS:
        shown = shown.assign(low=np.nan, high=np.nan)
    ceiling = ceiling_of(data) if errors else math.inf
    colours, kinds = shades(key.name, len(key.values)), set[str]()
    many = len(key.values) >= min(MANY, page.entries() - len(NAMES))
    for name, axes in zip(panels.titles, page.panels, strict=True):
        own = shown[shown.panel == name]
        values = (shown if errors else own)[["y", "low", "high"]].to_numpy().ravel()
        wide = errors or 0 < 100 * np.nanmin(values) < np.nanmax(values)
        if not errors or axes is page.panels[0]:
            error_axis(axes, "y", values, ceiling, log=log and bool(wide))
        key_axis(axes, x) if x else step_axis(axes, shown.x.max())
        if errors:
            floor_band(axes, named=len(page.panels) == 1)
        _counts(axes, counts, named=len(page.panels) == 1)
        kinds |= _panel(axes, own, key, colours, single=len(page.panels) == 1, many=many)
    entries = []
    for at in () if many else reversed(range(len(key.values))):
        look = mark_style(colours[at], MARKERS[at % len(MARKERS)], 6)
        entries.append((key.labels[at], look | {"linestyle": "-", "linewidth": 1.7}))
    named = {"dashed": dashed, **NAMES}
    entries += [(text, mark_look(kind, QUIET)) for kind, text in named.items() if kind in kinds]
    page.legend("" if many else key.label, entries)
    if many:
        norm, scale = Normalize(-0.5, len(colours) - 0.5), ListedColormap(colours)
        room = 0.55 + 0.25 * len(entries)
        few = spread(len(key.labels), 7)
        ticks: dict[float, str] = {at: key.labels[at] for at in few}
        page.colour_bar(key.label, norm, scale, ticks, room=room)
    return page


def mark_style(colour: str, marker: str, size: float) -> dict[str, Any]:
    """Return the style of a run's mark: its colour with a white edge."""
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.8 if size > 4 else 0.3}
    return {"marker": marker, "markersize": size, "color": colour, "linestyle": "none", **edge}


def mark_look(kind: str, colour: str, width: float = 1.7) -> dict[str, Any]:
    """Return the style of a kind of line or mark."""
    width = 0.8 * width if kind == "dashed" else width
    look = {"color": colour, "linewidth": width, "linestyle": "none", "markeredgewidth": 1.9}
    return look | LOOKS[kind]


def _panel(
    axes: Axes, shown: Frame, key: Axis, colours: Sequence[str], *, single: bool, many: bool
) -> set[str]:
    """Draw the points of one panel; return what is to be named in the legend."""
    crowded = many or shown[shown.kind == "line"].line.nunique() >= MANY
    place = {value: at for at, value in enumerate(key.values)}
    low, high = axes.get_ylim()
    kinds, rows = set(), 0
    for (kind, value, _), own in shown.groupby(["kind", "value", "line"], sort=False):
        at = place.get(value, 0)
        colour, marker = colours[at], "o" if many else MARKERS[at % len(MARKERS)]
        if kind in ("line", "dashed", "lowest"):  # lines may leave the panel at the top
            y, *ends = np.clip(own[["y", "low", "high"]].to_numpy().T, low, LARGEST)
            axes.plot(own.x, y, **mark_look(kind, colour, 0.9 if crowded else 1.7))
            kinds.add(kind)
            if own.low.notna().any():
                kinds.add("band")
                axes.fill_between(own.x, *ends, color=colour, alpha=0.12, linewidth=0, zorder=1)
                for end in ends:
                    axes.plot(own.x, end, color=colour, alpha=0.5, linewidth=0.7, zorder=1)
            continue
        size = 3.0 if crowded or len(own) >= 35 else 7.0 if single else 5.0
        look = mark_style(colour, marker, size) if kind == "run" else mark_look(kind, colour)
        above = (own.y > high) & (kind == "run")
        if kind == "diverged" and np.isinf(own.y).all():  # eight rows, one for each line
            down = ScaledTranslation(0, -0.15 * (rows % 8), axes.figure.dpi_scale_trans)
            look["transform"] = axes.transData + down
            rows += 1
        for name, style, marks in (
            (kind, look, own[~above]),
            ("above", mark_look("above", colour), own[above]),
        ):
            if len(marks):
                kinds.add(name)
                axes.plot(marks.x, inside(axes, marks.y), **style, clip_on=False, zorder=3)
    return kinds


def _counts(axes: Axes, counts: Sequence[float], *, named: bool) -> None:
    """Mark the iteration counts of the grid, with their numbers at the top edge if `named`."""
    counts = [count for count in counts if count <= axes.get_xlim()[1]]
    for count in counts:
        axes.axvline(count, color=QUIET, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
    if not named or not counts:
        return
    look: dict[str, Any] = {"transform": axes.transAxes, "size": 9, "color": QUIET, "va": "bottom"}
    pixels = axes.transData.transform([(count, 1) for count in counts])
    x = axes.transAxes.inverted().transform(pixels)[:, 0]
    for at in spaced(x, 0.07):
        axes.text(x[at], 1.01, tick(counts[at]), ha="center", **look)
    axes.text(-0.012, 1.01, "runs end at", ha="right", **look)
