"""Draw lines and marks in panels: error curves, and final errors by one key."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize

from sweep.report.axes import LARGEST, Axis
from sweep.report.colours import INK, MARKERS, QUIET, shades
from sweep.report.data import SweepData
from sweep.report.figures.panels import Panels, error_axis, floor_band, inside, spaced
from sweep.report.figures.sheet import MANY, Sheet, text_inches
from sweep.report.formats import tick

MOST_BANDS = 12
"""With more bands in a panel, none are drawn: they would hide each other."""

LOOKS: dict[str, dict[str, Any]] = {
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": (0, (2.5, 1.5))},
    "band": {"linestyle": "-", "linewidth": 8, "alpha": 0.2},
    "best": {"marker": "o", "markersize": 14, "markerfacecolor": "none", "color": INK},
    "lowest": {"linestyle": (0, (4, 1.5)), "linewidth": 2.2, "color": INK, "zorder": 4},
    "above": {"marker": "^", "markersize": 9, "markerfacecolor": "white"},
    "diverged": {"marker": "x", "markersize": 9, "markeredgewidth": 2.4},
}
"""Style of each kind of line; a ``run`` is drawn by `mark_style`."""

NAMES = {"best": "best", "band": "lowest to highest", "lowest": "best of all"}
NAMES |= {"above": "above the axis", "diverged": "diverged"}


class Line(NamedTuple):
    """A line, or marks, of one kind in the panel titled `panel`.

    `value` is the value of the key as text; a ``band`` extends from `y` to `top`. Kinds: ``line``
    and a second one (``dashed``), marks where a ``run`` of it ended or ``diverged``, the ``best``
    of all, and the ``lowest`` of many lines.
    """

    kind: str
    panel: str
    value: str | None
    x: Any
    y: Any
    top: Any = ()


def draw_lines(
    title: str,
    data: SweepData,
    labels: tuple[str, str],
    lines: Sequence[Line],
    key: Axis,
    panels: Panels,
    x_axis: Callable[[Axes], None],
    *,
    ceiling: float = math.inf,
    log: bool = True,
    counts: Sequence[float] = (),
    dashed: str = "validation",
    note: str = "",
    share: str = "xy",
) -> Sheet:
    """Draw the lines of each panel, coloured by `key`, with one legend or colour bar.

    Parameters
    ----------
    x_axis
        Function that sets up the x axis of a panel.
    ceiling
        Upper y-limit; larger errors are clipped.
    log
        Whether the y axis may be logarithmic; an unshared one is so only above two decades.
    counts
        Iteration counts to mark at the top.
    dashed, share
        Legend text of the dashed lines; shared axes as in `Sheet`.
    """
    right = max(1.75, 0.75 + text_inches([*key.labels, key.label]))
    how: dict[str, Any] = {"note": note, "columns": panels.columns, "right": right, "share": share}
    page = Sheet(title, data.subtitle, labels, panels.titles, **how)
    bands = Counter(line.panel for line in lines if line.kind == "band")
    if max(bands.values(), default=0) > MOST_BANDS:
        lines = [line for line in lines if line.kind != "band"]
    colours, single, same = shades(key.name, len(key.values)), len(page.panels) == 1, "y" in share
    kinds: set[str] = set()
    for name, axes in zip(panels.titles, page.panels, strict=True):
        own = [line for line in lines if line.panel == name]
        if not same or axes is page.panels[0]:
            shown = lines if same else own
            ys = [np.ravel(part) for line in shown for part in (line.y, line.top)]
            values = np.concatenate([*ys, []])
            wide = same or 0 < 100 * values.min() < values.max()
            error_axis(axes, "y", values, ceiling, log=log and bool(wide))
        x_axis(axes)
        if same:  # an error; other metrics have no floor
            floor_band(axes, named=single)
        _counts(axes, counts, named=single)
        kinds |= _panel(axes, own, key, colours, single=single)
    many = len(key.values) >= MANY
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
        page.colour_bar(key.label, norm, scale, dict(enumerate(key.labels)), room=room)
    return page


def mark_style(colour: str, marker: str, size: float) -> dict[str, Any]:
    """Return the style of a run's mark: its colour with a white edge."""
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.8 if size > 4 else 0.3}
    return {"marker": marker, "markersize": size, "color": colour, "linestyle": "none", **edge}


def _look(kind: str, colour: str, width: float = 1.7) -> dict[str, Any]:
    width = 0.8 * width if kind == "dashed" else width
    look = {"color": colour, "linewidth": width, "linestyle": "none", "markeredgewidth": 1.9}
    return look | LOOKS[kind]


def _panel(
    axes: Axes, lines: Sequence[Line], key: Axis, colours: Sequence[str], *, single: bool
) -> set[str]:
    """Draw the lines of one panel; return their kinds, ``above`` for marks above the axis."""
    many = len(key.values) >= MANY
    crowded = many or sum(line.kind == "line" for line in lines) >= MANY
    place = {value: at for at, value in enumerate(key.values)}
    low, high = axes.get_ylim()
    kinds = set()
    for kind, _, value, x, y, top in lines:
        at = place.get(value or "", 0)
        colour, marker = colours[at], "o" if many else MARKERS[at % len(MARKERS)]
        kinds.add(kind)
        if kind == "band":
            ends = [np.clip(end, low, LARGEST) for end in (y, top)]
            axes.fill_between(x, *ends, color=colour, alpha=0.12, linewidth=0, zorder=1)
            for end in ends:
                axes.plot(x, end, color=colour, alpha=0.5, linewidth=0.7, zorder=1)
        elif kind in ("line", "dashed", "lowest"):  # lines may leave the panel at the top
            look = _look(kind, colour, 0.9 if crowded else 1.7)
            axes.plot(x, np.clip(y, low, LARGEST), **look)
        elif kind != "run":
            axes.plot(x, inside(axes, y), **_look(kind, colour), clip_on=False, zorder=3)
        else:
            x, y = np.asarray(x, float), np.asarray(y, float)
            size = 3.0 if crowded or len(x) >= 35 else 7.0 if single else 5.0
            styles = {"run": mark_style(colour, marker, size), "above": _look("above", colour)}
            for (name, look), marks in zip(styles.items(), (y <= high, y > high), strict=True):
                if marks.any():
                    kinds.add(name)
                    axes.plot(x[marks], inside(axes, y[marks]), **look, clip_on=False, zorder=3)
    return kinds


def _counts(axes: Axes, counts: Sequence[float], *, named: bool) -> None:
    """Mark the iteration counts of the grid, with their numbers at the top edge if `named`."""
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
