"""Figures without pyplot; margins are computed: a layout engine takes as long as drawing."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.report.axes import Axis, remaining
from sweep.report.colours import GRID, INK, QUIET
from sweep.report.curves import Frame
from sweep.report.data import SweepData
from sweep.report.formats import counted, plain, short

MOST_PANELS = 6
MOST_LINES = 60

MANY = 30
"""With this many values or more, a colour bar replaces the legend entries."""

STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names come from the store
    "text.color": INK,
    "axes.axisbelow": True,
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.color": GRID,
    "legend.borderaxespad": 0,
    "legend.frameon": False,
    "lines.solid_joinstyle": "round",
    "svg.fonttype": "none",
    "xtick.color": INK,
    "xtick.major.size": 3,
    "ytick.color": INK,
    "ytick.major.size": 3,
}


styled = mpl.rc_context(STYLE)
"""Decorator of the functions that draw."""


@dataclass(frozen=True)
class Picture:
    """A drawn picture; `alt` describes it."""

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        # level 3: a fifth larger than by default, but faster
        fast = {"compress_level": 3}
        return self._saved("png", dpi=160, metadata={"Software": None}, pil_kwargs=fast)

    @cached_property
    def svg(self) -> bytes:
        """The picture as SVG with text as text; equal figures give equal bytes."""
        return self._saved("svg", metadata={"Date": None, "Creator": None})

    def _saved(self, kind: str, **how: Any) -> bytes:
        out = io.BytesIO()
        with warnings.catch_warnings(), mpl.rc_context(STYLE | {"svg.hashsalt": self.name}):
            warnings.filterwarnings("ignore", message="Glyph .* missing from")  # names in CJK
            self.figure.savefig(out, format=kind, **how)
        return out.getvalue()


def text_inches(texts: Sequence[str], size: float = 10) -> float:
    """Return the approximate width of the longest text in inches; `size` is in points."""
    return max(map(len, texts), default=0) * size * 0.0087


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` indices of `count`, evenly spaced, including both ends."""
    at = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(i) for i in np.unique(at)]


