"""The median of absolute errors, with an interval that takes nothing about their distribution for granted.

Legend: n examples, r resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.evals.intervals import none_from, none_of_joined, percentiles
from studio.evals.pieces import Floats, Interval
from studio.evals.statistics import LEVEL, bootstrap_weights, owners_of

_DRAWS = 1000


@dataclass(frozen=True)
class MedianStatistic:
    """Median of errors, [n]; those that are not scored do not count. clusters: a name per example."""

    errors: Floats
    scored: NDArray[np.bool_]
    clusters: Sequence[object] | None = None

    @property
    def each(self) -> list[float | None]:
        """The figure belongs to the whole set; an example alone has none."""
        return [None] * len(self.errors)

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`. Weights are whole numbers."""
        order = np.argsort(self.errors, kind="stable")
        ranked, reached = self.errors[order], ((weights * self.scored)[:, order]).cumsum(axis=1)
        found = np.full(len(weights), np.nan)
        for row, counts in enumerate(reached):
            total = counts[-1] if len(counts) else 0.0
            if total:
                # The two in the middle of an even number, the same one twice of an odd one.
                middle = np.searchsorted(counts, [np.ceil(total / 2), np.floor(total / 2) + 1], side="left")
                found[row] = ranked[middle].mean()
        return found

    def interval(self) -> Interval:
        """See :class:`studio.evals.statistics.OwnInterval`: between two of the ordered errors, chosen by the binomial
        distribution, which holds whatever the errors' distribution is (Hahn and Meeker 1991, section 5.2). Where examples belong
        together, percentiles of clusters drawn anew.
        """
        from scipy.stats import binom

        owners = owners_of(self.scored, self.clusters)
        if len(owners) and int(owners.max()) + 1 < len(owners):
            if (reason := none_of_joined(owners)) is not None:
                return Interval(None, reason)
            values = self.at(bootstrap_weights(self.scored, _DRAWS, 0, self.clusters))
            value = float(self.at(self.scored[None, :].astype(np.float64))[0])
            return Interval(percentiles(values, value), f"percentile bootstrap of the clusters, {_DRAWS} resamples, seed 0")
        ranked = np.sort(self.errors[self.scored])
        place = int(binom.ppf((1 - LEVEL) / 2, len(ranked), 0.5)) if len(ranked) else 0
        if place < 1:
            return Interval(None, none_from(len(ranked)))
        return Interval(
            (float(ranked[place - 1]), float(ranked[-place])), "exact interval of a median, from the order of the errors"
        )
