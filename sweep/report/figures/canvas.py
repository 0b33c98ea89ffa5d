"""Figures without pyplot: panels at fixed inches, matplotlib's log axes, files as bytes.

Margins are computed, not searched for: a layout engine would cost more than the drawing.
Text is never parsed as mathematics, since names come from the store.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.report.colours import GRID, INK, QUIET

__all__ = [
    "MANY",
    "Picture",
    "Sheet",
    "colour_bar",
    "columns_of",
    "frame",
    "legend",
    "png_bytes",
    "sheet",
    "spread",
    "svg_bytes",
    "text_inches",
]

MANY = 30
"""From here on lines are set apart by a colour scale, not by a legend entry each."""

_DPI = 160
_TOP, _BOTTOM = 0.95, 0.72


class Picture(NamedTuple):
    """One picture: `draw(subtitle)` makes the figure, `alt` says what it shows."""

    name: str
    title: str
    alt: str
    caption: str
    draw: Callable[[str], Figure]


class Sheet(NamedTuple):
    """A figure and its panels, row by row, all of one size."""

    figure: Figure
    panels: tuple[Axes, ...]
    columns: int

    def outer(self, index: int) -> tuple[bool, bool]:
        """Return whether a panel is the last of its column and the first of its row."""
        return index + self.columns >= len(self.panels), index % self.columns == 0


def text_inches(texts: Sequence[str], size: float = 10) -> float:
    """Return about how wide the longest text is on paper."""
    return max((len(text) for text in texts), default=0) * size * 0.0087


def columns_of(count: int) -> int:
    """Return how many of `count` panels stand side by side."""
    return count if count <= 1 else 2 if count in (2, 4) else 3


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` indices of `count`, evenly apart, the ends among them."""
    at = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(i) for i in np.unique(at)]


def sheet(
    title: str,
    subtitle: str,
    count: int,
    *,
    size: tuple[float, float] = (7.2, 4.2),
    small: tuple[float, float] = (3.4, 2.6),
    left: float = 0.95,
    right: float = 1.75,
    gap: tuple[float, float] = (0.3, 0.45),
    foot: float = 0.0,
    columns: int = 0,
) -> Sheet:
    """Return a titled figure with `count` panels.

    Parameters
    ----------
    size, small
        Inches of the axes of a single panel, and those of several.
    left, right, gap, foot
        Inches kept free: for the labels of the y axis, for a legend or colour scale, between
        panels, and below all for a line of words.
    columns
        Panels side by side; 0 chooses.
    """
    count = max(count, 1)
    columns = columns or columns_of(count)
    rows = math.ceil(count / columns)
    width, height = size if count == 1 else small
    below = _BOTTOM + foot
    full_x = left + columns * width + (columns - 1) * gap[0] + right
    full_y = _TOP + rows * height + (rows - 1) * gap[1] + below + (0.25 if count > 1 else 0)
    full_x = max(full_x, 0.5 + 0.125 * len(title), 0.5 + 0.083 * len(subtitle))
    figure = Figure(figsize=(full_x, full_y), facecolor="white")
    FigureCanvasAgg(figure)
    text: dict[str, Any] = {"parse_math": False, "va": "top"}
    start = 0.25 / full_x
    head: dict[str, Any] = {"size": 15, "weight": "bold", "color": INK}
    figure.text(start, 1 - 0.18 / full_y, title, **head, **text)
    figure.text(start, 1 - 0.50 / full_y, subtitle, size=10, color=QUIET, **text)
    panels = []
    for index in range(count):
        row, column = divmod(index, columns)
        x = left + column * (width + gap[0])
        y = below + (rows - 1 - row) * (height + gap[1])
        axes = figure.add_axes((x / full_x, y / full_y, width / full_x, height / full_y))
        axes.tick_params(colors=INK, labelsize=10 if count == 1 else 9, length=3)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(QUIET)
        axes.grid(True, color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        panels.append(axes)
    return Sheet(figure, tuple(panels), columns)


def frame(page: Sheet, index: int, title: str, labels: tuple[str, str]) -> Axes:
    """Set title and labels of one panel of several that share their axes."""
    axes = page.panels[index]
    last, first = page.outer(index)
    look: dict[str, Any] = {"size": 11, "color": INK, "parse_math": False}
    axes.set_title(title, size=10, color=INK, loc="left", parse_math=False)
    axes.set_xlabel(labels[0] if last else "", **look)
    axes.set_ylabel(labels[1] if first else "", **look)
    axes.tick_params(labelbottom=last, labelleft=first)
    return axes


def legend(page: Sheet, title: str, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Put a legend into the free margin at the right, level with the panels' top."""
    if not entries:
        return
    last = page.panels[page.columns - 1].get_position()
    many = len(entries) > 16
    box = page.figure.legend(
        [Line2D([], [], **look) for _, look in entries],
        [text for text, _ in entries],
        title=title,
        loc="upper left",
        bbox_to_anchor=(last.x1 + 0.15 / page.figure.get_figwidth(), last.y1),
        borderaxespad=0,
        frameon=False,
        fontsize=8 if many else 10,
        labelspacing=0.25 if many else 0.5,
        alignment="left",
    )
    for text in (*box.get_texts(), box.get_title()):
        text.set_parse_math(False)
        text.set_color(INK)


def colour_bar(
    page: Sheet,
    title: str,
    colours: Sequence[Any],
    labels: Sequence[str],
    *,
    room: float = 0.0,
    gap: float = 0.2,
) -> None:
    """Draw colours from below to above at the right, each with its label (or an empty one).

    `room` inches at the top are left for a legend, `gap` inches beside the panels.
    """
    last, bottom = page.panels[page.columns - 1].get_position(), page.panels[-1].get_position().y0
    width, height = page.figure.get_figwidth(), page.figure.get_figheight()
    top = last.y1 - room / height
    bar = page.figure.add_axes((last.x1 + gap / width, bottom, 0.16 / width, top - bottom))
    strip = np.arange(len(colours))[:, None]
    look: dict[str, Any] = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
    bar.imshow(strip, cmap=ListedColormap(list(colours)), **look)
    named = [at for at, label in enumerate(labels) if label]
    most = max(int((top - bottom) * height / 0.24), 2)
    named = [named[i] for i in spread(len(named), most)] if named else []
    bar.set_xticks([])
    bar.set_yticks(named, [labels[i] for i in named], parse_math=False)
    bar.yaxis.tick_right()
    bar.tick_params(colors=INK, labelsize=9, length=2)
    bar.set_title(title, size=10, color=INK, loc="left", pad=8, parse_math=False)
    for spine in bar.spines.values():
        spine.set_visible(False)


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
