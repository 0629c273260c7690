"""95% intervals of the gap between the highest and the lowest of several groups, and of the lowest or highest itself.

The largest of several differences is never negative and is too large on average, so that resamples of it never hold 0. Here the
groups' rates are told apart first: the gap reaches up to the furthest pair's own bound, and down to what the surest pair shows
when all pairs are looked at. Two groups give the interval of their difference, folded at 0.

Legend: g groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from studio.evals.intervals import Bounds
from studio.evals.pieces import Floats, Interval
from studio.evals.statistics import LEVEL

# A group's rate over fewer people than this has no interval worth the name.
FEWEST_OF_A_GROUP = 5


@dataclass(frozen=True)
class GroupMeans:
    """Means of one measure: value and standard error of each group that has one, and over how many examples, [g] each."""

    values: Floats
    errors: Floats
    counts: Floats

    @property
    def smallest(self) -> int:
        """Examples of the smallest group."""
        return int(self.counts.min())


def of_rates(hits: Floats, counts: Floats) -> GroupMeans:
    """Rates of groups from counts [g]; groups of nobody are left out.

    One hit and one miss are added to each, so that a group in which all are alike is not taken for certain.
    Source: Agresti and Caffo 2000, https://doi.org/10.1080/00031305.2000.10474560.
    """
    known = counts > 0
    number = counts[known] + 2
    rates = (hits[known] + 1) / number
    return GroupMeans(rates, np.sqrt(rates * (1 - rates) / number), counts[known])


def of_values(values: Floats, groups: NDArray[np.int64], count: int) -> GroupMeans:
    """Means of groups from values [n] and group numbers [n]; groups without an example are left out."""
    parts = [values[groups == place] for place in range(count)]
    parts = [part for part in parts if len(part)]
    # Of equal values the standard deviation is what is left of rounding, not 0.
    errors = [float(np.ptp(part) > 0) * part.std(ddof=1) / math.sqrt(len(part)) if len(part) > 1 else math.inf for part in parts]
    return GroupMeans(
        np.array([part.mean() for part in parts]), np.array(errors), np.array([len(part) for part in parts], dtype=np.float64)
    )


def gap_interval(measures: Sequence[GroupMeans], *, ratio: bool = False) -> Interval:
    """Interval of the largest gap between two groups in any of the measures.

    Args:
        ratio: of the lowest over the highest instead, at most 1.
    Source of the factor for all pairs: Tukey and Kramer's studentised range; of several measures, Šidák's correction.
    """
    reason = _too_few(measures)
    if reason:
        return Interval(None, reason)
    sure, pairs = _factor(measures), []
    for measure in measures:
        values = np.log(measure.values) if ratio else measure.values
        errors = measure.errors / measure.values if ratio else measure.errors
        for a, b in combinations(range(len(values)), 2):
            pairs.append((abs(values[a] - values[b]), math.hypot(errors[a], errors[b])))
    low = max(0.0, max(gap - sure * error for gap, error in pairs))
    high = max(gap + _normal() * error for gap, error in pairs)
    how = "pairwise interval of group rates, Agresti and Caffo's, for all pairs"
    return Interval((math.exp(-high), math.exp(-low)) if ratio else (low, min(1.0, high) if _rates(measures) else high), how)


def extreme_interval(measure: GroupMeans, *, lowest: bool) -> Interval:
    """Interval of the lowest (or highest) group's mean: one bound is that of the furthest group, the other of the surest."""
    reason = _too_few([measure])
    if reason:
        return Interval(None, reason)
    sign = 1.0 if lowest else -1.0
    each = _normal((LEVEL) ** (1 / len(measure.values)))
    near = sign * measure.values + each * measure.errors
    far = sign * measure.values - _normal() * measure.errors
    bounds: Bounds = (float(far.min()), float(near.min()))
    return Interval(bounds if lowest else (-bounds[1], -bounds[0]), "interval of each group's mean, for all groups")


def _too_few(measures: Sequence[GroupMeans]) -> str | None:
    """Why there is no interval."""
    if any(len(measure.values) < 2 for measure in measures):
        return "no interval: fewer than two groups have a value"
    smallest = min(measure.smallest for measure in measures)
    if smallest < FEWEST_OF_A_GROUP:
        return f"no interval: a group's value rests on {smallest} examples, {FEWEST_OF_A_GROUP} are needed"
    if any((measure.errors == 0).any() for measure in measures):
        return "no interval: all examples of a group have the same value"
    return None


def _factor(measures: Sequence[GroupMeans]) -> float:
    """How many standard errors apart two of all these groups must be."""
    return _tukey(LEVEL ** (1 / len(measures)), max(len(measure.values) for measure in measures))


@cache
def _tukey(level: float, groups: int) -> float:
    """Tukey's factor for so many groups, of which each has many examples."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(level, groups, 100_000)) / math.sqrt(2)


def _normal(level: float = LEVEL) -> float:
    """Half width of the normal distribution's middle part."""
    from scipy.stats import norm

    return float(norm.ppf((1 + level) / 2))


def _rates(measures: Sequence[GroupMeans]) -> bool:
    """True where no gap can be above 1."""
    return all((measure.values >= 0).all() and (measure.values <= 1).all() for measure in measures)
