"""One colour for each learning rate."""

from __future__ import annotations

import re
import subprocess
import sys

from sweep.report.colours import MARKERS, colour_of, colour_scale, marker_scale, ramp
from tests.processes import ROOT


def lightness(colour: str) -> float:
    """Return relative luminance (WCAG) of #rrggbb."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colour_of_is_the_scale_entry() -> None:
    rates = [1.0, 0.01, 0.05]
    assert {lr: colour_of(lr, rates) for lr in rates} == colour_scale(rates)


def test_colour_of_does_not_depend_on_order_or_repetition() -> None:
    assert colour_of(0.05, [0.01, 0.05, 1.0]) == colour_of(0.05, [1.0, 0.05, 0.05, 0.01])


def test_colour_of_a_rate_that_is_not_listed_is_a_colour() -> None:
    assert re.fullmatch("#[0-9a-f]{6}", colour_of(0.3, []))


def test_ramp_gets_lighter_all_the_way() -> None:
    shades = [lightness(ramp(i / 40)) for i in range(41)]
    assert shades == sorted(shades)


def test_ramp_stands_out_from_white_paper() -> None:
    assert min(1.05 / (lightness(ramp(i / 40)) + 0.05) for i in range(41)) > 2.5


def test_colours_of_three_rates_differ_in_grey() -> None:
    shades = [lightness(c) for c in colour_scale([0.01, 0.05, 1.0]).values()]
    assert all(b - a > 0.08 for a, b in zip(shades, shades[1:], strict=False))


def test_markers_differ_for_seven_rates() -> None:
    assert len(set(marker_scale(range(7)).values())) == len(MARKERS) == 7


def test_colours_load_nothing_heavy() -> None:
    code = (
        "import sys, sweep.report.colours; "
        "print({'matplotlib', 'pandas', 'mlflow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
