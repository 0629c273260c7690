"""Precision and recall of made pictures: are they like real ones, and are real ones reached.

Legend: n made pictures, m reference pictures, d features, r resamples.

Source: Kynkäänniemi et al. 2019, k = 3; torch-fidelity `metric_prc.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.core.errors import UserError
from studio.evals.images.neighbours import distances_in_chunks, neighbourhood_radii
from studio.evals.metrics.base import OfTheWhole
from studio.evals.pieces import Floats

NEIGHBOURS = 3


def precise(features: NDArray[np.floating], reference: NDArray[np.floating], *, k: int = NEIGHBOURS) -> NDArray[np.bool_]:
    """Which made pictures lie within the k-neighbourhood of some reference picture: [n]; their share is the precision.

    Args:
        features: [n, d]; reference: [m, d].
    Raises:
        UserError: the reference has not more than k pictures.
    """
    _check(len(reference), k, "reference")
    radii = neighbourhood_radii(reference, k)
    inside = np.empty(len(features), dtype=bool)
    for where, distances in distances_in_chunks(features, reference):
        inside[where] = (distances <= radii).any(axis=1)
    return inside


@dataclass
class Recall(OfTheWhole):
    """Share of reference pictures that lie within the k-neighbourhood of some made picture, of any resample of the made ones.

    Resamples keep the neighbourhoods of the whole set: with repeats the k-th neighbour would soon be the picture itself.
    """

    features: NDArray[np.floating]
    reference: NDArray[np.floating]
    k: int = NEIGHBOURS

    def __post_init__(self) -> None:
        """Refuse too few pictures, measure the neighbourhoods."""
        _check(len(self.features), self.k, "made")
        self._radii = neighbourhood_radii(self.features, self.k)

    @property
    def size(self) -> int:
        """How many pictures there are."""
        return len(self.features)

    def at(self, weights: Floats) -> Floats:
        """[r, n] -> [r]."""
        drawn = (weights > 0).T.astype(np.float32)  # [n, r]
        reached = np.zeros(len(weights))
        for _, distances in distances_in_chunks(self.reference, self.features):
            inside = (distances <= self._radii).astype(np.float32)  # [rows, n]
            reached += (inside @ drawn > 0).sum(axis=0)
        shares: Floats = reached / len(self.reference)
        return shares


def _check(count: int, k: int, which: str) -> None:
    """Refuse a set that has no k-th neighbour."""
    if count <= k:
        raise UserError(f"precision and recall with {k} neighbours need more than {k} {which} pictures, {count} were given.")
