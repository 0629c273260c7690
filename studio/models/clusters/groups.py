"""Groups that were found, as arrays, and where further rows belong.

Legend: n rows, d dimensions of the space, k groups, m training rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

NONE = 0
"""Number of the group of rows that belong to none; groups are numbered from 1, the largest first."""


@dataclass(frozen=True)
class Placement:
    """Where n rows belong.

    groups: int64 [n], 1 to k, or ``NONE``. distances: float64 [n], see the class that placed them; NaN without a direction.
    probabilities: float64 [n, k] of each group, None where the method gives none.
    """

    groups: np.ndarray
    distances: np.ndarray
    probabilities: np.ndarray | None = None


class Groups(ABC):
    """Groups of one method."""

    form: ClassVar[str]
    """Name in :data:`FORMS`."""
    distance_is: ClassVar[str]
    """What the distance of a placement is, in words."""

    @property
    @abstractmethod
    def k(self) -> int:
        """How many groups there are; 0 where none was found."""

    @abstractmethod
    def place(self, matrix: np.ndarray) -> Placement:
        """Where rows of the space belong; matrix: float64 [n, d]."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """All that has to be saved."""

    @classmethod
    @abstractmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Groups:
        """From :meth:`arrays`.

        Raises:
            KeyError: one is missing.
        """

    @abstractmethod
    def centres(self) -> np.ndarray:
        """The middle of each group, float64 [k, d]."""


class Centres(Groups):
    """Each row belongs to the nearest centre: k-means exactly, agglomerative groups by their means."""

    form = "centres"
    distance_is = "to the centre of the group"

    def __init__(self, centres: np.ndarray) -> None:
        """``centres``: float64 [k, d]."""
        self._centres = centres

    @property
    def k(self) -> int:
        """See :attr:`Groups.k`."""
        return len(self._centres)

    def place(self, matrix: np.ndarray) -> Placement:
        """Nearest centre, of equally near ones the first."""
        from scipy.spatial.distance import cdist

        apart = cdist(matrix, self._centres)
        nearest = apart.argmin(axis=1)
        return Placement(nearest.astype(np.int64) + 1, apart[np.arange(len(matrix)), nearest])

    def arrays(self) -> dict[str, np.ndarray]:
        """See :meth:`Groups.arrays`."""
        return {"centres": self._centres}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Centres:
        """See :meth:`Groups.of_arrays`."""
        return cls(arrays["centres"])

    def centres(self) -> np.ndarray:
        """See :meth:`Groups.centres`."""
        return self._centres


class Mixture(Groups):
    """Each row belongs to the Gaussian that most likely made it."""

    form = "mixture"
    distance_is = "to the middle of the group in its own standard deviations (Mahalanobis)"

    def __init__(self, weights: np.ndarray, means: np.ndarray, roots: np.ndarray) -> None:
        """``weights`` [k], ``means`` [k, d]; ``roots`` [k, d, d]: lower-triangular inverse root of each covariance, transposed,
        so that ``(x - mean) @ root`` has variance 1.
        """
        self._weights, self._means, self._roots = weights, means, roots

    @property
    def k(self) -> int:
        """See :attr:`Groups.k`."""
        return len(self._weights)

    def place(self, matrix: np.ndarray) -> Placement:
        """Posterior probabilities; source: Bishop 2006, eq. 9.13."""
        from scipy.special import logsumexp

        whitened = np.stack([(matrix - mean) @ root for mean, root in zip(self._means, self._roots, strict=True)])  # [k, n, d]
        squared = (whitened**2).sum(axis=2).T  # [n, k]
        volumes = np.log(np.diagonal(self._roots, axis1=1, axis2=2)).sum(axis=1)  # [k]
        logs = np.log(self._weights) + volumes - 0.5 * (matrix.shape[1] * np.log(2 * np.pi) + squared)
        probabilities = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
        likeliest = logs.argmax(axis=1)
        distances = np.sqrt(squared[np.arange(len(matrix)), likeliest])
        return Placement(likeliest.astype(np.int64) + 1, distances, probabilities)

    def arrays(self) -> dict[str, np.ndarray]:
        """See :meth:`Groups.arrays`."""
        return {"weights": self._weights, "means": self._means, "roots": self._roots}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Mixture:
        """See :meth:`Groups.of_arrays`."""
        return cls(arrays["weights"], arrays["means"], arrays["roots"])

    def centres(self) -> np.ndarray:
        """See :meth:`Groups.centres`."""
        return self._means


class Dense(Groups):
    """Each row belongs to the group of a training row near it, unless that is further off than the group's rows hang together.

    How far two rows are apart is their mutual reachability: their distance, but at least the core distance of each, which is how
    far off its ``neighbours``-th neighbour lies. A group's reach is the distance at which its training rows became one piece.
    This is an approximation: HDBSCAN itself would build the hierarchy anew with the row in it.
    Source: Campello, Moulavi and Sander 2013, https://doi.org/10.1007/978-3-642-37456-2_14.
    """

    form = "dense"
    distance_is = "to the nearest training row in a group"

    def __init__(
        self, points: np.ndarray, owners: np.ndarray, cores: np.ndarray, reaches: np.ndarray, neighbours: np.ndarray
    ) -> None:
        """``points`` [m, d], all training rows, with their group (``NONE`` for some) ``owners`` [m] and core distances ``cores``
        [m]; ``reaches`` [k]; ``neighbours`` [1].
        """
        self._points, self._owners, self._cores, self._reaches, self._neighbours = points, owners, cores, reaches, neighbours

    @property
    def k(self) -> int:
        """See :attr:`Groups.k`."""
        return len(self._reaches)

    def place(self, matrix: np.ndarray) -> Placement:
        """See the class; looked at are twice as many neighbours as the core distance counts."""
        from sklearn.neighbors import NearestNeighbors

        if not self.k or not len(matrix):
            return Placement(np.full(len(matrix), NONE, dtype=np.int64), np.full(len(matrix), np.nan))
        wanted = int(self._neighbours[0])
        near = NearestNeighbors(n_neighbors=min(2 * wanted, len(self._points))).fit(self._points)
        apart, places = near.kneighbors(matrix)  # [n, 2 neighbours]
        owners = self._owners[places]
        mutual = np.maximum(np.maximum(apart, self._cores[places]), apart[:, wanted - 1 : wanted])
        # Of equally far rows the nearest comes first; argmin takes it.
        mutual[owners == NONE] = np.inf
        best = mutual.argmin(axis=1)
        rows = np.arange(len(matrix))
        given = owners[rows, best]
        within = mutual[rows, best] <= np.append(np.inf, self._reaches)[given] * (1 + 1e-9)
        distances = np.where(owners != NONE, apart, np.inf).min(axis=1)
        return Placement(np.where((given != NONE) & within, given, NONE), np.where(np.isfinite(distances), distances, np.nan))

    def arrays(self) -> dict[str, np.ndarray]:
        """See :meth:`Groups.arrays`."""
        return {
            "points": self._points,
            "owners": self._owners,
            "cores": self._cores,
            "reaches": self._reaches,
            "neighbours": self._neighbours,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Dense:
        """See :meth:`Groups.of_arrays`."""
        return cls(arrays["points"], arrays["owners"], arrays["cores"], arrays["reaches"], arrays["neighbours"])

    def centres(self) -> np.ndarray:
        """Means of the rows in each group."""
        return np.array([self._points[self._owners == group].mean(axis=0) for group in range(1, self.k + 1)])


FORMS: dict[str, type[Groups]] = {kind.form: kind for kind in (Centres, Mixture, Dense)}
"""Form of saved groups to their class."""
