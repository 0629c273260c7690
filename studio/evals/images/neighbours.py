"""Nearest neighbours among features, a chunk of rows at a time so that memory grows with n and never with n squared.

Legend: n rows, m others, d features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from studio.evals.pieces import Floats

# Distances held at once: 256 x 10,000 doubles are 20 MB.
_ROWS = 256


def distances_in_chunks(rows: NDArray[np.floating], others: NDArray[np.floating]) -> Iterator[tuple[slice, Floats]]:
    """Euclidean distances of a few rows at a time to all others: places and [rows, m]."""
    far = np.asarray(others, dtype=np.float64)
    squares = np.square(far).sum(axis=1)
    for start in range(0, len(rows), _ROWS):
        near = np.asarray(rows[start : start + _ROWS], dtype=np.float64)
        square = np.square(near).sum(axis=1)[:, None] + squares[None, :] - 2 * near @ far.T
        yield slice(start, start + len(near)), np.sqrt(np.clip(square, 0, None))


def nearest(rows: NDArray[np.floating], others: NDArray[np.floating]) -> tuple[Floats, NDArray[np.intp]]:
    """Distance to, and place of, the nearest of the others: [n], [n].

    The distance to the one found is computed anew from the difference: a picture equal to a training picture is at exactly 0.
    """
    places = np.empty(len(rows), dtype=np.intp)
    for where, distances in distances_in_chunks(rows, others):
        places[where] = distances.argmin(axis=1)
    found = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        gap = np.asarray(rows[part], dtype=np.float64) - np.asarray(others[places[part]], dtype=np.float64)
        found[part] = np.sqrt(np.square(gap).sum(axis=1))
    return found, places


def neighbourhood_radii(rows: NDArray[np.floating], k: int) -> Floats:
    """Distance of each row to its k-th nearest other row: [n]."""
    radii = np.empty(len(rows))
    for where, distances in distances_in_chunks(rows, rows):
        # A row is at distance 0 from itself, rounding aside, so the k-th other is at place k.
        for index, place in enumerate(range(where.start, where.stop)):
            distances[index, place] = 0.0
        radii[where] = np.partition(distances, k, axis=1)[:, k]
    return radii


def mean_distance(rows: NDArray[np.floating], others: NDArray[np.floating]) -> Floats:
    """Mean distance of each row to all others: [n]."""
    means = np.empty(len(rows))
    for where, distances in distances_in_chunks(rows, others):
        means[where] = distances.mean(axis=1)
    return means
