"""Tuned against base on the same examples: the difference, its interval, and the p-value of no difference.

Legend: n examples, k sums, r draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from studio.evals.intervals import (
    Bounds,
    alike,
    jackknife_error,
    none_from,
    none_of_joined,
    of_pieces,
    one_by_one,
    percentiles,
    with_unseen,
    without_each,
)
from studio.evals.pieces import Floats, Interval, Pieces
from studio.evals.statistics import (
    ANY,
    LEVEL,
    Demanding,
    Joinable,
    OfSums,
    OwnInterval,
    Scale,
    Statistic,
    Stratified,
    bootstrap_weights,
    mcnemar,
    owners_of,
    point,
)

# Swaps of the two models' answers for a p-value; with 2,000 it can still be found after Holm's correction over 99 comparisons.
_SWAPS = 2000
# Products to be computed for the swaps at most; beyond it there are so many examples that the t-test says the same.
_MOST_WORK = 1_000_000_000
_NO_IDEAL = Interval(None, "the metric has no ideal value")


@dataclass(frozen=True)
class Comparison:
    """Tuned against base on the same examples.

    value, interval: tuned minus base. n: examples both were scored on. p: two-sided p-value of no difference, test: of what.
    distance, distance_interval: change of the distance from the ideal value, where there is one; p then belongs to that.
    """

    value: float | None
    interval: Interval
    n: int
    p: float | None = None
    test: str = ""
    distance: float | None = None
    distance_interval: Interval = _NO_IDEAL

    @property
    def bounds(self) -> Bounds | None:
        """95% interval of tuned minus base."""
        return self.interval.bounds

    @property
    def distance_bounds(self) -> Bounds | None:
        """95% interval of the change of the distance."""
        return self.distance_interval.bounds


def compare(
    tuned: Statistic,
    base: Statistic,
    *,
    resamples: int,
    seed: int,
    scale: Scale = ANY,
    share: bool = False,
    recentre: bool = False,
    ideal: float | None = None,
    clusters: Sequence[object] | None = None,
) -> Comparison:
    """Paired comparison; arguments as of :func:`studio.evals.intervals.estimate`.

    ideal: the value of no bias; what is judged is then how far each is from it.
    """
    usable = tuned.scored & base.scored
    first, second, count = point(tuned, usable), point(base, usable), int(usable.sum())
    if first is None or second is None:
        return Comparison(None, Interval(None, "no value"), count)
    if isinstance(tuned, Demanding) and (reason := tuned.too_few(usable)):
        return Comparison(first - second, Interval(None, f"no interval: {reason}"), count)
    if isinstance(tuned, OwnInterval) and isinstance(base, OwnInterval):
        reason = next((found.how for found in (tuned.interval(), base.interval()) if found.bounds is None), None)
        if reason is not None:
            return Comparison(first - second, Interval(None, reason), count)
    owners = owners_of(usable, clusters)
    if isinstance(tuned, OfSums) and isinstance(base, OfSums):
        pair = tuned.pieces(usable).clustered(owners), base.pieces(usable).clustered(owners)
        if share and not pair[0].grouped:
            return _of_shares(tuned, base, first - second, count)
        found = _of_sums(pair, first, second, scale, ideal, resamples, seed, count)
        if not isinstance(tuned, Stratified):
            return found
        unseen = tuned.with_unseen(usable, owners, base)
        return replace(found, interval=with_unseen(found.interval, first - second, unseen, scale.difference))
    if one_by_one(tuned, count):
        return _of_joined(tuned, base, usable, first - second, scale, seed, owners)
    return _of_resamples(tuned, base, usable, first - second, scale, resamples, seed, recentre, clusters)


def _of_shares(tuned: Statistic, base: Statistic, value: float, count: int) -> Comparison:
    """Right or wrong: McNemar's exact test, and the interval of Bonett and Price."""
    only_tuned, only_base, p_value = mcnemar(tuned.each, base.each)
    bounds = share_difference(only_tuned, only_base, count)
    how = "Bonett and Price's interval of paired shares" if bounds else none_from(count)
    test = f"exact McNemar: {only_tuned} only tuned, {only_base} only base"
    return Comparison(value, Interval(bounds, how), count, p_value, test)


def share_difference(only_tuned: int, only_base: int, count: int) -> Bounds | None:
    """95% interval of the difference of two shares on the same examples; None below 2. Wide where the two never disagree.

    Source: Bonett and Price 2012, https://doi.org/10.3102/1076998611411915, adjusted Wald interval: one is added to each of the
    two counts of disagreement.
    """
    if count < 2:
        return None
    from scipy.stats import norm

    first, second, number = (only_tuned + 1) / (count + 2), (only_base + 1) / (count + 2), count + 2
    middle = first - second
    reach = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt((first + second - middle**2) / number)
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def _of_sums(
    pair: tuple[Pieces, Pieces],
    first: float,
    second: float,
    scale: Scale,
    ideal: float | None,
    resamples: int,
    seed: int,
    count: int,
) -> Comparison:
    """Functions of sums: studentised interval of the difference, and a test by swapping the two models' answers."""
    value = first - second
    both = pair[0].beside(pair[1])
    interval = of_pieces(both, value, scale.difference, resamples, seed)
    if ideal is None:
        p_value, test = p_of_swaps(*pair, seed=seed)
        return Comparison(value, interval, count, p_value, test)

    def away(values: Floats) -> Floats:
        return np.abs(values - ideal)

    near, far = pair[0].on(away), pair[1].on(away)
    distance, apart = abs(first - ideal) - abs(second - ideal), near.beside(far)
    most = max(scale.highest - ideal, ideal - scale.lowest)
    found = of_pieces(apart, distance, Scale(-most, most), resamples, seed)
    swaps, test = p_of_swaps(near, far, seed=seed)
    # On two sides of the ideal the models are not alike even where they are equally far from it, so swapping them is not enough.
    return Comparison(value, interval, count, max(swaps, p_of_t(apart, distance)), f"{test}, and t-test", distance, found)


