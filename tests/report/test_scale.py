"""Logarithmic axes over everything that a float can be."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.report.scale import log_scale

floats = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@given(st.lists(floats, max_size=8))
def test_scale_holds_every_finite_value(values: list[float]) -> None:
    scale = log_scale(values)
    assert math.isfinite(scale.low) and scale.low < scale.high
    placed = scale.place(values)
    assert np.all((placed >= scale.low) & (placed <= scale.high))
    assert len(scale.ticks) == len(scale.labels) <= 12
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)
    assert list(scale.ticks) == sorted(set(scale.ticks))


@given(st.lists(floats.filter(lambda v: v > 0), min_size=2, max_size=8))
def test_scale_keeps_the_order(values: list[float]) -> None:
    placed = log_scale(values).place(sorted(values))
    assert np.all(np.diff(placed) >= 0)


def test_scale_places_zero_below_the_smallest_value() -> None:
    scale = log_scale([0.0, 1e-30, 1.0])
    assert scale.zero is not None and scale.zero < -30
    assert scale.labels[0] == "0" and scale.ticks[0] == scale.zero


def test_scale_without_zero_has_no_place_for_it() -> None:
    assert log_scale([1e-3, 1.0]).zero is None


def test_scale_of_nothing_is_still_an_axis() -> None:
    assert log_scale([]).low < log_scale([]).high
    assert log_scale([math.nan, math.inf]).ticks


@pytest.mark.parametrize("value", [5e-324, sys.float_info.max, 1.8e282])
def test_scale_of_one_extreme_value(value: float) -> None:
    scale = log_scale([value])
    assert scale.low < float(scale.place(value)) < scale.high


def test_scale_with_ceiling_puts_what_is_above_at_the_edge() -> None:
    scale = log_scale([0.5, 1.8e282], ceiling=500.0)
    assert scale.high < 4 and scale.above(1.8e282) and not scale.above(0.5)
    assert float(scale.place(1.8e282)) == scale.high
    assert float(scale.place(1.8e282, clamp=False)) == pytest.approx(282.255, abs=0.001)


def test_scale_of_whole_numbers_has_no_fractions() -> None:
    for values in ([0, 1], [1], [0, 1, 3], [2], [0, 1, 100000]):
        labels = log_scale(values, whole=True).labels
        assert "1" in labels or values == [2]
        assert not [label for label in labels if "." in label]


def test_ticks_of_a_narrow_range_are_one_two_five() -> None:
    assert log_scale([0.1, 1.0]).labels == ("0.1", "0.2", "0.5", "1")


def test_ticks_of_many_decades_are_few() -> None:
    assert log_scale([1e-300, 1.0]).labels[-2:] == ("10⁻⁵⁰", "1")
