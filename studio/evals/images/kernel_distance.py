"""Kernel distance between two clouds of features (KID when the features are the reference Inception's).

Legend: n pictures, m reference pictures, d features, r resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.core.errors import UserError
from studio.evals.metrics.base import OfTheWhole
from studio.evals.pieces import Floats

SUBSETS = 100
SUBSET_SIZE = 1000
SEED = 2020
# Rows of a kernel matrix held at once: 512 x 10,000 doubles are 40 MB.
_ROWS = 512


def kernel_distance(
    features: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = SEED,
) -> tuple[float, float]:
    """Mean and population standard deviation of the unbiased squared MMD over random subsets; may be a little below 0.

    Args:
        features: [n, d]; reference: [m, d].
    Raises:
        UserError: a subset is larger than one of the sides; a smaller one would silently be another score.
    Source: Bińkowski et al. 2018, kernel (x.y / d + 1)^3; torch-fidelity `metric_kid.py`.
    """
    count, others = len(features), len(reference)
    if subset_size > min(count, others):
        raise UserError(
            f"KID subsets of {subset_size} pictures cannot be drawn from {count} made and {others} reference pictures. "
            f"Take more pictures, or set kid_subset_size to at most {min(count, others)} (another size is another score)."
        )
    generator = np.random.RandomState(seed)
    values = np.empty(subsets)
    for index in range(subsets):
        x = np.asarray(features[generator.choice(count, subset_size, replace=False)], dtype=np.float64)
        y = np.asarray(reference[generator.choice(others, subset_size, replace=False)], dtype=np.float64)
        values[index] = _within(x) + _within(y) - 2 * float(_kernel(x, y).mean())
    return float(values.mean()), float(values.std())


@dataclass
class KernelDistance(OfTheWhole):
    """The distance of any resample to a fixed reference: the unbiased estimate from all pictures at once.

    ``at`` is moved so that the plain set gives ``value``, the mean over subsets that is reported; the two estimate the same.
    """

    features: Floats
    reference: Floats
    value: float

    def __init__(self, features: NDArray[np.floating], reference: NDArray[np.floating], value: float) -> None:
        self.features = np.asarray(features, dtype=np.float64)
        self.reference = np.asarray(reference, dtype=np.float64)
        self.value = value
        self._to_reference = np.concatenate(
            [_kernel(rows, self.reference).mean(axis=1) for rows in _chunks(self.features)]
        )  # [n]
        self._offset = value - float(self._estimates(np.ones((1, len(self.features))))[0])

    @property
    def size(self) -> int:
        """How many pictures there are."""
        return len(self.features)

    def at(self, weights: Floats) -> Floats:
        """[r, n] -> [r]."""
        return self._estimates(weights) + self._offset

    def _estimates(self, weights: Floats) -> Floats:
        """Squared MMD less the part of the reference alone, which is the same for all: [r, n] -> [r]."""
        total = weights.sum(axis=1)
        pairs, own, start = np.zeros(len(weights)), np.zeros(len(weights)), 0
        for rows in _chunks(self.features):
            part = weights[:, start : start + len(rows)]  # [r, rows]
            kernel = _kernel(rows, self.features)  # [rows, n]
            pairs += ((part @ kernel) * weights).sum(axis=1)
            own += part @ np.diagonal(kernel[:, start : start + len(rows)])
            start += len(rows)
        result: Floats = (pairs - own) / (total * (total - 1)) - 2 * (weights @ self._to_reference) / total
        return result


def _kernel(x: Floats, y: Floats) -> Floats:
    """(x.y / d + 1)^3 for all pairs: [a, d], [b, d] -> [a, b]."""
    values: Floats = (x @ y.T / x.shape[1] + 1.0) ** 3
    return values


def _within(x: Floats) -> float:
    """Mean kernel over pairs of different rows."""
    kernel, count = _kernel(x, x), len(x)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _chunks(values: Floats) -> list[Floats]:
    """Runs of rows small enough that their kernels fit into memory."""
    return [values[start : start + _ROWS] for start in range(0, len(values), _ROWS)]
