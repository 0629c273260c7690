"""Intervals and comparisons: percentile bootstrap over examples, paired by drawing the same examples for both models.

Legend: n examples, r resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Better = Literal["higher", "lower", "neither"]

LEVEL = 0.95
SIGNIFICANCE = 0.05
# 97.5% point of the normal distribution.
_Z = 1.959963984540054
NO_DIFFERENCE = "no difference shown"
NOT_COMPUTED = "not computed"


class Statistic(Protocol):
    """A metric on a fixed list of examples.

    scored: bool [n]; False where the example could not be scored (it lowers coverage and is never drawn).
    each: per-example value for the table of examples, None where there is none.
    """

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which examples count."""
        ...

    @property
    def each(self) -> list[float | None]:
        """Per-example values."""
        ...

    def at(self, weights: Floats) -> Floats:
        """Value for each row of weights: [r, n] -> [r]; nan where the drawn examples define no value."""
        ...


def bootstrap_weights(usable: NDArray[np.bool_], resamples: int, seed: int) -> Floats:
    """How often each example is drawn in each resample: [r, n]; rows sum to the number of usable examples.

    Drawing counts from the multinomial is the same as drawing that many examples with replacement (Efron 1979).
    """
    count = int(usable.sum())
    weights = np.zeros((resamples, len(usable)))
    if count:
        generator = np.random.default_rng(seed)
        weights[:, usable] = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    return weights


def interval(values: Floats, estimate: float, *, recentre: bool = False) -> tuple[float, float] | None:
    """95% percentile interval of the resampled values, None when some of them are undefined.

    Args:
        recentre: move the interval by the mean shift of the resamples against the estimate.
    """
    if not np.isfinite(values).all() or not math.isfinite(estimate):
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    shift = float(values.mean()) - estimate if recentre else 0.0
    return float(low) - shift, float(high) - shift


def point(statistic: Statistic, usable: NDArray[np.bool_]) -> float | None:
    """Value over the usable examples, None when there is none."""
    if not usable.any():
        return None
    value = float(statistic.at(usable.astype(np.float64)[None, :])[0])
    return value if math.isfinite(value) else None


def estimate(
    statistic: Statistic, *, resamples: int, seed: int, recentre: bool = False
) -> tuple[float | None, tuple[float, float] | None]:
    """Value and 95% interval of one model; the interval is None when fewer than 2 examples were scored."""
    value = point(statistic, statistic.scored)
    if value is None or statistic.scored.sum() < 2:
        return value, None
    weights = bootstrap_weights(statistic.scored, resamples, seed)
    return value, interval(statistic.at(weights), value, recentre=recentre)


@dataclass(frozen=True)
class Comparison:
    """Tuned against base on the same examples.

    value, bounds: tuned minus base and its 95% interval. n: examples both were scored on. p: two-sided p-value of no difference.
    distance, distance_bounds: change of the distance from the ideal value, where there is one; p then belongs to that.
    """

    value: float | None
    bounds: tuple[float, float] | None
    n: int
    p: float | None = None
    distance: float | None = None
    distance_bounds: tuple[float, float] | None = None


def compare(
    tuned: Statistic, base: Statistic, *, resamples: int, seed: int, recentre: bool = False, ideal: float | None = None
) -> Comparison:
    """Paired bootstrap of the difference: in each resample both models get the same examples.

    The p-value is that of a t-test with the bootstrap's standard error and n - 1 degrees of freedom: counting resamples beyond 0
    could never get below 1 / resamples, which Holm's correction over a suite would always refuse.
    """
    usable = tuned.scored & base.scored
    first, second = point(tuned, usable), point(base, usable)
    count = int(usable.sum())
    if first is None or second is None:
        return Comparison(None, None, count)
    value = first - second
    distance = None if ideal is None else abs(first - ideal) - abs(second - ideal)
    if count < 2:
        return Comparison(value, None, count, distance=distance)
    weights = bootstrap_weights(usable, resamples, seed)
    ours, theirs = tuned.at(weights), base.at(weights)
    bounds = interval(ours - theirs, value, recentre=recentre)
    if ideal is None or distance is None:
        return Comparison(value, bounds, count, p_from_resamples(ours - theirs, value, count))
    distances = np.abs(ours - ideal) - np.abs(theirs - ideal)
    return Comparison(
        value,
        bounds,
        count,
        p_from_resamples(distances, distance, count),
        distance,
        interval(distances, distance, recentre=recentre),
    )


