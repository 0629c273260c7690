"""A statistic that is a function of sums, taken apart: the value and the standard error of any draw of its examples.

Legend: n examples (or clusters of them), u different rows among them, k sums, r draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """95% bounds and how they were made; no bounds, and why."""

    bounds: tuple[float, float] | None
    how: str


# Numbers held at once while examples are left out one by one.
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Pieces:
    """Examples as rows of sums. Examples with the same row are counted, not repeated: a confusion table has few kinds of them.

    rows: [u, k]. kinds: the row of each example, [n]. combine: sums [r, k] -> [r]; nan where they define no value. grouped: an
    example is a cluster of several.
    """

    rows: Floats
    kinds: NDArray[np.int64]
    combine: Callable[[Floats], Floats]
    grouped: bool = False

    @staticmethod
    def of(sums: Floats, combine: Callable[[Floats], Floats]) -> Pieces:
        """Pieces of one row of sums per example, [n, k]."""
        rows, kinds = np.unique(sums, axis=0, return_inverse=True)
        return Pieces(rows, kinds.reshape(-1).astype(np.int64), combine)

    @property
    def count(self) -> int:
        """How many examples there are."""
        return len(self.kinds)

    @property
    def counts(self) -> Floats:
        """How many examples are of each kind, [1, u]."""
        return np.bincount(self.kinds, minlength=len(self.rows)).astype(np.float64)[None, :]

    @property
    def sums(self) -> Floats:
        """One row per example, [n, k]."""
        return self.rows[self.kinds]

    def values(self, counts: Floats) -> Floats:
        """Value of each draw: [r, u] -> [r]."""
        with np.errstate(all="ignore"):
            return self.combine(counts @ self.rows)

    def errors(self, counts: Floats) -> Floats:
        """Jackknife standard error of each draw: [r, u] -> [r]; nan where a value without one of its examples is undefined.

        Source: Efron and Stein 1981, https://doi.org/10.1214/aos/1176345462.
        """
        size = max(1, _AT_ONCE // max(1, self.rows.size))
        parts = [self._errors(counts[start : start + size]) for start in range(0, len(counts), size)]
        return np.concatenate(parts) if parts else np.empty(0)

    def bias(self) -> float:
        """By how much the value is too high on average, as the jackknife has it; 0 for a mean.

        Source: Quenouille 1956, https://doi.org/10.1093/biomet/43.3-4.353.
        """
        _, mean = self._without_each(self.counts)
        return float((self.count - 1) * (mean[0] - self.values(self.counts)[0]))

    def _errors(self, counts: Floats) -> Floats:
        """See :meth:`errors`; all at once."""
        values, mean = self._without_each(counts)
        with np.errstate(all="ignore"):
            number = counts.sum(axis=1)
            spread: Floats = (counts * (values - mean[:, None]) ** 2).sum(axis=1)
            errors: Floats = np.sqrt(spread * (number - 1) / number)
        # What is left of rounding is no spread.
        return np.where(errors <= 1e-9 * np.maximum(np.abs(mean), 1e-3), 0.0, errors)

    def _without_each(self, counts: Floats) -> tuple[Floats, Floats]:
        """Values of each draw without one example of each kind, [r, u], and their means over its examples, [r]."""
        kinds, width = self.rows.shape
        without = (counts @ self.rows)[:, None, :] - self.rows[None, :, :]
        with np.errstate(all="ignore"):
            values = self.combine(without.reshape(-1, width)).reshape(len(counts), kinds)
            values = np.where(counts > 0, values, 0.0)
            mean: Floats = (counts * values).sum(axis=1) / counts.sum(axis=1)
        return values, mean

    def on(self, transform: Callable[[Floats], Floats]) -> Pieces:
        """The same with its value on another scale."""
        return replace(self, combine=lambda sums: transform(self.combine(sums)))

    def clustered(self, owners: NDArray[np.int64]) -> Pieces:
        """Examples that belong together as one, their sums added up; the same where each stands for itself.

        owners: number of the cluster of each example, [n].
        """
        number = int(owners.max(initial=-1)) + 1
        if number == self.count:
            return self
        sums = np.zeros((number, self.rows.shape[1]))
        np.add.at(sums, owners, self.sums)
        return replace(Pieces.of(sums, self.combine), grouped=True)

    def beside(self, other: Pieces) -> Pieces:
        """First minus second over the same examples."""
        width, first, second = self.rows.shape[1], self.combine, other.combine
        both = np.stack([self.kinds, other.kinds], axis=1)
        pairs, kinds = np.unique(both, axis=0, return_inverse=True)
        rows = np.concatenate([self.rows[pairs[:, 0]], other.rows[pairs[:, 1]]], axis=1)
        places = kinds.reshape(-1).astype(np.int64)
        return Pieces(rows, places, lambda sums: first(sums[:, :width]) - second(sums[:, width:]), self.grouped)
