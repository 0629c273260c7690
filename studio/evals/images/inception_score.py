"""Inception Score: exp(mean KL(p(y|x) || p(y))), the way torch-fidelity computes it.

Legend: n pictures, c classes, s splits, r resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.core.errors import UserError
from studio.evals.metrics.base import OfTheWhole
from studio.evals.pieces import Floats

SPLITS = 10
SHUFFLE_SEED = 2020


def inception_score(logits: NDArray[np.floating], *, splits: int = SPLITS, seed: int = SHUFFLE_SEED) -> tuple[float, float]:
    """Mean and population standard deviation over the splits.

    Args:
        logits: [n, c]; the reference takes them without the bias.
    Raises:
        UserError: there are fewer pictures than splits.
    Source: Salimans et al. 2016; torch-fidelity `metric_isc.py` (RandomState shuffle, split i = rows i*n//s to (i+1)*n//s).
    """
    statistic = InceptionScore(logits, splits=splits, seed=seed)
    scores = statistic.by_split(np.ones((1, len(logits))))[0]
    return float(scores.mean()), float(scores.std())


@dataclass
class InceptionScore(OfTheWhole):
    """The score of any resample. A row stays in the split it fell into; drawing it twice counts it twice there.

    Within a split exp(mean KL) = exp(H(q) - mean H(p)) with q the mean prediction, so a resample is one matrix product.
    """

    probabilities: Floats
    splits: list[NDArray[np.intp]]

    def __init__(self, logits: NDArray[np.floating], *, splits: int = SPLITS, seed: int = SHUFFLE_SEED) -> None:
        count = len(logits)
        if count < splits:
            raise UserError(
                f"the Inception Score in {splits} splits needs at least {splits} pictures, {count} were made. "
                "Make more with --set samples, or ask for fewer splits."
            )
        values = np.asarray(logits, dtype=np.float64)
        values = values - values.max(axis=1, keepdims=True)
        self.probabilities = np.exp(values)
        self.probabilities /= self.probabilities.sum(axis=1, keepdims=True)
        order = np.random.RandomState(seed).permutation(count)
        self.splits = [order[index * count // splits : (index + 1) * count // splits] for index in range(splits)]

    @property
    def size(self) -> int:
        """How many pictures there are."""
        return len(self.probabilities)

    def by_split(self, weights: Floats) -> Floats:
        """Scores of each split: [r, n] -> [r, s]; nan where nothing of a split was drawn."""
        negative_entropy = _plogp(self.probabilities).sum(axis=1)  # [n]
        columns = []
        for rows in self.splits:
            part = weights[:, rows]  # [r, n/s]
            total = part.sum(axis=1)
            total = np.where(total > 0, total, np.nan)
            mean = part @ self.probabilities[rows] / total[:, None]  # [r, c]
            divergence = part @ negative_entropy[rows] / total - _plogp(mean).sum(axis=1)
            columns.append(np.exp(divergence))
        return np.stack(columns, axis=1)

    def at(self, weights: Floats) -> Floats:
        """Mean over the splits that have pictures: [r, n] -> [r]."""
        values: Floats = np.nanmean(self.by_split(weights), axis=1)
        return values


def _plogp(values: Floats) -> Floats:
    """Terms p log p with 0 log 0 = 0."""
    result: Floats = np.zeros_like(values)
    np.multiply(values, np.log(values, out=np.zeros_like(values), where=values > 0), out=result)
    return result