def p_from_resamples(values: Floats, estimate: float, count: int) -> float | None:
    """Two-sided p-value that the true value is 0, from resampled values; None when some of them are undefined."""
    from scipy.stats import t

    if count < 2 or not np.isfinite(values).all() or not math.isfinite(estimate):
        return None
    error = float(values.std(ddof=1))
    if error == 0:
        return 1.0 if estimate == 0 else 0.0
    return float(2 * t.sf(abs(estimate) / error, df=count - 1))


def paired_difference(
    tuned: Statistic, base: Statistic, *, resamples: int, seed: int, recentre: bool = False
) -> tuple[float | None, tuple[float, float] | None, int]:
    """Tuned minus base on the examples both were scored on, its paired interval, and how many examples that is."""
    found = compare(tuned, base, resamples=resamples, seed=seed, recentre=recentre)
    return found.value, found.bounds, found.n


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for all of them being looked at; None stays None.

    Source: Holm 1979, step-down: the i-th smallest of m is multiplied by m - i + 1, made monotone, at most 1.
    """
    order = sorted((value, index) for index, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    running = 0.0
    for rank, (value, index) in enumerate(order):
        running = max(running, min(1.0, value * (len(order) - rank)))
        corrected[index] = running
    return corrected


def wilson(hits: float, count: int) -> tuple[float, float] | None:
    """95% interval of a share; None when ``count`` is below 2. Never empty: 0 of 20 is "0 to 16%", where a bootstrap says "0
    to 0".

    Source: Wilson 1927, score interval.
    """
    if count < 2:
        return None
    share, z2 = hits / count, _Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def share_difference(tuned: Sequence[float | None], base: Sequence[float | None]) -> tuple[float, float] | None:
    """95% interval of the difference of two shares on the same examples; None below 2. It is wide where the two never disagree.

    Source: Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10 (without continuity correction).
    """
    pairs = [(bool(a), bool(b)) for a, b in zip(tuned, base, strict=True) if a is not None and b is not None]
    first, second = wilson(sum(a for a, _ in pairs), len(pairs)), wilson(sum(b for _, b in pairs), len(pairs))
    if first is None or second is None:
        return None
    both, neither = sum(a and b for a, b in pairs), sum(not a and not b for a, b in pairs)
    only_first, only_second = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    product = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    phi = (both * neither - only_first * only_second) / math.sqrt(product) if product else 0.0
    p1, p2 = (both + only_first) / len(pairs), (both + only_second) / len(pairs)
    below, above = (p1 - first[0], second[1] - p2), (first[1] - p1, p2 - second[0])
    low = p1 - p2 - math.sqrt(below[0] ** 2 - 2 * phi * below[0] * below[1] + below[1] ** 2)
    high = p1 - p2 + math.sqrt(above[0] ** 2 - 2 * phi * above[0] * above[1] + above[1] ** 2)
    return low, high


def mcnemar(tuned: Sequence[float | None], base: Sequence[float | None]) -> tuple[int, int, float]:
    """Exact two-sided McNemar test on right/wrong outcomes of the same examples.

    Returns:
        examples only tuned has as 1, examples only base has as 1, p-value (1 when the two never disagree).
    Source: McNemar 1947; the exact form is a sign test on the discordant pairs.
    """
    pairs = [(first, second) for first, second in zip(tuned, base, strict=True) if first is not None and second is not None]
    only_tuned = sum(first > second for first, second in pairs)
    only_base = sum(first < second for first, second in pairs)
    discordant = only_tuned + only_base
    if not discordant:
        return 0, 0, 1.0
    tail = sum(math.comb(discordant, index) for index in range(min(only_tuned, only_base) + 1))
    return only_tuned, only_base, min(1.0, 2 * tail / 2**discordant)


def verdict(bounds: tuple[float, float] | None, better: Better, p_value: float | None = None) -> str:
    """``better`` or ``worse`` (``higher`` or ``lower`` for a metric without a direction), or that nothing was shown.

    Args:
        bounds: paired interval of tuned minus base.
        p_value: of McNemar's test where it applies; a difference must pass both.
    """
    if bounds is None:
        return NOT_COMPUTED
    low, high = bounds
    if low <= 0 <= high or (p_value is not None and p_value >= SIGNIFICANCE):
        return NO_DIFFERENCE
    if better == "neither":
        return "higher" if low > 0 else "lower"
    return "better" if (low > 0) == (better == "higher") else "worse"
