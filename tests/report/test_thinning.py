"""Curves made small without changing their looks."""

from __future__ import annotations

import numpy as np

from sweep.report.thinning import envelope, thinned


def test_thinned_leaves_a_short_curve_alone() -> None:
    steps, errors = thinned(np.arange(5), [5.0, 4, 3, 2, 1], 10)
    assert steps.tolist() == [0, 1, 2, 3, 4] and errors.tolist() == [5, 4, 3, 2, 1]


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


def test_thinned_drops_what_is_not_finite() -> None:
    steps, errors = thinned([0, 1, 2], [1.0, np.inf, np.nan], 10)
    assert steps.tolist() == [0] and errors.tolist() == [1.0]


def test_thinned_of_nothing() -> None:
    steps, _ = thinned([], [], 10)
    assert len(steps) == 0


def test_envelope_is_the_best_of_all_so_far() -> None:
    one = (np.array([0, 1, 2]), np.array([4.0, 1.0, 3.0]))
    two = (np.array([0, 1, 2, 3]), np.array([4.0, 2.0, 0.5, 2.0]))
    steps, lowest = envelope([one, two])
    assert steps.tolist() == [0, 1, 2, 3]
    assert lowest.tolist() == [4.0, 1.0, 0.5, 0.5]


def test_envelope_of_nothing_is_empty() -> None:
    assert len(envelope([])[0]) == 0
    assert len(envelope([(np.array([], dtype=int), np.array([]))])[0]) == 0
