"""One colour for each learning rate, the same in every picture and in the MLflow UI."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["MARKERS", "colour_of", "colour_scale", "deep", "marker_scale", "ramp"]

# Dark to light and blue to yellow at once: lightness alone orders the colours, so they hold
# under every colour blindness and in grey print; the light end stops short of white paper.
_STOPS = ((23, 33, 130), (112, 38, 150), (190, 45, 120), (226, 88, 60), (217, 138, 0))

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Shapes that tell few learning rates apart without any colour."""


def ramp(position: float) -> str:
    """Return the colour at `position` (0 the smallest rate, 1 the largest) as #rrggbb."""
    scaled = min(max(position, 0.0), 1.0) * (len(_STOPS) - 1)
    index = min(int(scaled), len(_STOPS) - 2)
    part = scaled - index
    low, high = _STOPS[index], _STOPS[index + 1]
    mixed = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def deep(position: float) -> str:
    """Return a shade for an iteration count (0 the smallest, 1 the largest) as #rrggbb."""
    light, dark = (120, 170, 200), (8, 40, 70)
    part = min(max(position, 0.0), 1.0)
    mixed = (round(a + (b - a) * part) for a, b in zip(light, dark, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def colour_scale(rates: Iterable[float]) -> dict[float, str]:
    """Return the colour of every learning rate, by its rank among all of them."""
    ordered = sorted(set(rates))
    span = max(len(ordered) - 1, 1)
    return {rate: ramp(rank / span) for rank, rate in enumerate(ordered)}


def colour_of(lr: float, all_lrs: Iterable[float]) -> str:
    """Return the colour of one learning rate as #rrggbb.

    By rank and not by value: three rates are as far apart as they can be, wherever they lie.
    A rate that is not among `all_lrs` is ranked as if it were.
    """
    return colour_scale([*all_lrs, lr])[lr]


def marker_scale(rates: Iterable[float]) -> dict[float, str]:
    """Return the marker of every learning rate; shapes repeat beyond the seventh."""
    return {rate: MARKERS[i % len(MARKERS)] for i, rate in enumerate(sorted(set(rates)))}
