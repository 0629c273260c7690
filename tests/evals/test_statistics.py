"""Intervals and verdicts against examples worked by hand and against theory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from studio.evals.metrics import METRICS
from studio.evals.metrics.base import mean_statistic
from studio.evals.statistics import (
    NO_DIFFERENCE,
    NOT_COMPUTED,
    bootstrap_weights,
    compare,
    estimate,
    holm,
    interval,
    mcnemar,
    paired_difference,
    share_difference,
    verdict,
    wilson,
)


def test_a_bootstrap_by_hand() -> None:
    """Of the values 0 and 1 a resample has mean 0, 1/2 or 1 with probability 1/4, 1/2, 1/4."""
    statistic = mean_statistic([0.0, 1.0])
    values = statistic.at(bootstrap_weights(statistic.scored, 4000, seed=0))
    shares = [float((values == mean).mean()) for mean in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert interval(values, 0.5) == (0.0, 1.0)


def test_weights_draw_as_many_as_there_are_and_never_what_was_not_scored() -> None:
    usable = np.array([True, False, True, True])
    weights = bootstrap_weights(usable, 200, seed=1)
    assert (weights.sum(axis=1) == 3).all() and (weights[:, 1] == 0).all()
    assert (bootstrap_weights(usable, 200, seed=1) == weights).all()
    assert (bootstrap_weights(usable, 200, seed=2) != weights).any()


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(10, 2, size=400)
    mean, (low, high) = estimate(mean_statistic(values.tolist()), resamples=2000, seed=0)
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.03)


def test_fewer_than_two_examples_have_no_interval() -> None:
    assert estimate(mean_statistic([3.0]), resamples=200, seed=0) == (3.0, None)
    assert estimate(mean_statistic([3.0, None]), resamples=200, seed=0) == (3.0, None)
    assert estimate(mean_statistic([None]), resamples=200, seed=0) == (None, None)
    assert estimate(mean_statistic([]), resamples=200, seed=0) == (None, None)
    assert paired_difference(mean_statistic([3.0]), mean_statistic([1.0]), resamples=200, seed=0) == (2.0, None, 1)
    assert verdict(None, "higher") == NOT_COMPUTED


def test_the_difference_is_paired() -> None:
    """A small constant gain over values that differ widely is certain when paired and invisible when not."""
    base = np.random.default_rng(0).normal(0, 10, size=60)
    tuned = base + 0.1
    value, bounds, count = paired_difference(mean_statistic(tuned.tolist()), mean_statistic(base.tolist()), resamples=500, seed=0)
    assert count == 60
    assert value == pytest.approx(0.1)
    assert bounds == pytest.approx((0.1, 0.1))
    assert (
        verdict(bounds, "higher") == "better" and verdict(bounds, "lower") == "worse" and verdict(bounds, "neither") == "higher"
    )


def test_only_examples_scored_for_both_are_compared() -> None:
    tuned, base = mean_statistic([1.0, 5.0, None, 3.0]), mean_statistic([1.0, None, 9.0, 2.0])
    value, _, count = paired_difference(tuned, base, resamples=200, seed=0)
    assert (value, count) == (0.5, 2)


def test_an_interval_that_holds_zero_shows_no_difference() -> None:
    assert verdict((-0.1, 0.4), "higher") == NO_DIFFERENCE
    assert verdict((0.0, 0.0), "higher") == NO_DIFFERENCE
    assert verdict((-0.4, -0.1), "lower") == "better"
    assert verdict((-0.4, -0.1), "neither") == "lower"
    assert verdict((0.1, 0.2), "higher", p_value=0.06) == NO_DIFFERENCE


def test_mcnemar_is_the_sign_test_on_pairs_that_disagree() -> None:
    tuned, base = [1.0] * 9 + [0.0] + [1.0] * 5 + [None], [0.0] * 9 + [1.0] + [1.0] * 5 + [1.0]
    only_tuned, only_base, p_value = mcnemar(tuned, base)
    # By hand: 9 against 1 of 10: 2 * (C(10,0) + C(10,1)) / 2^10.
    assert (only_tuned, only_base) == (9, 1)
    assert p_value == pytest.approx(22 / 1024)
    assert mcnemar([1.0, 0.0], [1.0, 0.0]) == (0, 0, 1.0)
    assert mcnemar([1.0, 0.0], [0.0, 1.0])[2] == 1.0


def test_the_interval_of_distinct_n_holds_its_value() -> None:
    """Drawing answers twice repeats their n-grams, so plain percentiles lie below the value altogether."""
    from studio.evals.chat.questions import question_from
    from studio.evals.evidence import Answer, Evidence

    words = np.random.default_rng(0).integers(0, 300, size=(40, 12))
    items = [
        Evidence(question_from(str(i), []), Answer(" ".join(f"w{w}" for w in row), 12, False)) for i, row in enumerate(words)
    ]
    statistic = METRICS.get("distinct_2").measure(items)
    value, bounds = estimate(statistic, resamples=300, seed=0)
    assert bounds[1] < value
    value, bounds = estimate(statistic, resamples=300, seed=0, recentre=True)
    assert bounds[0] < value < bounds[1]


def test_wilson_against_published_values() -> None:
    """Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    published = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (hits, count), expected in published.items():
        assert wilson(hits, count) == pytest.approx(expected, abs=5e-5)
    assert wilson(1, 1) is None and wilson(0, 0) is None