def p_of_swaps(tuned: Pieces, base: Pieces, *, seed: int) -> tuple[float, str]:
    """Two-sided p-value that the two models answer alike, and the name of the test.

    If they do, each example's two answers could be swapped: the share of swaps that show as large a difference.
    """
    ours, theirs = tuned.sums, base.sums
    unlike = np.flatnonzero((ours != theirs).any(axis=1))
    value = float(tuned.values(tuned.counts)[0] - base.values(base.counts)[0])
    if ours[unlike].size * _SWAPS > _MOST_WORK:
        return p_of_t(tuned.beside(base), value), "t-test with the jackknife's standard error"
    swapped = swaps(len(unlike), seed)
    moved = swapped @ (theirs[unlike] - ours[unlike])
    with np.errstate(all="ignore"):
        values = tuned.combine(ours.sum(axis=0) + moved) - base.combine(theirs.sum(axis=0) - moved)
    return share_reached(values, value), f"permutation test, {len(swapped)} swaps"


def swaps(count: int, seed: int) -> Floats:
    """Which examples are swapped: all ways where there are few, else drawn at random; [r, n] of 0 and 1."""
    if 2**count <= _SWAPS:
        return (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(np.float64)
    return np.random.default_rng(seed).integers(0, 2, size=(_SWAPS, count)).astype(np.float64)


def share_reached(values: Floats, value: float) -> float:
    """Share of permuted values at least as far from 0 as the value; undefined ones count as further, to be on the safe side."""
    reached = int((~(np.abs(values) < abs(value) - 1e-9 * max(1.0, abs(value)))).sum())
    # The order that was seen is one of all possible ones, and is among them only where they were all tried.
    return reached / len(values) if len(values) < _SWAPS else (reached + 1) / (len(values) + 1)


def p_of_t(pieces: Pieces, value: float) -> float:
    """Two-sided p-value of a t-test with the jackknife's standard error."""
    from scipy.stats import t

    error = float(pieces.errors(pieces.counts)[0])
    if not math.isfinite(error) or pieces.count < 2:
        return 1.0
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * t.sf(abs(value) / error, df=pieces.count - 1))


def _of_joined(
    tuned: Joinable,
    base: Statistic,
    usable: NDArray[np.bool_],
    value: float,
    scale: Scale,
    seed: int,
    owners: NDArray[np.int64],
) -> Comparison:
    """Statistics that are no function of sums: jackknife, and the same test by swaps over the examples of both."""
    from scipy.stats import t

    count, independent = int(usable.sum()), int(owners.max()) + 1
    error = jackknife_error(without_each(tuned, usable, owners) - without_each(base, usable, owners))
    if (reason := none_of_joined(owners)) is not None:
        interval = Interval(None, reason)
    elif error == 0:
        interval = alike(value, independent, scale.difference)
    elif not math.isfinite(error):
        interval = Interval(None, "no interval: without some of the examples there is no value")
    else:
        reach = float(t.ppf((1 + LEVEL) / 2, independent - 1)) * error
        interval = Interval(scale.difference.clipped(value - reach, value + reach), "jackknife t-interval")
    both = tuned.joined(base)
    drawn = swaps(independent, seed)
    swapped = np.zeros((len(drawn), len(usable)))
    swapped[:, usable] = drawn[:, owners]
    kept = usable.astype(np.float64) - swapped
    values = both.at(np.concatenate([kept, swapped], axis=1)) - both.at(np.concatenate([swapped, kept], axis=1))
    return Comparison(value, interval, count, share_reached(values, value), f"permutation test, {len(drawn)} swaps")


def _of_resamples(
    tuned: Statistic,
    base: Statistic,
    usable: NDArray[np.bool_],
    value: float,
    scale: Scale,
    resamples: int,
    seed: int,
    recentre: bool,
    clusters: Sequence[object] | None,
) -> Comparison:
    """What can only be drawn anew as a whole (pictures): percentiles, and a t-test with their standard deviation."""
    from scipy.stats import t

    count, owners = int(usable.sum()), owners_of(usable, clusters)
    if (reason := none_of_joined(owners)) is not None:
        return Comparison(value, Interval(None, reason), count)
    independent = int(owners.max()) + 1
    weights = bootstrap_weights(usable, resamples, seed, clusters)
    values = tuned.at(weights) - base.at(weights)
    bounds = percentiles(values, value, recentre=recentre)
    how = f"paired percentile bootstrap, {resamples} resamples, seed {seed}"
    if bounds is None:
        return Comparison(value, Interval(None, "no interval: some resamples have no value"), count)
    if bounds[0] == bounds[1]:
        return Comparison(value, alike(value, independent, scale.difference), count, float(value == 0), "no resample differs")
    error = float(values.std(ddof=1))
    p_value = float(2 * t.sf(abs(value) / error, df=independent - 1)) if error else float(value == 0)
    return Comparison(value, Interval(bounds, how), count, p_value, "t-test with the bootstrap's standard error")
