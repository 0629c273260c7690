"""Intervals and verdicts against examples worked by hand, against theory and against published values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from studio.core.records import Score
from studio.evals.comparisons import compare, share_difference
from studio.evals.intervals import FEWEST, estimate, of_pieces, percentiles, share_interval
from studio.evals.metrics import METRICS
from studio.evals.metrics.base import mean_statistic, ratio
from studio.evals.metrics.classification import classification_metric, classification_statistic
from studio.evals.metrics.fairness import GroupMeanStatistic, lowest, spread
from studio.evals.metrics.gaps import GroupMeans, gap_interval, of_rates
from studio.evals.metrics.pooled import POOLED
from studio.evals.pieces import Pieces
from studio.evals.scoring import difference, score
from studio.evals.statistics import (
    ANY,
    NO_DIFFERENCE,
    NOT_COMPUTED,
    POSITIVE,
    SHARE,
    SIGNED,
    bootstrap_weights,
    holm,
    mcnemar,
    verdict,
)


def test_a_bootstrap_by_hand() -> None:
    """Of the values 0 and 1 a resample has mean 0, 1/2 or 1 with probability 1/4, 1/2, 1/4."""
    statistic = mean_statistic([0.0, 1.0])
    values = statistic.at(bootstrap_weights(statistic.scored, 4000, seed=0))
    shares = [float((values == mean).mean()) for mean in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert percentiles(values, 0.5) == (0.0, 1.0)


def test_weights_draw_as_many_as_there_are_and_never_what_was_not_scored() -> None:
    usable = np.array([True, False, True, True])
    weights = bootstrap_weights(usable, 200, seed=1)
    assert (weights.sum(axis=1) == 3).all() and (weights[:, 1] == 0).all()
    assert (bootstrap_weights(usable, 200, seed=1) == weights).all()
    assert (bootstrap_weights(usable, 200, seed=2) != weights).any()


@pytest.mark.parametrize("count", [40, 300, 900])
def test_the_interval_of_a_mean_is_the_t_interval(count: int) -> None:
    from scipy.stats import t

    values = np.random.default_rng(0).normal(10, 2, size=count)
    mean, found = estimate(mean_statistic(values.tolist()), resamples=4000, seed=0)
    half = t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)
    assert mean == pytest.approx(values.mean())
    assert found.bounds == pytest.approx((mean - half, mean + half), abs=0.15 * half)
    assert ("jackknife" in found.how) == (count > 400)


def test_the_jackknife_of_a_mean_is_its_standard_error_also_of_repeated_rows() -> None:
    values = [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 5.0]
    pieces = mean_statistic(values).pieces(np.ones(7, dtype=bool))
    assert len(pieces.rows) == 4
    assert pieces.errors(pieces.counts)[0] == pytest.approx(np.std(values, ddof=1) / math.sqrt(7))


def test_an_interval_reaches_to_the_side_from_which_few_examples_pull_the_value() -> None:
    """The ratio of two sums by hand; a mean has no bias and a symmetric interval."""
    top, bottom = [1.0, 2.0, 8.0, 3.0, 4.0, 1.0, 2.0, 2.0, 5.0, 1.0, 3.0], [9.0, 4.0, 8.0, 6.0, 7.0, 2.0, 8.0, 3.0, 9.0, 9.0, 5.0]
    pieces = Pieces.of(np.array([top, bottom]).T, ratio)
    value = sum(top) / sum(bottom)
    without = [(sum(top) - a) / (sum(bottom) - b) for a, b in zip(top, bottom, strict=True)]
    assert pieces.bias() == pytest.approx(10 * (np.mean(without) - value)) and pieces.bias() != 0
    low, high = of_pieces(pieces, value, ANY, 200, 0).bounds
    assert (value - low) - (high - value) == pytest.approx(pieces.bias())
    mean = mean_statistic(top)
    assert mean.pieces(mean.scored).bias() == pytest.approx(0, abs=1e-12)


def test_few_examples_have_no_interval_and_say_how_many_are_needed() -> None:
    for values in ([3.0], [3.0, None], [3.0, 4.0, 9.0]):
        value, found = estimate(mean_statistic(values), resamples=200, seed=0)
        known = [item for item in values if item is not None]
        assert value == pytest.approx(sum(known) / len(known)) and found.bounds is None
        assert found.how.startswith(f"no interval from {len(known)} ") and str(FEWEST) in found.how
    assert estimate(mean_statistic([None]), resamples=200, seed=0)[0] is None
    assert estimate(mean_statistic([]), resamples=200, seed=0)[0] is None
    few = compare(mean_statistic([3.0]), mean_statistic([1.0]), resamples=200, seed=0)
    assert (few.value, few.bounds, few.n) == (2.0, None, 1)
    assert verdict(None, "higher") == NOT_COMPUTED


def test_the_difference_is_paired() -> None:
    """A small gain over values that differ widely is certain when paired and invisible when not."""
    generator = np.random.default_rng(0)
    base = generator.normal(0, 10, size=60)
    tuned = base + generator.normal(0.1, 0.05, size=60)
    found = compare(mean_statistic(tuned.tolist()), mean_statistic(base.tolist()), resamples=500, seed=0)
    assert found.n == 60 and found.value == pytest.approx(0.1, abs=0.03)
    assert found.bounds[0] > 0.05 and found.bounds[1] < 0.15 and found.p < 0.001
    assert verdict(found.bounds, "higher", found.p) == "better" and verdict(found.bounds, "lower") == "worse"
    assert verdict(found.bounds, "neither") == "higher"


def test_only_examples_scored_for_both_are_compared() -> None:
    tuned, base = mean_statistic([1.0, 5.0, None, 3.0]), mean_statistic([1.0, None, 9.0, 2.0])
    found = compare(tuned, base, resamples=200, seed=0)
    assert (found.value, found.n) == (0.5, 2)


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


def test_distinct_n_is_compared_by_leaving_answers_out_and_by_swapping_them() -> None:
    """Percentiles of resamples called equal models different in a fifth of the cases: an answer drawn twice adds no new word."""
    from studio.evals.chat.questions import question_from
    from studio.evals.evidence import Answer, Evidence

    words = np.random.default_rng(0).integers(0, 300, size=(80, 12))
    items = [
        Evidence(question_from(str(i), []), Answer(" ".join(f"w{w}" for w in row), 12, False)) for i, row in enumerate(words)
    ]
    metric = METRICS.get("distinct_1")
    one, other = metric.measure(items[:40]), metric.measure(items[40:])
    found = score(metric, one, resamples=300, seed=0)
    assert found.low < found.value < found.high and found.interval == "jackknife t-interval"
    both = one.joined(other)
    whole = metric.measure(items)
    ones = np.ones((1, 80))
    assert both.at(ones)[0] == pytest.approx(whole.at(ones)[0])
    change = difference(metric, one, other, resamples=300, seed=0)
    assert change.verdict == NO_DIFFERENCE and change.p > 0.05 and "permutation" in change.method
    dull = metric.measure([items[0]] * 40)
    assert difference(metric, one, dull, resamples=300, seed=0).verdict == "better"


def test_the_exact_interval_of_a_share() -> None:
    """Half the probability of what was seen counts as more extreme; 0 of n is 1 - 0.05^(1/n), by hand."""
    from scipy.stats import binom

    assert share_interval(0, 20) == (0.0, pytest.approx(1 - 0.05 ** (1 / 20)))
    assert share_interval(29, 29) == (pytest.approx(0.05 ** (1 / 29)), 1.0)
    low, high = share_interval(7, 31)
    assert binom.sf(7, 31, low) + binom.pmf(7, 31, low) / 2 == pytest.approx(0.025)
    assert binom.cdf(6, 31, high) + binom.pmf(7, 31, high) / 2 == pytest.approx(0.025)
    # Agresti and Gottard 2007 (Computational Statistics and Data Analysis 51, 6447-6458): mid-P is inside Clopper-Pearson.
    from scipy.stats import beta

    assert beta.ppf(0.025, 7, 25) < low and high < beta.ppf(0.975, 8, 24)
    assert share_interval(1, 1) is None and share_interval(0, 0) is None


def test_the_interval_of_a_paired_difference_of_shares() -> None:
    """Bonett and Price's formula by hand: 12 only tuned, 2 only base, of 50."""
    first, second = 13 / 52, 3 / 52
    half = 1.959964 * math.sqrt((first + second - (first - second) ** 2) / 52)
    assert share_difference(12, 2, 50) == pytest.approx((first - second - half, first - second + half))
    low, high = share_difference(0, 0, 20)
    assert low == -high and 0.1 < high < 0.2, "two that never disagree on 20 are not shown to be alike"
    assert share_difference(1, 0, 1) is None


