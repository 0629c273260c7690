"""Which of several is better over folds, by ranks: Friedman's test, and the critical difference of Nemenyi.

Source: Demsar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets,
https://www.jmlr.org/papers/v7/demsar06a.html, section 3.2.2. There a block is a data set; here it is a fold of one, and folds
share most of their training rows. So the test takes them for more independent than they are, and says nothing of other data.

Legend: n folds, k presets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05


@dataclass(frozen=True)
class Ranks:
    """ranks: mean rank of each, 1 is best, [k]. p: of Friedman's test that all are alike, None for two. critical: mean ranks that
    lie further apart differ. groups: places of those between which no difference is shown, each as first and last in the order of
    ranks; ``order`` is that order.
    """

    ranks: tuple[float, ...]
    order: tuple[int, ...]
    p: float | None
    critical: float
    groups: tuple[tuple[int, int], ...]


def ranked(scores: NDArray[np.float64], better: str) -> Ranks:
    """Ranks over folds.

    Args:
        scores: one per fold and preset, [n, k], k at least 2. better: ``higher`` or ``lower``.
    """
    from scipy.stats import friedmanchisquare, rankdata

    folds, count = scores.shape
    places = rankdata(-scores if better == "higher" else scores, axis=1)
    ranks = places.mean(axis=0)
    order = sorted(range(count), key=lambda number: (ranks[number], number))
    p_value = None
    if count > 2:
        alike = bool((scores == scores[:, :1]).all())
        p_value = 1.0 if alike else float(friedmanchisquare(*scores.T).pvalue)
    critical = critical_difference(count, folds)
    return Ranks(
        ranks=tuple(float(rank) for rank in ranks),
        order=tuple(order),
        p=p_value,
        critical=critical,
        groups=_groups([float(ranks[number]) for number in order], critical),
    )


def critical_difference(count: int, folds: int) -> float:
    """Q sqrt(k (k + 1) / (6 n)), with q of the studentised range for infinitely many degrees of freedom over sqrt(2)."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - LEVEL, count, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(count * (count + 1) / (6 * folds))


def _groups(ranks: Sequence[float], critical: float) -> tuple[tuple[int, int], ...]:
    """Longest stretches of sorted ranks that lie within the critical difference; single ones are left out."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(place for place in range(first, len(ranks)) if ranks[place] - ranks[first] <= critical)
        if last > first and not any(start <= first and last <= end for start, end in found):
            found.append((first, last))
    return tuple(found)