@dataclass(frozen=True)
class Panels:
    """Titles of the panels, and the title for each row of `SweepData.runs` (`of`).

    `columns` is the number of panels in a row (0: any); `note` lists combinations sharing a panel.
    """

    titles: tuple[str, ...] = ("",)
    of: Frame = None
    columns: int = 0
    note: str = ""

    def fewer(self, titles: Frame, noun: str) -> tuple[list[Any], str]:
        """Select lines, given the title of the panel of each, evenly in every panel.

        Return their labels in `titles`, and a note on combinations in one panel and on omissions.
        """
        most = max(MOST_LINES // len(self.titles), 8)
        groups = [own.index for _, own in titles.groupby(titles, sort=False)]
        kept = [label for own in groups for label in own[spread(len(own), most)]]
        some = f"{len(kept)} of {counted(len(titles), noun)}" if len(kept) < len(titles) else ""
        return kept, ", ".join(filter(None, (self.note, some)))


def panels_of(data: SweepData, *used: Axis, inches: float = 3.4) -> Panels:
    """Return the panels of a picture whose axes and colours show the keys in `used`.

    A single panel is used for more than six titles, equal titles, or one wider than `inches`.
    """
    rest = remaining(data, *used)
    one = pd.Series("", index=data.runs.index)
    if not rest:
        return Panels(of=one)
    names = [axis.label for axis in rest]
    groups = data.values.groupby([axis.name for axis in rest], sort=False)
    titles = tuple(
        ", ".join(f"{name}={short(text)}" for name, text in zip(names, key, strict=True))
        for key, _ in groups
    )
    if len(titles) > MOST_PANELS or len(set(titles)) < len(titles) or text_inches(titles) > inches:
        note = f"all {counted(len(titles), 'combination')} of {', '.join(names)}"
        return Panels(of=one, note=plain(note, 90))
    counts = [len(axis.values) for axis in rest]
    table = len(counts) == 2 and math.prod(counts) == len(titles) and counts[1] <= 3
    return Panels(titles, groups.ngroup().map(dict(enumerate(titles))), counts[1] if table else 0)


class Sheet:
    """A titled figure with panels of equal size, row by row.

    Parameters
    ----------
    labels
        Labels of the x and the y axis, on the outer panels.
    note
        Appended to the subtitle.
    size
        Size of the axes of each panel in inches; None chooses by the number of panels.
    left, right, gap
        Inches for the labels of the y axis, for a legend or colour bar, and between rows.
    share
        Axes that the panels share: ``xy``, ``x`` or ``y``.
    """

    def __init__(
        self,
        title: str,
        subtitle: str,
        labels: tuple[str, str],
        panels: Panels = Panels(),
        *,
        note: str = "",
        size: tuple[float, float] | None = None,
        left: float = 0.95,
        right: float = 1.75,
        gap: float = 0.45,
        share: str = "xy",
    ) -> None:
        titles, count, self.title = panels.titles, len(panels.titles), title
        columns = panels.columns or (count if count < 2 else 2 if count in (2, 4) else 3)
        rows = math.ceil(count / columns)
        width, height = size or ((7.2, 4.2) if count == 1 else (3.4, 2.6))
        wide_gap = 0.35 if "y" in share else 0.85
        wide = columns * width + (columns - 1) * wide_gap
        tall = rows * height + (rows - 1) * gap
        below = max(0.72, gap - 0.18)
        subtitle = f"{subtitle} · {note}" if note else subtitle
        x = max(left + wide + right, 0.5 + 0.125 * len(title), 0.5 + 0.083 * len(subtitle))
        y = 0.95 + tall + below + (0.25 if any(titles) else 0)
        self.figure = Figure(figsize=(x, y))
        FigureCanvasAgg(self.figure)
        self.figure.text(0.25 / x, 1 - 0.18 / y, title, size=15, weight="bold", va="top")
        self.figure.text(0.25 / x, 1 - 0.50 / y, subtitle, size=10, color=QUIET, va="top")
        self.figure.subplots_adjust(left / x, below / y, (left + wide) / x, (below + tall) / y)
        self.figure.subplots_adjust(wspace=wide_gap / width, hspace=gap / height)
        shared: dict[str, Any] = {"sharex": "x" in share, "sharey": "y" in share}
        cells = self.figure.subplots(rows, columns, **shared, squeeze=False).ravel().tolist()
        self.panels: list[Axes] = cells[:count]
        for spare in cells[count:]:
            spare.remove()
        for at, axes in enumerate(self.panels):
            last, first = at + columns >= count, at % columns == 0
            axes.set_title(titles[at])
            axes.set(xlabel=labels[0] if last else "", ylabel=labels[1] if first else "")
            axes.tick_params(labelsize=10 if count == 1 else 9)
            axes.tick_params(labelbottom=last or "x" not in share)
            axes.tick_params(labelleft=first or "y" not in share)

    def picture(self, name: str, alt: str, caption: str = "") -> Picture:
        """Return the figure as a picture, after everything was drawn."""
        return Picture(name, self.title, alt, caption, self.figure)

    def entries(self, each: float = 0.16) -> int:
        """Return the number of legend entries that fit below its title, `each` inches tall."""
        return int((self.figure.subplotpars.top * self.figure.get_figheight() - 0.4) / each)

    def legend(self, title: str, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Add a legend at the right, aligned with the top of the panels."""
        if not entries:
            return
        ends, width = self.figure.subplotpars, self.figure.get_figwidth()
        many = len(entries) > min(16, self.entries(0.25))
        self.figure.legend(
            [Line2D([], [], **look) for _, look in entries],
            [text for text, _ in entries],
            title=title,
            loc="upper left",
            bbox_to_anchor=(ends.right + 0.15 / width, ends.top),
            fontsize=8 if many else 10,
            labelspacing=0.25 if many else 0.5,
            alignment="left",
        )

    def colour_bar(
        self,
        title: str,
        norm: Normalize,
        colours: Colormap,
        ticks: Mapping[float, str],
        *,
        room: float = 0.0,
        gap: float = 0.2,
    ) -> None:
        """Add a colour bar `gap` inches right of the panels, `room` inches lower for a legend."""
        ends, (width, height) = self.figure.subplotpars, self.figure.get_size_inches()
        tall = (ends.top - ends.bottom) * height - room
        cax = self.figure.add_axes(
            (ends.right + gap / width, ends.bottom, 0.16 / width, tall / height)
        )
        bar = self.figure.colorbar(ScalarMappable(norm, colours), cax=cax)
        step = max(math.ceil(len(ticks) / max(int(tall / 0.24), 2)), 1)  # equal, as of a scale
        bar.set_ticks([*ticks][::step], labels=[*ticks.values()][::step])
        bar.minorticks_off()
        bar.outline.set_visible(False)
        for cells in cax.collections:
            cells.set_rasterized(True)  # one image in an SVG, without seams between colours
        cax.tick_params(labelsize=9, length=2)
        cax.set_title(title, pad=8)
