"""The mean silhouette of rows, with an interval that knows that each row is also a neighbour of the others.

Legend: n rows in groups, k groups.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from studio.core.records import Difference
from studio.evals.intervals import FEWEST, alike, jackknife_error, none_from
from studio.evals.metrics.base import Metric, OfTheWhole
from studio.evals.pieces import Floats, Interval
from studio.evals.statistics import LEVEL, NOT_COMPUTED, SIGNED, verdict
from studio.models.clusters.groups import NONE

# Numbers held at once while rows are left out.
_AT_ONCE = 4_000_000


class MeanSilhouette(OfTheWhole):
    """Mean silhouette of rows in groups.

    Drawing rows anew would put copies of a row beside it, at no distance. So its interval is the jackknife's, from the values
    without each row in turn, which are had from sums of distances.
    Source: Efron and Stein 1981, https://doi.org/10.1214/aos/1176345462.
    """

    def __init__(self, matrix: np.ndarray, labels: np.ndarray) -> None:
        """matrix: float64 [n, d]; labels: int64 [n], at least two groups and fewer than rows."""
        from scipy.spatial.distance import cdist

        self._inside: NDArray[np.bool_] = labels != NONE
        self._groups = np.unique(labels[self._inside], return_inverse=True)[1].reshape(-1)
        self._distances = cdist(matrix[self._inside], matrix[self._inside])
        self._members = np.eye(self._groups.max() + 1)[self._groups]  # [n, k]
        self._sums: Floats = self._distances @ self._members  # [n, k]
        self._sizes: Floats = self._members.sum(axis=0)  # [k]
        self.rows = _silhouettes(self._sums, np.broadcast_to(self._sizes, self._sums.shape), self._groups)

    @property
    def size(self) -> int:
        """See :attr:`OfTheWhole.size`."""
        return len(self._inside)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Rows in groups."""
        return self._inside

    @property
    def each(self) -> list[float | None]:
        """Silhouette of each row, None outside of groups."""
        found: list[float | None] = [None] * self.size
        for place, value in zip(np.flatnonzero(self._inside).tolist(), self.rows.tolist(), strict=True):
            found[place] = value
        return found

    def at(self, weights: Floats) -> Floats:
        """Mean of the rows, each beside all others, by weight; [r, n] -> [r]."""
        kept = weights[:, self._inside]
        found: Floats = (kept @ self.rows) / kept.sum(axis=1)
        return found

    def without_each(self) -> Floats:
        """Mean without each row in turn, [n]."""
        count, k = self._sums.shape
        found = np.empty(count)
        step = max(1, _AT_ONCE // (count * k))
        for start in range(0, count, step):
            left = np.arange(start, min(count, start + step))
            gone = self._members[left]  # [b, k]
            sums = self._sums[None] - self._distances[left][:, :, None] * gone[:, None]  # [b, n, k]
            sizes = np.broadcast_to((self._sizes - gone)[:, None], sums.shape)
            values = _silhouettes(sums.reshape(-1, k), sizes.reshape(-1, k), np.tile(self._groups, len(left)))
            values = values.reshape(len(left), count)
            values[np.arange(len(left)), left] = 0.0
            found[left] = values.sum(axis=1) / (count - 1)
        return found

    def interval(self) -> Interval:
        """See :class:`studio.evals.statistics.OwnInterval`."""
        count, value = len(self.rows), float(self.rows.mean())
        if count < FEWEST:
            return Interval(None, none_from(count))
        error = jackknife_error(self.without_each())
        if error == 0:
            return alike(value, count, SIGNED)
        reach = _reach(count) * error
        return Interval((max(-1.0, value - reach), min(1.0, value + reach)), "jackknife t-interval")


def _silhouettes(sums: Floats, sizes: Floats, groups: np.ndarray) -> Floats:
    """Silhouettes from the sums of distances of each row to the rows of each group [m, k]; sizes [m, k] count the row itself.

    0 for the only row of a group.
    """
    rows = np.arange(len(sums))
    own = sizes[rows, groups] - 1
    with np.errstate(all="ignore"):
        means = sums / sizes
        inner = sums[rows, groups] / own
    means[rows, groups] = np.inf
    outer = np.where(np.isnan(means), np.inf, means).min(axis=1)
    widest = np.maximum(inner, outer)
    usable = (own > 0) & np.isfinite(outer) & (widest > 0)
    found: Floats = np.divide(outer - inner, widest, out=np.zeros(len(sums)), where=usable)
    return found


def silhouette_difference(metric: Metric, tuned: MeanSilhouette, base: MeanSilhouette | None) -> Difference:
    """Tuned minus base on as many rows, paired by place, with the jackknife's interval and t-test.

    base: None where there are no two groups, which counts as 0.
    """
    from scipy.stats import t

    sides = [(tuned, 1.0)] + ([(base, -1.0)] if base is not None else [])
    value = float(sum(sign * one.rows.mean() for one, sign in sides))
    count = int(np.logical_and.reduce([one.scored for one, _ in sides]).sum())
    fewest = min(len(one.rows) for one, _ in sides)
    if fewest < FEWEST:
        return Difference(metric=metric.key, value=value, n=count, method=none_from(fewest), verdict=NOT_COMPUTED)
    # Where a row counts for both, what it does to both belongs together.
    pulls = np.zeros(tuned.size)
    for one, sign in sides:
        without = one.without_each()
        pulls[one.scored] += sign * (without - without.mean()) * math.sqrt((len(without) - 1) / len(without))
    error = float(np.sqrt((pulls**2).sum()))
    p = float(2 * t.sf(abs(value) / error, fewest - 1)) if error else float(value == 0)
    reach = _reach(fewest) * error
    bounds = max(-2.0, value - reach), min(2.0, value + reach)
    return Difference(
        metric=metric.key,
        value=value,
        low=bounds[0],
        high=bounds[1],
        n=count,
        method=f"jackknife t-interval; t-test with the jackknife's standard error, p = {p:.3g}",
        verdict=verdict(bounds, metric.better, p),
        p=p,
    )


def _reach(count: int) -> float:
    """How many standard errors an interval reaches to each side."""
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, count - 1))
