"""Does the model make all kinds of pictures, or a few of them again and again?

Legend: n made pictures, c labels, d features, r resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.evals.images.neighbours import mean_distance
from studio.evals.metrics.base import OfTheWhole
from studio.evals.pieces import Floats


@dataclass(frozen=True)
class LabelCoverage(OfTheWhole):
    """Share of the reference's labels that some made picture shows, as the classifier names it.

    labels: label of each made picture, as the classifier sees it, [n]. wanted: labels that the reference has.
    """

    labels: NDArray[np.intp]
    wanted: NDArray[np.intp]

    @property
    def size(self) -> int:
        """How many pictures there are."""
        return len(self.labels)

    def at(self, weights: Floats) -> Floats:
        """[r, n] -> [r]."""
        seen = [(weights[:, self.labels == label] > 0).any(axis=1) for label in self.wanted]
        shares: Floats = np.mean(seen, axis=0)
        return shares


def relative_spread(made: NDArray[np.floating], reference: NDArray[np.floating]) -> Floats:
    """Mean distance of each made picture to the other made ones, over the mean distance between reference pictures: [n].

    1 means as varied as the reference; near 0 the model makes one picture over and over (mode collapse).
    """
    return _to_others(made) / max(float(_to_others(reference).mean()), np.finfo(np.float64).tiny)


def _to_others(rows: NDArray[np.floating]) -> Floats:
    """Mean distance of each row to the other rows."""
    return mean_distance(rows, rows) * len(rows) / max(1, len(rows) - 1)