def test_outcomes_that_are_all_alike_are_not_certain() -> None:
    """E5: 3 of 3 right was 100% [100 to 100], and 0/3 against 3/3 had p = 0."""
    from dataclasses import replace

    share = replace(METRICS.get("exact_match"), right_or_wrong=False)
    found = score(share, mean_statistic([0.0] * 3), resamples=100, seed=0)
    assert found.value == 0 and found.low == 0 and found.high == pytest.approx(1 - 0.05 ** (1 / 3))
    assert score(share, mean_statistic([1.0] * 3), resamples=100, seed=0).low == pytest.approx(0.05 ** (1 / 3))
    gained = difference(share, mean_statistic([1.0] * 3), mean_statistic([0.0] * 3), resamples=100, seed=0)
    assert gained.p == pytest.approx(0.25) and gained.verdict == NO_DIFFERENCE
    rouge = METRICS.get("rougeL")
    two = difference(rouge, mean_statistic([0.4, 0.3]), mean_statistic([0.3, 0.2]), resamples=100, seed=0)
    assert two.low is None and two.verdict == NO_DIFFERENCE and two.p == 0.5, "rougeL +0.1 on 2 rows had p = 2e-16"
    # No share: a gap of 0 on 20 pairs of -1 to 1, and a mean score of 0 on 40 answers.
    gap = estimate(mean_statistic([0.0] * 20), resamples=100, seed=0, scale=SIGNED)[1].bounds
    assert gap[0] == -gap[1] and 0.1 < gap[1] < 0.2
    assert estimate(mean_statistic([0.0] * 40), resamples=100, seed=0, scale=POSITIVE)[1].bounds is None


