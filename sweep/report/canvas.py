"""Paper for the pictures: figures without pyplot, panels at fixed inches, files as bytes.

Margins are computed, not searched for: a layout engine would cost more than the drawing.
Text is never parsed as mathematics, since names come from the store.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.report.scale import LogScale

__all__ = [
    "GRID",
    "INK",
    "QUIET",
    "Sheet",
    "axis",
    "legend",
    "png_bytes",
    "set_axis",
    "sheet",
    "subtitled",
    "svg_bytes",
]

INK, QUIET, GRID = "#1f2328", "#59636e", "#dde2e8"

_DPI = 160
_TOP, _BOTTOM, _LEFT = 0.95, 0.72, 0.95


class Sheet(NamedTuple):
    """A figure and its panels, row by row, all of one size."""

    figure: Figure
    panels: tuple[Axes, ...]
    columns: int


def sheet(
    title: str,
    subtitle: str,
    count: int,
    *,
    width: float = 7.2,
    height: float = 4.2,
    right: float = 1.75,
    left: float = _LEFT,
    small: tuple[float, float] = (3.4, 2.6),
    gap: float = 0.3,
    foot: float = 0.0,
    columns: int = 0,
) -> Sheet:
    """Return a titled figure with `count` panels.

    Parameters
    ----------
    width, height
        Inches of the axes of a single panel; `small` those of several.
    right, left
        Inches kept free for a legend or colour scale, and for the labels of the y axis.
    gap, foot
        Inches between panels side by side, and below all for a line of words.
    columns
        Panels side by side; 0 chooses.
    """
    if columns == 0:
        columns = 1 if count == 1 else 2 if count in (2, 4) else 3 if count <= 9 else 4
    rows = math.ceil(count / columns)
    if count > 1:
        width, height = small
    gap_x, gap_y, below = gap, 0.45, _BOTTOM + foot
    full_x = left + columns * width + (columns - 1) * gap_x + right
    full_y = _TOP + rows * height + (rows - 1) * gap_y + below + (0.25 if count > 1 else 0)
    full_x = max(full_x, 0.5 + 0.125 * len(title), 0.5 + 0.083 * len(subtitle))
    figure = Figure(figsize=(full_x, full_y), facecolor="white")
    FigureCanvasAgg(figure)
    text: dict[str, Any] = {"parse_math": False, "va": "top", "color": INK}
    start = 0.25 / full_x
    figure.text(start, 1 - 0.18 / full_y, title, size=15, weight="bold", **text)
    figure.text(start, 1 - 0.50 / full_y, subtitle, size=10, **{**text, "color": QUIET})
    panels = []
    for index in range(count):
        row, column = divmod(index, columns)
        x = left + column * (width + gap_x)
        y = below + (rows - 1 - row) * (height + gap_y)
        axes = figure.add_axes((x / full_x, y / full_y, width / full_x, height / full_y))
        axes.tick_params(colors=INK, labelsize=10 if count == 1 else 9, length=3)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(QUIET)
        panels.append(axes)
    return Sheet(figure, tuple(panels), columns)


def subtitled(subtitle: str, left_out: str) -> str:
    """Return the subtitle, with what a crowded picture leaves out."""
    return f"{subtitle} · shown: {left_out}" if left_out else subtitle


def axis(page: Sheet, index: int, x: LogScale, y: LogScale, labels: tuple[str, str]) -> Axes:
    """Set one panel of several that share their axes; only outer panels carry labels."""
    last_row = index + page.columns >= len(page.panels)
    first = index % page.columns == 0
    axes = page.panels[index]
    set_axis(axes, x, y, (labels[0] if last_row else "", labels[1] if first else ""))
    axes.tick_params(labelbottom=last_row, labelleft=first)
    return axes


def set_axis(axes: Axes, x: LogScale, y: LogScale, labels: tuple[str, str]) -> None:
    """Set a panel's limits, ticks, grid and labels."""
    axes.set_xlim(x.low, x.high)
    axes.set_ylim(y.low, y.high)
    axes.set_xticks(x.ticks, x.labels, parse_math=False)
    axes.set_yticks(y.ticks, y.labels, parse_math=False)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(labels[0], size=11, color=INK, parse_math=False)
    axes.set_ylabel(labels[1], size=11, color=INK, parse_math=False)


def legend(page: Sheet, title: str, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Put a legend into the free margin at the right, level with the panels' top."""
    if not entries:
        return
    handles = [Line2D([], [], **look) for _, look in entries]
    last = page.panels[min(page.columns, len(page.panels)) - 1].get_position()
    width = page.figure.get_figwidth()
    box = page.figure.legend(
        handles,
        [text for text, _ in entries],
        title=title,
        loc="upper left",
        bbox_to_anchor=(last.x1 + 0.15 / width, last.y1),
        borderaxespad=0,
        frameon=False,
        fontsize=10 if len(entries) <= 16 else 8,
        labelspacing=0.5 if len(entries) <= 16 else 0.25,
        alignment="left",
    )
    for text in (*box.get_texts(), box.get_title()):
        text.set_parse_math(False)
        text.set_color(INK)


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # names in CJK
        # Level 3: a fifth larger than the default, and drawn in less time.
        how: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}}
        figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None}, **how)
    return out.getvalue()


def svg_bytes(figure: Figure, salt: str) -> bytes:
    """Return a figure as SVG with its text as text; the same bytes for the same figure."""
    out = io.BytesIO()
    with warnings.catch_warnings(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
