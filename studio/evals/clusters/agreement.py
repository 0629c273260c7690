"""How alike two groupings of the same rows are, for any resample of them: adjusted Rand index, adjusted mutual information.

Legend: n rows, c pairs of groups that occur, r resamples, k and l groups of the two groupings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studio.evals.metrics.base import OfTheWhole, SumStatistic
from studio.evals.pieces import Floats
from studio.evals.statistics import Statistic


@dataclass(frozen=True)
class Pairs:
    """Which groups of two groupings rows lie in.

    places: the pair of each row, int64 [n]. first, second: membership of each pair in the groups of either, float64 [c, k] and
    [c, l].
    """

    places: np.ndarray
    first: Floats
    second: Floats

    @staticmethod
    def of(first: np.ndarray, second: np.ndarray) -> Pairs:
        """Pairs of two groupings, [n] each."""
        one, two = (np.unique(labels, return_inverse=True)[1] for labels in (first, second))
        pairs, places = np.unique(np.stack([one, two], axis=1), axis=0, return_inverse=True)
        return Pairs(
            places.reshape(-1), np.eye(one.max(initial=-1) + 1)[pairs[:, 0]], np.eye(two.max(initial=-1) + 1)[pairs[:, 1]]
        )

    @property
    def sums(self) -> Floats:
        """One column for each pair, 1 where a row is of it; [n, c]."""
        found: Floats = np.eye(len(self.first))[self.places]
        return found

    def rand(self, counts: Floats) -> Floats:
        """Adjusted Rand index of counts of the pairs, [r, c] -> [r]; 1 for the same grouping, 0 on average for chance.

        nan where neither grouping tells rows apart. Source: Hubert and Arabie 1985, https://doi.org/10.1007/BF01908075, eq. 5.
        """
        both, one, two = (_choose2(sums).sum(axis=1) for sums in (counts, counts @ self.first, counts @ self.second))
        expected = one * two / _choose2(counts.sum(axis=1))
        most = (one + two) / 2
        found: Floats = np.divide(both - expected, most - expected, out=np.full(len(counts), np.nan), where=most != expected)
        return found


def _choose2(counts: Floats) -> Floats:
    """Pairs of so many rows."""
    found: Floats = counts * (counts - 1) / 2
    return found


def rand_statistic(first: np.ndarray, seconds: Sequence[np.ndarray], scored: np.ndarray) -> SumStatistic:
    """Mean adjusted Rand index of a grouping with several others.

    Args:
        first: [n]; seconds: [n] each. scored: rows that count, bool [n].
    """
    pairs = [Pairs.of(first[scored], second[scored]) for second in seconds]
    widths = np.cumsum([0, *(len(one.first) for one in pairs)])
    sums = np.zeros((len(first), int(widths[-1])))
    sums[scored] = np.concatenate([one.sums for one in pairs], axis=1)

    def combine(counts: Floats) -> Floats:
        values = [one.rand(counts[:, start:end]) for one, start, end in zip(pairs, widths[:-1], widths[1:], strict=True)]
        found: Floats = np.mean(values, axis=0)
        return found

    return SumStatistic(sums, scored, [None] * len(first), combine)


class Resampled(OfTheWhole):
    """A statistic that is compared by drawing rows anew: pairs of groups of two groupings are not each other's, and cannot be
    swapped.
    """

    def __init__(self, statistic: Statistic) -> None:
        """``statistic``: what is computed."""
        self._statistic = statistic

    @property
    def size(self) -> int:
        """See :attr:`OfTheWhole.size`."""
        return len(self._statistic.scored)

    @property
    def scored(self) -> np.ndarray:
        """Rows that count."""
        return self._statistic.scored

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.statistics.Statistic.at`."""
        return self._statistic.at(weights)


class MutualInformation(OfTheWhole):
    """Adjusted mutual information of two groupings, arithmetic mean of the entropies.

    Rows that are drawn twice agree with themselves, so that its interval comes from leaving rows out (``shrinks``).

    Source: Vinh, Epps and Bailey 2010, https://jmlr.org/papers/v11/vinh10a.html.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray, scored: np.ndarray) -> None:
        """first, second: [n]. scored: rows that count, bool [n]."""
        self._first, self._second, self._scored = first, second, scored
        self._pairs = Pairs.of(first[scored], second[scored])

    @property
    def size(self) -> int:
        """See :attr:`OfTheWhole.size`."""
        return len(self._scored)

    @property
    def scored(self) -> np.ndarray:
        """Rows that count."""
        return self._scored

    @property
    def shrinks(self) -> bool:
        """See :class:`studio.evals.statistics.Joinable`."""
        return True

    def joined(self, other: MutualInformation) -> MutualInformation:
        """See :meth:`studio.evals.statistics.Joinable.joined`."""
        parts = ((self._first, other._first), (self._second, other._second), (self._scored, other._scored))
        return MutualInformation(*(np.concatenate(part) for part in parts))

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.statistics.Statistic.at`."""
        kinds, places = np.unique(weights[:, self._scored] @ self._pairs.sums, axis=0, return_inverse=True)
        found: Floats = np.array([self._of(row) for row in kinds])[places.reshape(-1)]
        return found

    def _of(self, counts: Floats) -> float:
        """Of counts of the pairs, [c]."""
        from scipy.sparse import csr_array
        from sklearn.metrics.cluster import expected_mutual_information

        pairs = self._pairs
        one, two = counts @ pairs.first, counts @ pairs.second
        number = counts.sum()
        here = counts > 0
        shares = counts[here] / number
        outer = (pairs.first[here] @ one) * (pairs.second[here] @ two) / number**2
        mutual = float((shares * np.log(shares / outer)).sum())
        entropies = [float(-(part[part > 0] / number * np.log(part[part > 0] / number)).sum()) for part in (one, two)]
        if max(entropies) == 0:
            return float("nan")
        if min(entropies) == 0:
            return 0.0
        table = (pairs.first[here] * counts[here, None]).T @ pairs.second[here]
        table = table[one > 0][:, two > 0]
        expected = float(expected_mutual_information(csr_array(table.astype(np.int64)), int(number)))
        return (mutual - expected) / (sum(entropies) / 2 - expected)