def test_dependent_examples_are_drawn_together() -> None:
    """E4: 25 templates, each repeated 70 times: the interval is that of 25 examples."""
    generator = np.random.default_rng(4)
    leaning = generator.random(25)
    clusters = np.repeat(np.arange(25), 70)
    values = (generator.random(1750) < leaning[clusters]).astype(float)
    metric = METRICS.get("exact_match")
    alone = score(metric, mean_statistic(values.tolist()), resamples=300, seed=0)
    found = score(metric, mean_statistic(values.tolist()), resamples=300, seed=0, clusters=clusters.tolist())
    assert found.value == alone.value and found.clusters == 25 and alone.clusters is None
    assert (found.high - found.low) > 4 * (alone.high - alone.low)
    means = values.reshape(25, 70).mean(axis=1)
    half = 2.064 * means.std(ddof=1) / 5
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)
    lower = mean_statistic((1 - values).tolist())
    change = difference(metric, mean_statistic(values.tolist()), lower, resamples=300, seed=0, clusters=clusters.tolist())
    assert "25" in f"{found.clusters}" and "permutation" in change.method and "McNemar" not in change.method


def test_a_gap_between_groups_can_hold_zero_and_needs_people() -> None:
    """E6: the interval of a gap never held 0."""
    equal = gap_interval([of_rates(np.array([15.0, 14.0]), np.array([30.0, 30.0]))])
    assert equal.bounds[0] == 0 and equal.bounds[1] == pytest.approx(0.28, abs=0.03)
    apart = gap_interval([of_rates(np.array([27.0, 9.0]), np.array([30.0, 30.0]))])
    assert 0.3 < apart.bounds[0] < 0.6 < apart.bounds[1] < 0.8
    few = gap_interval([of_rates(np.array([1.0, 14.0]), np.array([3.0, 30.0]))])
    assert few.bounds is None and "rests on 3 examples" in few.how
    assert gap_interval([GroupMeans(np.array([0.4]), np.array([0.1]), np.array([30.0]))]).bounds is None


