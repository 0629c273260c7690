"""How good groups are without labels, and rows without structure to hold them against.

Legend: n rows, d dimensions, k groups.
"""

from __future__ import annotations

import numpy as np

from studio.models.clusters.groups import NONE
from studio.models.clusters.space import directed


def silhouettes(matrix: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How much nearer each row is to its own group than to the next one, from -1 to 1; NaN for rows of no group; [n].

    0 for the only row of a group. All NaN where there are fewer than two groups, or as many groups as rows.
    Source: Rousseeuw 1987, https://doi.org/10.1016/0377-0427(87)90125-7.
    """
    from sklearn.metrics import silhouette_samples

    found = np.full(len(labels), np.nan)
    inside = labels != NONE
    if 2 <= len(np.unique(labels[inside])) < int(inside.sum()):
        found[inside] = silhouette_samples(matrix[inside], labels[inside])
    return found


def silhouette(matrix: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean of :func:`silhouettes` over rows in groups, None where there are fewer than two groups."""
    found = silhouettes(matrix, labels)
    return float(np.nanmean(found)) if np.isfinite(found).any() else None


def calinski_harabasz(matrix: np.ndarray, labels: np.ndarray) -> float | None:
    """Variance between groups over that within, each by its degrees of freedom; higher is better; None as above.

    Source: Caliński and Harabasz 1974, https://doi.org/10.1080/03610927408827101.
    """
    from sklearn.metrics import calinski_harabasz_score

    inside = labels != NONE
    if not 2 <= len(np.unique(labels[inside])) < int(inside.sum()):
        return None
    return float(calinski_harabasz_score(matrix[inside], labels[inside]))


def davies_bouldin(matrix: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean over groups of the worst ratio of width to distance; lower is better, 0 the best; None as above.

    Source: Davies and Bouldin 1979, https://doi.org/10.1109/TPAMI.1979.4766909.
    """
    from sklearn.metrics import davies_bouldin_score

    inside = labels != NONE
    if not 2 <= len(np.unique(labels[inside])) < int(inside.sum()):
        return None
    return float(davies_bouldin_score(matrix[inside], labels[inside]))


def dispersion(matrix: np.ndarray, labels: np.ndarray) -> float:
    """Sum of squared distances of rows to the mean of their group: W_k of the gap statistic."""
    return float(
        sum(((matrix[labels == group] - matrix[labels == group].mean(axis=0)) ** 2).sum() for group in np.unique(labels))
    )


def uniform_like(matrix: np.ndarray, distance: str, seed: int) -> np.ndarray:
    """Rows without any structure: uniform in the box of the rows along their principal axes; [n, d].

    Source: Tibshirani, Walther and Hastie 2001, https://doi.org/10.1111/1467-9868.00293, reference distribution (b).
    """
    middle = matrix.mean(axis=0)
    axes = np.linalg.svd(matrix - middle, full_matrices=False)[2]
    turned = (matrix - middle) @ axes.T
    drawn = np.random.default_rng(seed).uniform(turned.min(axis=0), turned.max(axis=0), turned.shape)
    return directed(drawn @ axes + middle, distance)