def test_the_interval_of_a_paired_difference_of_shares() -> None:
    """Newcombe 1998, Statistics in Medicine 17, 2635-2650, table II, method 10: (36, 12, 2, 0) gives 0.0569 to 0.3404."""
    tuned = [1.0] * 36 + [1.0] * 12 + [0.0] * 2
    base = [1.0] * 36 + [0.0] * 12 + [1.0] * 2
    low, high = share_difference(tuned, base)
    assert low == pytest.approx(0.0569, abs=2e-3) and high == pytest.approx(0.3404, abs=2e-3)
    low, high = share_difference([0.0] * 20, [0.0] * 20)
    assert low == pytest.approx(-0.1611, abs=1e-3) and high == pytest.approx(0.1611, abs=1e-3)
    assert share_difference([1.0], [0.0]) is None


def test_outcomes_that_are_all_alike_are_not_certain() -> None:
    from dataclasses import replace

    from studio.evals.scoring import score

    share = replace(METRICS.get("exact_match"), right_or_wrong=False)
    found = score(share, mean_statistic([0.0] * 3), resamples=100, seed=0)
    assert found.value == 0 and found.low == 0 and found.high == pytest.approx(0.5615, abs=1e-3)
    assert score(share, mean_statistic([1.0] * 3), resamples=100, seed=0).low == pytest.approx(0.4385, abs=1e-3)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.06, 0.06, None])
    assert holm([0.5, 0.6]) == [1.0, 1.0] and holm([]) == []


def test_the_p_value_is_that_of_a_paired_t_test() -> None:
    from scipy.stats import ttest_rel

    generator = np.random.default_rng(3)
    base = generator.normal(0, 1, 80)
    tuned = base + generator.normal(0.15, 0.6, 80)
    found = compare(mean_statistic(tuned.tolist()), mean_statistic(base.tolist()), resamples=4000, seed=0)
    assert found.p == pytest.approx(ttest_rel(tuned, base).pvalue, rel=0.2)
    same = compare(mean_statistic(base.tolist()), mean_statistic(base.tolist()), resamples=200, seed=0)
    assert same.p == 1.0 and same.value == 0


def test_nearer_to_the_ideal_is_better_from_either_side() -> None:
    ones = lambda share: [1.0] * round(100 * share) + [0.0] * (100 - round(100 * share))  # noqa: E731
    far, near = mean_statistic(ones(0.9)), mean_statistic(ones(0.45))
    found = compare(near, far, resamples=500, seed=0, ideal=0.5)
    assert found.value == pytest.approx(-0.45) and found.distance == pytest.approx(-0.35) and found.distance_bounds[1] < 0
    across = compare(mean_statistic(ones(0.4)), mean_statistic(ones(0.6)), resamples=500, seed=0, ideal=0.5)
    assert across.bounds[1] < 0 and across.distance == pytest.approx(0) and across.p > 0.5