def test_groups_in_which_all_are_alike_are_not_certain() -> None:
    """Two groups of twenty right answers: the gap was "0 to 0", and the worst group's share reached beyond 100%."""
    groups = np.repeat([0, 1], 20)
    scored = np.ones(40, dtype=bool)
    for rates in (True, False):  # outcomes are seen to be outcomes
        gap = estimate(GroupMeanStatistic(np.ones(40), scored, groups, 2, spread, rates), resamples=100, seed=0, scale=SHARE)[1]
        assert gap.bounds[0] == 0 and gap.bounds[1] > 0.1
        worst = estimate(GroupMeanStatistic(np.ones(40), scored, groups, 2, lowest, rates), resamples=100, seed=0, scale=SHARE)[1]
        assert 0.8 < worst.bounds[0] < 0.95 and worst.bounds[1] == 1
    values = np.where(groups == 0, 0.4, np.linspace(0, 1, 40))
    some = estimate(GroupMeanStatistic(values, scored, groups, 2, spread), resamples=100, seed=0, scale=SHARE)[1]
    assert some.bounds is None and some.how == "no interval: all examples of a group have the same value"


def test_a_rare_class_that_is_all_right_is_not_certain() -> None:
    """By hand: none wrong of 95 may be 1 - 0.05^(1/95), none of 5 may be 1 - 0.05^(1/5); the mean of the two recalls."""
    truth = ["ham"] * 95 + ["spam"] * 5
    reach = math.hypot(1 - 0.05 ** (1 / 95), 1 - 0.05 ** (1 / 5)) / 2

    def found(name: str, said: list[str]) -> Score:
        statistic = classification_statistic(name, truth, said, ("ham", "spam"))
        return score(classification_metric(name), statistic, resamples=200, seed=0)

    for name in ("balanced_accuracy", "recall_macro"):
        assert (found(name, truth).low, found(name, truth).high) == (pytest.approx(1 - reach), 1.0)
    assert all(found(name, truth).low < 0.85 for name in ("precision_macro", "f1_macro"))
    # Where the other class has its misses, theirs is added to what the rare one may hide.
    some = found("balanced_accuracy", ["spam"] * 5 + truth[5:])
    assert some.low < some.value - (1 - 0.05 ** (1 / 5)) / 2 and "classes of one outcome" in some.interval
    missed = found("balanced_accuracy", ["ham"] * 100)
    assert missed.value == 0.5 and missed.high == pytest.approx(0.5 + (1 - 0.05 ** (1 / 5)) / 2)
    # A difference hides as much: both models are right on all five.
    better, worse = (
        classification_statistic("balanced_accuracy", truth, said, ("ham", "spam")) for said in (truth, ["spam"] * 5 + truth[5:])
    )
    change = compare(worse, better, resamples=200, seed=0, scale=SHARE)
    assert change.bounds[0] < change.value - (1 - 0.05 ** (1 / 5)) / 2
    assert change.bounds[1] > change.value + (1 - 0.05 ** (1 / 5)) / 2
    # Templates: five rows of one author are one example.
    statistic = classification_statistic("balanced_accuracy", truth, truth, ("ham", "spam"))
    one = estimate(statistic, resamples=100, seed=0, scale=SHARE, clusters=[*range(95), *["author"] * 5])[1]
    assert one.bounds[0] == pytest.approx(1 - math.hypot(1 - 0.05 ** (1 / 95), 0.95) / 2)


def test_a_label_that_is_never_true_leaves_means_over_labels_without_an_interval() -> None:
    """Ten rows of the commoner of two labels: the other counts 0 in the mean, which held the truth in 0 to 39% of draws."""
    truth = ["ham"] * 30
    for name, reason in (
        ("f1_macro", "no interval: a label has 0 examples, 5 are needed"),
        ("balanced_accuracy", "no interval: a label has 0 examples, 5 are needed"),
        ("mcc", "no interval: the labels beside the commonest have 0 examples, 5 are needed"),
    ):
        statistic = classification_statistic(name, truth, truth, ("ham", "spam"))
        assert score(classification_metric(name), statistic, resamples=100, seed=0).interval == reason
    statistic = classification_statistic("mcc", truth + ["spam"] * 5, truth + ["spam"] * 5, ("ham", "spam", "eggs"))
    assert score(classification_metric("mcc"), statistic, resamples=100, seed=0).low is not None


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_pooled_formulas_are_sacrebleus(name: str) -> None:
    from sacrebleu import metrics

    scorer = {"bleu": metrics.BLEU, "chrf": metrics.CHRF, "ter": metrics.TER}[name]()
    generator = np.random.default_rng(0)

    def sentence() -> str:
        return " ".join(generator.choice(["a", "bb", "ccc", "dd", "e", "the", "cat"], generator.integers(0, 9)))

    for _ in range(40):
        said, wanted = ([sentence() for _ in range(3)] for _ in "ab")
        sums = np.array(scorer._extract_corpus_statistics(said, [wanted]), dtype=float).sum(axis=0)
        assert POOLED[name](np.stack([sums, sums]))[1] == pytest.approx(scorer.corpus_score(said, [wanted]).score, abs=1e-9)


