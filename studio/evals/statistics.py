"""Intervals and comparisons: percentile bootstrap over examples, paired by drawing the same examples for both models.

Legend: n examples, r resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import Better, Floats, Statistic

LEVEL = 0.95
SIGNIFICANCE = 0.05
NO_DIFFERENCE = "no difference shown"
NOT_COMPUTED = "not computed"


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


def paired_difference(
    tuned: Statistic, base: Statistic, *, resamples: int, seed: int, recentre: bool = False
) -> tuple[float | None, tuple[float, float] | None, int]:
    """Tuned minus base on the examples both were scored on, its paired interval, and how many examples that is."""
    usable = tuned.scored & base.scored
    first, second = point(tuned, usable), point(base, usable)
    count = int(usable.sum())
    if first is None or second is None:
        return None, None, count
    value = first - second
    if count < 2:
        return value, None, count
    weights = bootstrap_weights(usable, resamples, seed)
    return value, interval(tuned.at(weights) - base.at(weights), value, recentre=recentre), count


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
