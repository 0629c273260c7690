"""The space in which groups are looked for: columns as numbers, fewer dimensions, and length 1 where directions are compared.

Legend: n rows, d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pandas as pd

from studio.models.clusters.unfolding import Unfolded
from studio.models.predictors.features import plain_features
from studio.models.predictors.saved import open_skops, write_skops
from studio.schema.columns import Column

PREPARATION = "preparation.skops"
REDUCTION = "reduction.skops"
EMBEDDING = "embedding"


class Embeds(Protocol):
    """A network that turns values of one type of column into numbers (:mod:`studio.models.clusters.embedding`)."""

    type: ClassVar[str]

    def rows(self, values: Sequence[str | None]) -> np.ndarray:
        """Values as float64 [n, e] of length 1."""

    def write(self, folder: Path) -> None:
        """Write all of it into a folder."""


@dataclass
class Space:
    """A fitted space.

    columns: the features, in order. preparation: fitted transformer of plain columns, None where a network looks at all of them.
    embedding: the network, None without one. reduction: fitted PCA or truncated SVD, None where all dimensions are kept.
    unfolded: UMAP's places of the training rows, None without it.
    """

    columns: Sequence[Column]
    distance: Literal["euclidean", "cosine"]
    preparation: Any | None
    embedding: Embeds | None = None
    reduction: Any | None = None
    unfolded: Unfolded | None = None

    def matrix(self, features: pd.DataFrame) -> np.ndarray:
        """Rows in the space, float64 [n, d]; under cosine rows of zeros, which have no direction, stay zeros.

        Args:
            features: the columns of ``columns``, as :class:`studio.data.examples.Examples` has them.
        """
        return self.after(self.before(features))

    def before(self, features: pd.DataFrame) -> np.ndarray:
        """Rows before they are unfolded, float64 [n, dimensions]."""
        found = self.prepared(features)
        return dense(found if self.reduction is None else self.reduction.transform(found))

    def after(self, before: np.ndarray) -> np.ndarray:
        """The same rows in the space."""
        return directed(before if self.unfolded is None else self.unfolded.place(before), self.distance)

    def prepared(self, features: pd.DataFrame) -> Any:
        """Columns as numbers before any reduction, dense or sparse, [n, dimensions]."""
        plain, embedded = divided(self.columns, self.embedding)
        parts = [self.preparation.transform(plain_features(features, plain))] if self.preparation is not None else []
        if self.embedding is not None:
            parts += [self.embedding.rows(features[column.name].tolist()) for column in embedded]
        return parts[0] if len(parts) == 1 else np.concatenate([dense(part) for part in parts], axis=1)

    def shuffled(self, features: pd.DataFrame, seed: int) -> np.ndarray:
        """Rows of which each column was put in an order of its own, as :meth:`before` gives them: what a column holds stays, how
        columns go together is gone. Of a single column the dimensions are shuffled; of a single dimension nothing changes.
        """
        drawn, count = np.random.default_rng(seed), len(features)
        if len(self.columns) > 1:
            mixed = {column.name: features[column.name].to_numpy()[drawn.permutation(count)] for column in self.columns}
            return self.before(pd.DataFrame(mixed))
        return np.stack([drawn.permutation(values) for values in self.before(features).T], axis=1)

    def anew(self, before: np.ndarray) -> Space:
        """The space as it would be for other training rows: only what was unfolded depends so much on them that it is made again.

        Raises:
            MissingExtraError: UMAP is not installed.
        """
        return self if self.unfolded is None else replace(self, unfolded=self.unfolded.anew(before))

    def write(self, folder: Path) -> None:
        """Write it into an empty folder, in forms that run no code when they are opened."""
        if self.preparation is not None:
            write_skops(self.preparation, folder / PREPARATION)
        if self.embedding is not None:
            self.embedding.write(folder / EMBEDDING)
        if self.reduction is not None:
            write_skops(self.reduction, folder / REDUCTION)

    @classmethod
    def load(
        cls,
        folder: Path,
        columns: Sequence[Column],
        distance: Literal["euclidean", "cosine"],
        embedding: Embeds | None,
        unfolded: Unfolded | None,
    ) -> Space:
        """Open what :meth:`write` wrote; the embedding lies in the folder ``EMBEDDING`` and is opened by who opens this.

        Raises:
            StudioError: a file is missing, damaged, or names code that no space needs.
        """
        plain, _ = divided(columns, embedding)
        preparation = open_skops(folder / PREPARATION) if plain else None
        reduction = open_skops(folder / REDUCTION) if (folder / REDUCTION).is_file() else None
        return cls(columns, distance, preparation, embedding, reduction, unfolded)


def divided(columns: Sequence[Column], embedding: Embeds | None) -> tuple[list[Column], list[Column]]:
    """The columns that are prepared, and those that a network looks at."""
    kind = embedding.type if embedding is not None else None
    return [column for column in columns if column.type != kind], [column for column in columns if column.type == kind]


def dense(matrix: Any) -> np.ndarray:
    """A matrix with its zeros, float64 [n, d]."""
    return np.ascontiguousarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)


def unit(matrix: np.ndarray) -> np.ndarray:
    """Rows of length 1, [n, d]; rows of zeros stay so. Between such rows the squared distance is twice the cosine distance."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    found: np.ndarray = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
    return found


def directed(matrix: np.ndarray, distance: str) -> np.ndarray:
    """Rows of length 1 where directions are compared, else the rows themselves."""
    return unit(matrix) if distance == "cosine" else matrix


def has_direction(matrix: np.ndarray) -> np.ndarray:
    """Rows that are not all zero, bool [n]."""
    found: np.ndarray = (matrix != 0).any(axis=1)
    return found
