"""How tight groups are and how far apart, for any resample of the rows: Caliński-Harabasz and Davies-Bouldin.

Legend: n rows, d dimensions, k groups, r resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import OfTheWhole
from studio.evals.pieces import Floats
from studio.models.clusters.groups import NONE


@dataclass(frozen=True)
class _Moved:
    """Groups of resampled rows: counts [r, k], means [r, k, d], sums of distances and of squared distances to them [r, k]."""

    counts: Floats
    means: Floats
    distances: Floats
    squares: Floats


class OfGroups(OfTheWhole):
    """What is computed from the means of groups and how far rows are from them; rows of no group are left out."""

    def __init__(self, matrix: np.ndarray, labels: np.ndarray) -> None:
        """matrix: float64 [n, d]; labels: int64 [n]."""
        self._scored: NDArray[np.bool_] = labels != NONE
        middle = matrix[self._scored].mean(axis=0) if self._scored.any() else 0.0
        # Around the middle, so that squares lose no digits.
        self._parts = [
            (np.flatnonzero(labels == group), (matrix - middle)[labels == group]) for group in np.unique(labels[self._scored])
        ]

    @property
    def size(self) -> int:
        """See :attr:`OfTheWhole.size`."""
        return len(self._scored)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Rows in groups."""
        return self._scored

    def _moved(self, weights: Floats) -> _Moved:
        """The groups of each resample, [r, n]; nan where a group is not drawn."""
        parts = [self._part(weights[:, places], rows) for places, rows in self._parts]
        return _Moved(*(np.stack(found, axis=1) for found in zip(*parts, strict=True)))

    @staticmethod
    def _part(weights: Floats, rows: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """One group."""
        counts = weights.sum(axis=1)
        with np.errstate(all="ignore"):
            means = (weights @ rows) / counts[:, None]
        squared = (rows**2).sum(axis=1) - 2 * means @ rows.T + (means**2).sum(axis=1, keepdims=True)
        squared = np.maximum(squared, 0.0)
        return counts, means, (weights * np.sqrt(squared)).sum(axis=1), (weights * squared).sum(axis=1)


class CalinskiHarabasz(OfGroups):
    """See :func:`studio.models.clusters.criteria.calinski_harabasz`."""

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.statistics.Statistic.at`."""
        if len(self._parts) < 2:
            return np.full(len(weights), np.nan)
        moved = self._moved(weights)
        number, groups = moved.counts.sum(axis=1), (moved.counts > 0).sum(axis=1)
        means = np.nan_to_num(moved.means)
        middle = (moved.counts[:, :, None] * means).sum(axis=1) / number[:, None]
        between = (moved.counts * ((means - middle[:, None]) ** 2).sum(axis=2)).sum(axis=1)
        within = np.nansum(moved.squares, axis=1)
        usable = (groups > 1) & (number > groups) & (within > 0)
        found: Floats = np.full(len(weights), np.nan)
        found[usable] = (between / within * (number - groups) / np.maximum(groups - 1, 1))[usable]
        return found


class DaviesBouldin(OfGroups):
    """See :func:`studio.models.clusters.criteria.davies_bouldin`."""

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.statistics.Statistic.at`."""
        if len(self._parts) < 2:
            return np.full(len(weights), np.nan)
        moved = self._moved(weights)
        with np.errstate(all="ignore"):
            widths = moved.distances / moved.counts  # [r, k]
            apart = np.sqrt(((moved.means[:, :, None] - moved.means[:, None]) ** 2).sum(axis=3))  # [r, k, k]
            ratios = (widths[:, :, None] + widths[:, None]) / apart
        own = np.eye(len(self._parts), dtype=bool)
        ratios = np.where(own | np.isnan(ratios), -np.inf, ratios)
        worst = ratios.max(axis=2)
        there = np.isfinite(worst)
        found: Floats = np.full(len(weights), np.nan)
        usable = there.sum(axis=1) > 1
        found[usable] = (np.where(there, worst, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1))[usable]
        return found
