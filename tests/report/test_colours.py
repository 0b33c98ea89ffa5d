"""One colour for each learning rate."""

from __future__ import annotations

from sweep.report.colours import colour_scale, ramp, shades


def lightness(colour: str) -> float:
    """Return relative luminance (WCAG) of #rrggbb."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_are_by_rank_whatever_the_order_and_repetition() -> None:
    assert colour_scale([1.0, 0.05, 0.05, 0.01]) == colour_scale([0.01, 0.05, 1.0])
    assert list(colour_scale([0.01, 0.05, 1.0]).values()) == shades("lr", 3)


def test_iteration_counts_have_colours_of_their_own() -> None:
    assert not set(shades("iters", 5)) & set(shades("lr", 5))


def test_ramp_gets_lighter_all_the_way() -> None:
    shades = [lightness(ramp(i / 40)) for i in range(41)]
    assert shades == sorted(shades)


def test_ramp_stands_out_from_white_paper() -> None:
    assert min(1.05 / (lightness(ramp(i / 40)) + 0.05) for i in range(41)) > 2.5


def test_colours_of_three_rates_differ_in_grey() -> None:
    shades = [lightness(c) for c in colour_scale([0.01, 0.05, 1.0]).values()]
    assert all(b - a > 0.08 for a, b in zip(shades, shades[1:], strict=False))
