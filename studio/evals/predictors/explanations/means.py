"""A mean over rows with its interval, where rows may belong together."""

from __future__ import annotations

import math

import numpy as np

from studio.evals.intervals import FEWEST
from studio.evals.statistics import LEVEL


def mean_interval(values: np.ndarray, owners: np.ndarray) -> tuple[float | None, float | None]:
    """95% t-interval of the mean of values [n]; None where there are too few.

    Args:
        owners: number of what each row belongs to, [n] (:func:`studio.evals.statistics.owners_of`). The mean over clusters of
            unlike size is a ratio of sums, whose error is that of its linear part.
    """
    from scipy.stats import t

    count = int(owners.max(initial=-1)) + 1
    if count < FEWEST:
        return None, None
    sums, sizes = np.bincount(owners, values), np.bincount(owners)
    middle = float(values.mean())
    error = math.sqrt(float(((sums - middle * sizes) ** 2).sum()) * count / (count - 1)) / float(sizes.sum())
    reach = float(t.ppf((1 + LEVEL) / 2, count - 1)) * error
    return middle - reach, middle + reach
