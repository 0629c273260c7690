"""Rows in two dimensions, as inline SVG: each a dot in the colour of its group.

Legend: n rows, d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from studio.core.extras import require
from studio.evals.numbers import figure, number
from studio.models.clusters.fitting import one_thread
from studio.models.clusters.groups import NONE

# Seen on white and on black alike; from the eleventh group on they come again, and the numbers tell groups apart.
COLOURS = ("#3f7fc4", "#d9772b", "#3f9c5a", "#c4493f", "#8c6bb8", "#97705f", "#cf6aa8", "#7f8894", "#a59c2c", "#2fa3b3")
_WIDTH, _HEIGHT, _EDGE = 520, 380, 12
_NEIGHBOURS = 10
NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


@dataclass(frozen=True)
class Flat:
    """Rows in two dimensions.

    points: float64 [n, 2]. explained: share of the variance along each, of PCA only. trustworthiness: how far the nearest rows
    of the picture are nearest rows in truth, at most 1; None from too few rows. neighbours: that it looks at.
    """

    method: str
    points: np.ndarray
    explained: tuple[float, float] | None
    trustworthiness: float | None
    neighbours: int


def flatten(matrix: np.ndarray, method: str, seed: int) -> Flat | None:
    """Rows in two dimensions; None where there is a single one, or fewer than three rows.

    Raises:
        MissingExtraError: UMAP is not installed.
    """
    count, dimensions = matrix.shape
    if dimensions < 2 or count < 3:
        return None
    explained = None
    with one_thread():
        if method == "pca":
            points, explained = _pca(matrix)
        elif method == "tsne":
            points = _tsne(matrix, seed)
        else:
            points = _umap(matrix, seed)
        neighbours = min(_NEIGHBOURS, (count - 1) // 2)
        trusted = _trustworthiness(matrix, points, neighbours)
    return Flat(method, points, explained, trusted, neighbours)


def _pca(matrix: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """The two directions of most variance, and their shares of it."""
    from sklearn.decomposition import PCA

    fitted = PCA(2, svd_solver="full").fit(matrix)
    first, second = fitted.explained_variance_ratio_.tolist()
    return np.asarray(fitted.transform(matrix), dtype=np.float64), (first, second)


def _tsne(matrix: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE, begun from PCA (van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html)."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(matrix) - 1) / 3)
    return np.asarray(TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(matrix), dtype=np.float64)


def _umap(matrix: np.ndarray, seed: int) -> np.ndarray:
    """UMAP (McInnes et al. 2018, https://arxiv.org/abs/1802.03426)."""
    umap = require("umap", feature="picture: umap", extra="umap")
    mapper = umap.UMAP(n_components=2, n_neighbors=min(15, len(matrix) - 1), random_state=seed, n_jobs=1)
    return np.asarray(mapper.fit_transform(matrix), dtype=np.float64)


def _trustworthiness(matrix: np.ndarray, points: np.ndarray, neighbours: int) -> float | None:
    """Source: Venna and Kaski 2001, https://doi.org/10.1007/3-540-44668-0_68."""
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(matrix, points, n_neighbors=neighbours)) if neighbours else None


def told_picture(flat: Flat) -> str:
    """What the picture shows and what it does not, in words."""
    name = NAMES[flat.method]
    parts = [f"Held-out rows in two dimensions by {name}."]
    if flat.explained is not None:
        first, second = (figure(share, "share") for share in flat.explained)
        parts.append(f"Across {first} of the variance, upwards {second}; what lies in further dimensions is not seen.")
    else:
        parts.append("Rows beside each other are alike; distances between groups and their sizes mean little.")
    if flat.trustworthiness is not None:
        parts.append(
            f"Trustworthiness {number(flat.trustworthiness)} of 1: how far the {flat.neighbours} nearest rows here are near in "
            "truth."
        )
    return " ".join(parts)


def scatter(flat: Flat, places: Sequence[int], names: Sequence[str], told: str) -> Markup:
    """The drawing.

    Args:
        places: number of the group of each row, 0 for none, [n]. names: of the groups, the first of number 1. told: for those who
            cannot see it.
    """
    points = _fitted(flat.points)
    labels = np.asarray(places)
    dots = [
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.2" fill="{}" fill-opacity=".8"/>').format(x, y, colour_of(group))
        for (x, y), group in zip(points.tolist(), labels.tolist(), strict=True)
        if group != NONE
    ]
    crosses = [
        Markup('<path d="M{:.1f} {:.1f}l5 5m0-5l-5 5" stroke="var(--soft)" stroke-width="1"/>').format(x - 2.5, y - 2.5)
        for (x, y), group in zip(points.tolist(), labels.tolist(), strict=True)
        if group == NONE
    ]
    middles = [
        Markup(
            '<text x="{:.1f}" y="{:.1f}" text-anchor="middle" dominant-baseline="central" paint-order="stroke" '
            'style="font:700 15px system-ui,sans-serif;fill:var(--ink);stroke:var(--paper);stroke-width:4px">{}</text>'
        ).format(*np.median(points[labels == group], axis=0).tolist(), names[group - 1])
        for group in range(1, len(names) + 1)
        if (labels == group).any()
    ]
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" style="width:100%;max-width:680px;height:auto;display:block">'
        '<rect x=".5" y=".5" width="{}" height="{}" fill="none" stroke="var(--line)"/>{}{}{}</svg>'
    ).format(
        _WIDTH,
        _HEIGHT,
        told,
        _WIDTH - 1,
        _HEIGHT - 1,
        *(Markup("").join(part) for part in (crosses, dots, middles)),
    )


def colour_of(group: int) -> str:
    """The colour of a group."""
    return COLOURS[(group - 1) % len(COLOURS)]


def _fitted(points: np.ndarray) -> np.ndarray:
    """Points on the drawing, one scale both ways, upwards."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scale = min((_WIDTH - 2 * _EDGE) / span[0], (_HEIGHT - 2 * _EDGE) / span[1])
    placed = (points - (low + high) / 2) * scale
    found: np.ndarray = np.stack([_WIDTH / 2 + placed[:, 0], _HEIGHT / 2 - placed[:, 1]], axis=1)
    return found
