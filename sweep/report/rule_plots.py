"""Draw both rules: their error curves, and how far apart their weights are."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.report.canvas import INK, legend, set_axis, sheet, subtitled
from sweep.report.curve_plots import floor_band, line_style, mark_style
from sweep.report.rules import RulesInfo

__all__ = ["draw_rules"]

_NOTEBOOK: dict[str, Any] = {"linestyle": (0, (3, 1.5))}


def draw_rules(info: RulesInfo, subtitle: str) -> Figure:
    """Draw curves (gradient solid, notebook dashed) and the largest weight difference."""
    page = sheet(
        info.title, subtitled(subtitle, info.left_out), 2, small=(4.3, 3.6), gap=1.0, right=1.9
    )
    left, right = page.panels
    set_axis(left, info.x, info.y, ("iteration (0 is before training)", "error E"))
    texts = ("iterations", "largest difference of a weight")
    set_axis(right, info.apart_x, info.apart_y, texts)
    _title(left, "error while training")
    _title(right, "weights after training: |notebook − gradient|")
    floor_band(left, info.y, named=False)
    for line in info.lines:
        style = line_style(line.colour, many=False)
        left.plot(*line.gradient, **style)
        left.plot(*line.notebook, **{**style, **_NOTEBOOK})
        x, y = [spot[0] for spot in line.apart], [spot[1] for spot in line.apart]
        right.plot(x, y, **style)
        right.plot(x, y, clip_on=False, zorder=3, **mark_style(line.colour, line.marker, 7))
    entries: list[tuple[str, dict[str, Any]]] = []
    for line in reversed(info.lines):
        look = mark_style(line.colour, line.marker, 6) | {"linestyle": "-", "linewidth": 1.7}
        entries.append((line.label, look))
    plain = line_style(INK, many=False)
    entries += [("gradient", plain), ("notebook", {**plain, **_NOTEBOOK})]
    legend(page, "learning rate", entries)
    return page.figure


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, size=10, color=INK, loc="left", parse_math=False)
