"""Finding groups in a matrix: k-means, Gaussian mixture, agglomerative, HDBSCAN; the same seed gives the same bits.

Legend: n rows, d dimensions, k groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from studio.models.clusters.groups import NONE, Centres, Dense, Groups, Mixture
from studio.schema.clusters import Agglomerative, ClusterEstimator, Gaussian, Hdbscan, KMeans


@dataclass(frozen=True)
class Found:
    """Groups that were found.

    labels: int64 [n], the group of each row, 1 to k, the largest first, or ``NONE``. bic: Bayesian information criterion, lower
    is better, None where there are no likelihoods.
    """

    groups: Groups
    labels: np.ndarray
    bic: float | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread: several add numbers up in an order that differs from time to time, and so do the last bits."""
    # Only libraries that are loaded already can be held to one.
    import scipy.linalg  # noqa: F401
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        yield


def find_groups(
    matrix: np.ndarray, estimator: ClusterEstimator, k: int | None, seed: int, *, restarts: int | None = None
) -> Found:
    """Groups of rows.

    Args:
        matrix: float64 [n, d]. k: how many; None for methods that find it themselves. restarts: instead of the estimator's.
    """
    [found] = find_each(matrix, estimator, [k], seed, restarts=restarts)
    return found


def find_each(
    matrix: np.ndarray, estimator: ClusterEstimator, counts: Sequence[int | None], seed: int, *, restarts: int | None = None
) -> Iterator[Found]:
    """Groups for several numbers of them, in order; what they have in common is computed once. Arguments: :func:`find_groups`."""
    with one_thread(), warnings.catch_warnings():
        # Starts that do not settle are told by their figures; fewer different rows than groups are refused beforehand.
        warnings.simplefilter("ignore")
        match estimator:
            case KMeans():
                found = [_kmeans(matrix, estimator, k or 1, seed, restarts) for k in counts]
            case Gaussian():
                found = [_gaussian(matrix, estimator, k or 1, seed, restarts) for k in counts]
            case Agglomerative():
                tree = _tree(matrix, estimator)
                found = [_cut(matrix, tree, k or 1) for k in counts]
            case Hdbscan():
                found = [_hdbscan(matrix, estimator)]
    yield from found


def numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels numbered 1 to k by size, the largest first, of equal sizes the one whose first row comes first.

    Args:
        labels: int [n], any numbers; negative ones mean no group.
    Returns:
        labels [n], and the old number of each new one [k].
    """
    old, first, sizes = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    places = np.full(int(old.max(initial=-1)) + 1, NONE, dtype=np.int64)
    places[old[order]] = np.arange(1, len(old) + 1)
    return np.where(labels >= 0, places[labels] if len(places) else NONE, NONE), old[order]


def _kmeans(matrix: np.ndarray, estimator: KMeans, k: int, seed: int, restarts: int | None) -> Found:
    """k-means of scikit-learn (Lloyd, k-means++)."""
    from sklearn.cluster import KMeans as Fitted

    fitted = Fitted(k, n_init=restarts or estimator.restarts, max_iter=estimator.max_iter, random_state=seed).fit(matrix)
    labels, order = numbered(fitted.labels_)
    return Found(Centres(np.ascontiguousarray(fitted.cluster_centers_[order])), labels)


def _gaussian(matrix: np.ndarray, estimator: Gaussian, k: int, seed: int, restarts: int | None) -> Found:
    """Mixture of scikit-learn (EM, begun from k-means)."""
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(
        k,
        covariance_type=estimator.covariance,
        n_init=restarts or estimator.restarts,
        max_iter=estimator.max_iter,
        reg_covar=estimator.floor,
        random_state=seed,
    ).fit(matrix)
    said = fitted.predict(matrix)
    _, used = numbered(said)
    # A Gaussian that is no row's likeliest still takes its share of the probabilities.
    order = np.array([*used, *(place for place in range(k) if place not in used)])
    mixture = Mixture(fitted.weights_[order], fitted.means_[order], _roots(fitted, matrix.shape[1])[order])
    return Found(mixture, mixture.place(matrix).groups, float(fitted.bic(matrix)))


def _roots(fitted: object, dimensions: int) -> np.ndarray:
    """Inverse roots of the covariances as matrices, whatever their shape; [k, d, d]."""
    roots, k = fitted.precisions_cholesky_, fitted.n_components  # type: ignore[attr-defined]
    match fitted.covariance_type:  # type: ignore[attr-defined]
        case "full":
            return np.ascontiguousarray(roots)
        case "tied":
            return np.repeat(roots[None], k, axis=0)
        case "diag":
            return np.stack([np.diag(root) for root in roots])
    return np.stack([np.eye(dimensions) * root for root in roots])


def _tree(matrix: np.ndarray, estimator: Agglomerative) -> np.ndarray:
    """The joins in their order, float64 [n - 1, 4], as ``scipy.cluster.hierarchy.linkage`` has them."""
    from scipy.cluster.hierarchy import linkage

    return np.asarray(linkage(matrix, method=estimator.linkage))


def _cut(matrix: np.ndarray, tree: np.ndarray, k: int) -> Found:
    """The groups that are there when k are left, and their means, by which further rows are placed."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(matrix)
    joined = np.arange(count - k)
    parents = np.repeat(count + joined, 2)
    children = tree[: count - k, :2].astype(np.int64).reshape(-1)
    edges = coo_array((np.ones(len(parents)), (parents, children)), shape=(2 * count - 1, 2 * count - 1))
    labels, _ = numbered(connected_components(edges, directed=False)[1][:count].astype(np.int64))
    return Found(Centres(np.array([matrix[labels == group].mean(axis=0) for group in range(1, k + 1)])), labels)


def _hdbscan(matrix: np.ndarray, estimator: Hdbscan) -> Found:
    """HDBSCAN of scikit-learn, and the core distances of the rows in its groups."""
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import NearestNeighbors

    smallest = min(estimator.min_cluster_size, len(matrix))
    neighbours = min(estimator.min_samples or smallest, len(matrix))
    fitted = HDBSCAN(
        min_cluster_size=smallest, min_samples=neighbours, cluster_selection_method=estimator.selection, copy=True
    ).fit(matrix)
    labels, _ = numbered(fitted.labels_)
    # A row is its own first neighbour, as HDBSCAN counts too.
    cores = NearestNeighbors(n_neighbors=neighbours).fit(matrix).kneighbors(matrix)[0][:, -1]
    return Found(Dense(matrix, labels, cores, _reaches(fitted, labels), np.array([neighbours])), labels)


def _reaches(fitted: object, labels: np.ndarray) -> np.ndarray:
    """The distance at which the rows of each group became one piece, [k]: where that of one of them is as large as the group."""
    tree = fitted._single_linkage_tree_  # type: ignore[attr-defined]
    count = len(labels)
    above = np.full(2 * count - 1, -1, dtype=np.int64)
    for side in ("left_node", "right_node"):
        above[tree[side]] = count + np.arange(count - 1)
    reaches = []
    for group in range(1, int(labels.max(initial=NONE)) + 1):
        size, node = int((labels == group).sum()), int(np.flatnonzero(labels == group)[0])
        while node < count or tree["cluster_size"][node - count] < size:
            node = int(above[node])
        reaches.append(float(tree["value"][node - count]))
    return np.array(reaches, dtype=np.float64)