@pytest.mark.parametrize(("count", "least"), [(10, 0.9), (50, 0.92)])
def test_intervals_of_few_skewed_values_hold(count: int, least: float) -> None:
    """K5 in small; ``benchmarks/coverage.py`` is the whole. A percentile bootstrap holds in 85% at n = 10."""
    generator = np.random.default_rng(count)
    held = 0
    for seed in range(120):
        values = generator.gamma(1.5, 1.0, count)
        low, high = estimate(mean_statistic(values.tolist()), resamples=200, seed=seed, scale=POSITIVE)[1].bounds
        held += low <= 1.5 <= high
    assert held / 120 >= least


def test_equal_models_are_rarely_called_different() -> None:
    generator = np.random.default_rng(1)
    wrong = 0
    for seed in range(200):
        both = generator.beta(1, 3, (2, 12))
        first, second = mean_statistic(both[0].tolist()), mean_statistic(both[1].tolist())
        found = compare(first, second, resamples=100, seed=seed, scale=SHARE)
        wrong += verdict(found.bounds, "higher", found.p) != NO_DIFFERENCE
    assert wrong <= 18


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.06, 0.06, None])
    assert holm([0.5, 0.6]) == [1.0, 1.0] and holm([]) == []


def test_the_p_value_is_near_that_of_a_paired_t_test() -> None:
    from scipy.stats import ttest_rel

    generator = np.random.default_rng(3)
    base = generator.normal(0, 1, 80)
    tuned = base + generator.normal(0.12, 0.6, 80)
    found = compare(mean_statistic(tuned.tolist()), mean_statistic(base.tolist()), resamples=400, seed=0)
    assert found.p == pytest.approx(ttest_rel(tuned, base).pvalue, abs=0.02)
    same = compare(mean_statistic(base.tolist()), mean_statistic(base.tolist()), resamples=200, seed=0)
    assert same.p == 1.0 and same.value == 0


def test_nearer_to_the_ideal_is_better_from_either_side() -> None:
    ones = lambda share: [1.0] * round(100 * share) + [0.0] * (100 - round(100 * share))  # noqa: E731
    far, near = mean_statistic(ones(0.9)), mean_statistic(ones(0.45))
    found = compare(near, far, resamples=500, seed=0, scale=SHARE, ideal=0.5)
    assert found.value == pytest.approx(-0.45) and found.distance == pytest.approx(-0.35) and found.distance_bounds[1] < 0
    across = compare(mean_statistic(ones(0.4)), mean_statistic(ones(0.6)), resamples=500, seed=0, scale=SHARE, ideal=0.5)
    assert across.bounds[1] < 0 and across.distance == pytest.approx(0) and across.p > 0.5


@pytest.mark.parametrize(("middle", "spread"), [(1e9, 1.0), (0.0, 1e-7), (3.0, 2.0)])
def test_r2_has_an_interval_wherever_its_numbers_lie(middle: float, spread: float) -> None:
    """E11: with sums of squares R² of a target near 1e9, or of spread 1e-7, was undefined in most resamples."""
    from studio.evals.metrics.regression import regression_statistic

    generator = np.random.default_rng(5)
    truth = middle + spread * generator.normal(size=60)
    said = truth + 0.3 * spread * generator.normal(size=60)
    value, found = estimate(regression_statistic("r2", truth.tolist(), said.tolist()), resamples=200, seed=0)
    assert found.bounds is not None and found.bounds[0] < value < found.bounds[1] and 0.8 < value < 1
    scaled = regression_statistic("r2", ((truth - middle) / spread).tolist(), ((said - middle) / spread).tolist())
    assert found.bounds == pytest.approx(estimate(scaled, resamples=200, seed=0)[1].bounds, abs=1e-4)
