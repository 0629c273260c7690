"""Fréchet distance between two clouds of features (FID when the features are the reference Inception's).

Legend: n pictures, d features, r resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.core.errors import UserError
from studio.evals.metrics.base import OfTheWhole
from studio.evals.pieces import Floats


@dataclass(frozen=True)
class Moments:
    """Mean [d] and unbiased covariance [d, d] of features, in double precision."""

    mean: Floats
    covariance: Floats


def moments(features: NDArray[np.floating]) -> Moments:
    """Moments of features [n, d].

    Raises:
        UserError: fewer than 2 pictures.
    """
    if len(features) < 2:
        raise UserError(f"a Fréchet distance needs at least 2 pictures on each side, {len(features)} were given.")
    values = np.asarray(features, dtype=np.float64)
    return Moments(values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False)))


def frechet_distance(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)).

    The trace of the root is taken from the symmetric R S1 R with R = S2^(1/2), whose eigenvalues are those of S1 S2 but real.
    Source: Heusel et al. 2017; equal to torch-fidelity `metric_fid.py` up to rounding.
    """
    root = _root(second.covariance)
    shift = first.mean - second.mean
    cross = _root_trace(root @ first.covariance @ root)
    return float(shift @ shift + np.trace(first.covariance) + np.trace(second.covariance) - 2 * cross)


@dataclass
class FrechetDistance(OfTheWhole):
    """The distance of any resample of n pictures to a fixed reference.

    With fewer pictures than features the eigenvalues come from the [n, n] Gram matrix, which holds the same non-zero ones.
    """

    features: Floats
    reference: Moments

    def __init__(self, features: NDArray[np.floating], reference: Moments) -> None:
        # Moved to the reference's mean: small numbers keep their digits, and distances do not change.
        self.features = np.asarray(features, dtype=np.float64) - reference.mean
        self.reference = reference
        self._trace = float(np.trace(reference.covariance))
        count, width = self.features.shape
        self._root = _root(reference.covariance)
        half = self.features @ self._root  # [n, d]
        self._gram = half @ half.T if count <= width else None  # [n, n]

    @property
    def size(self) -> int:
        """How many pictures there are."""
        return len(self.features)

    def at(self, weights: Floats) -> Floats:
        """[r, n] -> [r]; nan where fewer than 2 pictures were drawn."""
        return np.array([self._one(row) for row in weights], dtype=np.float64)

    def _one(self, weights: Floats) -> float:
        """The distance of one resample, whose row of weights is [n]."""
        total = float(weights.sum())
        if total < 2:
            return float("nan")
        drawn = weights > 0
        weights, values = weights[drawn], self.features[drawn]
        mean = weights @ values / total
        spread = (float(weights @ np.square(values).sum(axis=1)) - total * float(mean @ mean)) / (total - 1)
        if self._gram is None:
            centred = (values - mean) * np.sqrt(weights / (total - 1))[:, None]
            half = centred @ self._root
            product = half.T @ half  # [d, d]
        else:
            gram = self._gram[np.ix_(drawn, drawn)]
            to_mean = gram @ weights / total  # products with the mean, [n]
            centred = gram - to_mean[:, None] - to_mean[None, :] + float(weights @ to_mean) / total
            scale = np.sqrt(weights / (total - 1))
            product = centred * scale[:, None] * scale[None, :]  # [n, n]
        return float(mean @ mean) + spread + self._trace - 2 * _root_trace(product)


def _root(matrix: Floats) -> Floats:
    """Symmetric root of a covariance [d, d]; eigenvalues that rounding pushed below 0 count as 0."""
    values, vectors = np.linalg.eigh(matrix)
    root: Floats = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def _root_trace(matrix: Floats) -> float:
    """Trace of the root of a symmetric positive matrix."""
    return float(np.sqrt(np.clip(np.linalg.eigvalsh(matrix), 0, None)).sum())
