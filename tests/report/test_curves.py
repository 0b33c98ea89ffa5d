"""Curves made small without changing how they look."""

from __future__ import annotations

import numpy as np

from sweep.report.curves import best_of_all, thinned


def test_thinned_keeps_short_curves_but_for_what_is_not_finite() -> None:
    for errors, kept in (([5.0, 4, 3], 3), ([1.0, np.inf, np.nan], 1), ([], 0)):
        steps, found = thinned(np.arange(len(errors)), errors, 10)
        assert steps.tolist() == [*range(kept)] and found.tolist() == errors[:kept]


def test_thinned_keeps_ends_and_every_extreme() -> None:
    n = 100_001
    errors = np.where(np.arange(n) % 2, 1.0, 2.0)
    errors[33_333], errors[77_777] = 1e-20, 9.0
    steps, kept = thinned(np.arange(n), errors, 400)
    assert len(steps) <= 402
    assert steps[0] == 0 and steps[-1] == n - 1
    assert kept.min() == 1e-20 and kept.max() == 9.0
    assert np.all(np.diff(steps) > 0)
    assert np.array_equal(kept, errors[steps])


def test_best_of_all_is_the_lowest_so_far() -> None:
    one = (np.array([0, 1, 2]), np.array([4.0, 1.0, 3.0]))
    two = (np.array([0, 1, 2, 3, 4]), np.array([4.0, 2.0, 0.5, 2.0, 0.0]))
    steps, lowest = best_of_all([one, two, (np.array([], dtype=int), np.array([]))])
    assert steps.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(lowest, [4.0, 1.0, 0.5, 0.5, 0.0])
    assert len(best_of_all([])[0]) == 0


def test_best_of_all_lies_on_the_best_curve_where_curves_were_thinned() -> None:
    """No staircase above it: between the kept points it is interpolated."""
    n = np.arange(100_001)
    curves = [(n, 0.6 / (1 + rate * n) ** 2) for rate in np.geomspace(1e-4, 1, 40)]
    steps, lowest = best_of_all([thinned(*curve, 120) for curve in curves])
    best = curves[-1][1][steps]
    np.testing.assert_allclose(lowest[1:], best[1:], rtol=0.02)
