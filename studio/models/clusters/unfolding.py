"""Places that UMAP gave to training rows, and where further rows lie among them, without UMAP itself.

Legend: n rows, m training rows, p dimensions before and q after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 15


@dataclass(frozen=True)
class Unfolded:
    """Training rows before and after.

    before: float64 [m, p]. after: float64 [m, q].
    """

    before: np.ndarray
    after: np.ndarray

    def place(self, rows: np.ndarray) -> np.ndarray:
        """Further rows, [n, p] -> [n, q]: the mean of their nearest training rows, the nearer the heavier.

        That is where UMAP itself begins to place further rows (McInnes et al. 2018, https://arxiv.org/abs/1802.03426); it would
        move them on a little. A training row lies where it lay.
        """
        from sklearn.neighbors import NearestNeighbors

        if not len(rows):
            return np.zeros((0, self.after.shape[1]))
        nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(self.before))).fit(self.before)
        apart, places = nearest.kneighbors(rows)
        same = apart == 0
        inverse = np.divide(1.0, apart, out=np.zeros_like(apart), where=~same)
        weights = np.where(same.any(axis=1, keepdims=True), same.astype(np.float64), inverse)
        weights /= weights.sum(axis=1, keepdims=True)
        found: np.ndarray = (weights[:, :, None] * self.after[places]).sum(axis=1)
        return found
