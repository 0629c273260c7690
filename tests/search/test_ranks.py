"""Ranks over folds, against the figures of Demsar's paper."""

from __future__ import annotations

import numpy as np
import pytest

from studio.search.luck import expected_largest, luck_of, standard_error
from studio.search.ranks import critical_difference, ranked


def test_the_critical_difference_is_that_of_the_paper() -> None:
    # Demsar 2006, table 5 (a): 1.960, 2.343, 2.569, 2.728 for 2 to 5; section 3.2.4: 4 classifiers on 14 data sets, 1.25.
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    quantiles = [critical_difference(count, 10) / np.sqrt(count * (count + 1) / 60) for count in (2, 3, 4, 5)]
    assert quantiles == pytest.approx([1.960, 2.343, 2.569, 2.728], abs=0.001)


def test_ranks_follow_the_direction_and_ties_share_theirs() -> None:
    scores = np.array([[0.9, 0.8, 0.8], [0.9, 0.7, 0.6], [0.95, 0.7, 0.65]])
    found = ranked(scores, "higher")
    assert found.ranks == pytest.approx((1.0, 2.1666667, 2.8333333)) and found.order == (0, 1, 2)
    assert ranked(scores, "lower").order == (2, 1, 0)
    assert found.p is not None and 0.05 < found.p < 0.1
    assert found.groups == ((0, 2),)  # three folds show nothing
    assert ranked(np.tile(scores, (20, 1)), "higher").groups == ()
    assert ranked(scores[:, :2], "higher").p is None
    assert ranked(np.ones((3, 3)), "higher").p == 1.0


def test_the_largest_of_many_is_large_by_chance() -> None:
    # Harter 1961, table 1: expected values of normal order statistics.
    assert [expected_largest(count) for count in (1, 2, 5, 10, 20, 100)] == pytest.approx(
        [0.0, 0.56419, 1.16296, 1.53875, 1.86748, 2.50759], abs=2e-5
    )


def test_luck_is_what_a_draw_of_useless_trials_gives() -> None:
    random = np.random.default_rng(1)
    gained, expected, levels = [], [], []
    for _ in range(200):
        own, trials = random.normal(size=(40, 1)), random.normal(size=(40, 8))
        found = luck_of(own - trials, None, 0)
        assert found is not None
        gained.append(found.gain)
        expected.append((found.formula, found.resampled))
        levels.append(found.p)
    # What the best of eight useless trials gains, on average, is what the formula says.
    assert np.mean([formula for formula, _ in expected]) == pytest.approx(np.mean(gained), rel=0.15)
    assert np.mean([drawn for _, drawn in expected]) == pytest.approx(np.mean(gained), rel=0.15)
    assert np.mean(np.array(levels) < 0.05) <= 0.09


def test_rows_of_a_group_count_once() -> None:
    values = [1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 2.0]
    single, grouped = standard_error(values), standard_error(values, ["a"] * 4 + ["b"] * 4 + ["c"] * 4)
    assert single == pytest.approx(np.std(values, ddof=1) / np.sqrt(12)) and grouped == pytest.approx(1 / np.sqrt(3))
    assert standard_error([1.0]) is None
