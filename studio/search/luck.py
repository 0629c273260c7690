"""What luck alone gives to the best of many trials, and how far trials differ by chance.

Legend: n rows (or groups of them), k trials, r resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import mean_statistic
from studio.evals.statistics import bootstrap_weights, owners_of

Floats = NDArray[np.float64]
_RESAMPLES = 2000


def clusters_of(groups: Sequence[str | None] | None) -> list[str] | None:
    """A name per row; rows without a group stand for themselves."""
    if groups is None or all(group is None for group in groups):
        return None
    return [group if group is not None else f"\0{place}" for place, group in enumerate(groups)]


def standard_error(values: Sequence[float], groups: Sequence[str | None] | None = None) -> float | None:
    """Standard error of a mean over rows (jackknife, which for a mean is s / sqrt(n)); None below two independent rows."""
    usable = np.ones(len(values), dtype=bool)
    pieces = mean_statistic(list(values)).pieces(usable).clustered(owners_of(usable, clusters_of(groups)))
    if pieces.count < 2:
        return None
    return float(pieces.errors(pieces.counts)[0])


def expected_largest(count: int) -> float:
    """Expected largest of ``count`` independent standard normal numbers: the integral of x k f(x) F(x)^(k-1).

    Source: David and Nagaraja 2003, Order Statistics, https://doi.org/10.1002/0471722162, section 3.1.
    """
    from scipy.integrate import quad
    from scipy.stats import norm

    if count < 2:
        return 0.0
    value, _ = quad(lambda x: x * count * norm.pdf(x) * norm.cdf(x) ** (count - 1), -12, 12, limit=200)
    return float(value)


@dataclass(frozen=True)
class Luck:
    """What chance does to the best of ``count`` trials, in the unit of the metric, in which ``gain`` is better than the preset's
    own settings.

    gain: of the best trial on the validation rows. noise: of one trial's score beside the others', on rows like these. formula:
    gain expected of the best if all were as good as the preset's own settings and independent: noise x expected largest.
    resampled: the same when rows are drawn anew, which knows that trials resemble each other. p: chance of a gain at least as
    large if no trial were better.
    """

    count: int
    rows: int
    gain: float
    noise: float
    largest: float
    formula: float
    resampled: float
    p: float


def luck_of(gains: Floats, groups: Sequence[str | None] | None, seed: int) -> Luck | None:
    """Chance of a best trial, from each trial's gain over the preset's own settings on each row.

    Args:
        gains: [n, k], above 0 where a trial is better on a row.
    Returns:
        None with fewer than two rows or without trials.
    Source: White 2000, A Reality Check for Data Snooping, https://doi.org/10.1111/1468-0262.00152, for ``resampled`` and ``p``.
    """
    rows, count = gains.shape
    if rows < 2 or count < 1:
        return None
    errors = [standard_error(gains[:, trial].tolist(), groups) or 0.0 for trial in range(count)]
    # Two scores that are as uncertain as each other differ by sqrt(2) times the noise of one.
    noise = float(np.median(errors)) / math.sqrt(2)
    means = gains.mean(axis=0)
    weights = bootstrap_weights(np.ones(rows, dtype=bool), _RESAMPLES, seed, clusters_of(groups))
    drawn = (weights @ gains) / weights.sum(axis=1, keepdims=True)
    by_chance = (drawn - means).max(axis=1)  # [r], if every trial were just as good
    gain, largest = float(means.max()), expected_largest(count)
    reached = int((by_chance >= gain).sum())
    return Luck(
        count=count,
        rows=rows,
        gain=gain,
        noise=noise,
        largest=largest,
        formula=noise * largest,
        resampled=float(by_chance.mean()),
        p=(reached + 1) / (_RESAMPLES + 1),
    )
