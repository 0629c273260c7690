"""Places that UMAP gave to training rows, and where further rows lie among them, without UMAP itself.

Legend: n rows, m training rows, p dimensions before and q after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from studio.core.extras import require

_PLACED_BY = 15


@dataclass(frozen=True)
class Unfolded:
    """Training rows before and after.

    before: float64 [m, p]. after: float64 [m, q]. neighbours, seed: what UMAP was told.
    """

    before: np.ndarray
    after: np.ndarray
    neighbours: int
    seed: int

    def place(self, rows: np.ndarray) -> np.ndarray:
        """Further rows, [n, p] -> [n, q]: the mean of their nearest training rows, the nearer the heavier.

        That is where UMAP itself begins to place further rows (McInnes et al. 2018, https://arxiv.org/abs/1802.03426); it would
        move them on a little. A training row lies where it lay.
        """
        from sklearn.neighbors import NearestNeighbors

        if not len(rows):
            return np.zeros((0, self.after.shape[1]))
        nearest = NearestNeighbors(n_neighbors=min(_PLACED_BY, len(self.before))).fit(self.before)
        apart, places = nearest.kneighbors(rows)
        same = apart == 0
        inverse = np.divide(1.0, apart, out=np.zeros_like(apart), where=~same)
        weights = np.where(same.any(axis=1, keepdims=True), same.astype(np.float64), inverse)
        weights /= weights.sum(axis=1, keepdims=True)
        found: np.ndarray = (weights[:, :, None] * self.after[places]).sum(axis=1)
        return found

    def anew(self, rows: np.ndarray) -> Unfolded:
        """Other rows, unfolded by themselves in the same way.

        Raises:
            MissingExtraError: UMAP is not installed.
        """
        return unfold(rows, self.after.shape[1], self.neighbours, self.seed)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that has to be saved."""
        return {"before": self.before, "after": self.after, "told": np.array([self.neighbours, self.seed])}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Unfolded:
        """From :meth:`arrays`.

        Raises:
            KeyError: one is missing.
        """
        neighbours, seed = arrays["told"].tolist()
        return cls(arrays["before"], arrays["after"], neighbours, seed)


def unfold(rows: np.ndarray, dimensions: int, neighbours: int, seed: int) -> Unfolded:
    """UMAP of rows, [m, p]; at most as many dimensions and neighbours as they allow; the same seed gives the same places.

    Raises:
        MissingExtraError: UMAP is not installed.
    """
    umap = require("umap", feature="reduce.type: umap", extra="umap")
    mapper = umap.UMAP(
        n_components=min(dimensions, max(1, len(rows) - 2)),
        n_neighbors=min(neighbours, len(rows) - 1),
        random_state=seed,
        n_jobs=1,
    )
    return Unfolded(rows, np.asarray(mapper.fit_transform(rows), dtype=np.float64), neighbours, seed)
