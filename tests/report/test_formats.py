"""Numbers and names as text."""

from __future__ import annotations

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


def test_power() -> None:
    values = [0.0, 1.0, 0.6, 0.00624, 1.951e-4, 1.8e282, 9.99, 812.0, 5e-324, -0.5]
    texts = "0 1.0 0.60 0.0062 2.0×10⁻⁴ 1.8×10²⁸² 10 812 4.9×10⁻³²⁴ -0.50"
    assert [*map(power, values)] == texts.split(" ")


def test_tick() -> None:
    values = [0.0, 1e-9, 2e-7, 0.005, 0.01, 1000.0, 10_000.0, 1e6, -2.5]
    texts = "0 10⁻⁹ 2×10⁻⁷ 0.005 0.01 1000 10\u2009000 10⁶ -2.5"
    assert [*map(tick, values)] == texts.split(" ")


def test_short_labels() -> None:
    texts = ["0.9540000000000001", "1e-05", "1.0", "100000", "10000000", "relu", "a" * 40]
    labels = ["0.954", "1e-05", "1.0", "100\u2009000", "10⁷", "relu", "a" * 23 + "…"]
    assert [*map(short, texts)] == labels


def test_figure_of_nothing_is_empty() -> None:
    assert figure(None) == figure(float("nan")) == "" and figure(1.5e-33) == "1.5e-33"


def test_counted_knows_the_singular() -> None:
    assert counted(1, "run") == "1 run" and counted(12000, "run") == "12\xa0000 runs"


def test_duration() -> None:
    shown = ["0 ms", "250 ms", "59.9 s", "2 min 5 s", "1 h 1 min"]
    assert [*map(duration, [0.0, 0.25, 59.94, 125, 3661])] == shown


def test_plain_is_one_line_without_control_characters() -> None:
    assert plain("a\nb\x00\x1b[31m\u202ec\t d") == "a b [31m c d"
    assert plain("x" * 100, 10) == "x" * 9 + "…"


def test_joined_and_natural() -> None:
    assert joined(["rule", "seed"], ["notebook", "1"]) == "rule=notebook, seed=1"
    assert sorted(["w10", "w2", "b1"], key=natural) == ["b1", "w2", "w10"]
