"""Colours of the pictures and of the runs in MLflow; imports only the standard library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

INK, QUIET, GRID, SHADE = "#1f2328", "#59636e", "#dde2e8", "#eceff2"
"""Text and axes, secondary text, grid lines, the band of errors that count as zero."""

OUTLINE = "#d4380d"
"""Outline of the best cell of a heat map."""

ERROR_STOPS = ("#0b2a6f", "#1f5fa8", "#5b9bc8", "#b9cfd6", "#ecdfc2")
"""Small errors dark blue, large ones pale sand: lightness increases with the error."""

# Lightness increases along the ramp, so the order is visible to colour-blind readers and in grey
# print; the light end is darker than white paper.
_STOPS = ((23, 33, 130), (112, 38, 150), (190, 45, 120), (226, 88, 60), (217, 138, 0))
_COUNTS = ((120, 170, 200), (8, 40, 70))

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def ramp(position: float, stops: Sequence[tuple[int, int, int]] = _STOPS) -> str:
    """Return the colour at `position` (0: smallest value, 1: largest) as #rrggbb."""
    scaled = min(max(position, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(scaled), len(stops) - 2)
    part = scaled - index
    low, high = stops[index], stops[index + 1]
    mixed = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def shades(name: str, count: int) -> list[str]:
    """Return `count` evenly spaced colours for the values of an axis; iters has its own ramp."""
    stops = _COUNTS if name == "iters" else _STOPS
    return [ramp(rank / max(count - 1, 1), stops) for rank in range(count)]


def colour_scale(rates: Iterable[float]) -> dict[float, str]:
    """Return the colour of each learning rate, by its rank."""
    ordered = sorted(set(rates))
    return dict(zip(ordered, shades("lr", len(ordered)), strict=True))
