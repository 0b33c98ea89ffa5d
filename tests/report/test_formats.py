"""Numbers and names as text."""

from __future__ import annotations

import pytest

from sweep.report.formats import (
    counted,
    duration,
    figure,
    joined,
    natural,
    plain,
    power,
    short,
    tick,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1.0"),
        (0.6, "0.60"),
        (0.00624, "0.0062"),
        (1.951e-4, "2.0×10⁻⁴"),
        (1.8e282, "1.8×10²⁸²"),
        (9.99, "10"),
        (812.0, "812"),
        (5e-324, "4.9×10⁻³²⁴"),
        (-0.5, "-0.50"),
    ],
)
def test_power(value: float, text: str) -> None:
    assert power(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1e-9, "10⁻⁹"),
        (2e-7, "2×10⁻⁷"),
        (0.005, "0.005"),
        (0.01, "0.01"),
        (1000.0, "1000"),
        (10_000.0, "10\u2009000"),
        (1e6, "10⁶"),
        (-2.5, "-2.5"),
    ],
)
def test_tick(value: float, text: str) -> None:
    assert tick(value) == text


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("0.9540000000000001", "0.954"),
        ("1e-05", "1e-05"),
        ("1.0", "1.0"),
        ("100000", "100\u2009000"),
        ("10000000", "10⁷"),
        ("relu", "relu"),
        ("a" * 40, "a" * 23 + "…"),
    ],
)
def test_short_labels(text: str, label: str) -> None:
    assert short(text) == label


def test_figure_of_nothing_is_empty() -> None:
    assert figure(None) == figure(float("nan")) == "" and figure(1.5e-33) == "1.5e-33"


def test_counted_knows_the_singular() -> None:
    assert counted(1, "run") == "1 run" and counted(12000, "run") == "12\xa0000 runs"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.25, "250 ms"), (59.94, "59.9 s"), (125, "2 min 5 s"), (3661, "1 h 1 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_is_one_line_without_control_characters() -> None:
    assert plain("a\nb\x00\x1b[31m\u202ec\t d") == "a b [31m c d"
    assert plain("x" * 100, 10) == "x" * 9 + "…"


def test_joined_and_natural() -> None:
    assert joined(["rule", "seed"], ["notebook", "1"]) == "rule=notebook, seed=1"
    assert sorted(["w10", "w2", "b1"], key=natural) == ["b1", "w2", "w10"]
