"""Fitting the space on the training rows: columns as numbers, and fewer dimensions where there are many.

Legend: n rows, d dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.models.bases import ResolvedBase
from studio.models.clusters.fitting import one_thread
from studio.models.clusters.space import Space, dense, divided
from studio.models.clusters.unfolding import unfold
from studio.models.predictors.features import plain_features, plain_groups
from studio.schema.clusters import ClustersPreset, Reduction
from studio.schema.columns import Column
from studio.train.clusters.embeddings import embedded_type, open_embedding
from studio.train.predictors.preparation import prepare

if TYPE_CHECKING:
    from studio.models.clusters.embedding import Embedding

Note = Callable[[str], None]

# From here on ``auto`` reduces, to so many.
MANY = 200
KEPT = 100
_KEPT_UNFOLDED = 10
# Numbers of a matrix that is held with its zeros, 8 bytes each.
_MOST_NUMBERS = 2**28


def fit_space(
    preset: ClustersPreset, columns: tuple[Column, ...], features: pd.DataFrame, note: Note, base: ResolvedBase | None = None
) -> tuple[Space, float | None]:
    """A space fitted on training rows, and the share of the variance that the reduction keeps (None without one).

    Args:
        base: weights of the network that looks at texts or pictures, None where none does.
    Raises:
        DataError: there is nothing to learn from. UserError: so many dimensions need a reduction. MissingExtraError: UMAP is not
            installed.
    """
    embedding = _embedding(columns, features, embedded_type(preset, columns), base, note)
    plain, _ = divided(columns, embedding)
    space = Space(columns, preset.distance, None, embedding)
    with one_thread():
        if plain:
            space.preparation = _prepared(preset, plain, features, note)
            tell_categories(space.preparation, note)
        space.reduction, explained = _reduction(preset.reduce, space.prepared(features), preset.seed, note)
        if preset.reduce.type == "umap":
            kept = preset.reduce.dimensions or _KEPT_UNFOLDED
            space.unfolded = unfold(space.before(features), kept, preset.reduce.neighbours, preset.seed)
    return space, explained


def _embedding(
    columns: Sequence[Column], features: pd.DataFrame, kind: str | None, base: ResolvedBase | None, note: Note
) -> Embedding | None:
    """The network that looks at columns of one type."""
    if kind is None or base is None:
        return None
    texts = [text for column in columns if column.type == "text" for text in features[column.name].tolist()]
    return open_embedding(base, kind, texts, note)


def _prepared(preset: ClustersPreset, columns: list[Column], features: pd.DataFrame, note: Note) -> Any:
    """The fitted transformer of columns; pixels share one unit and stay as they are."""
    plain, settings = plain_features(features, columns), preset.preparation
    if all(column.type == "picture" for column in columns):
        settings = settings.model_copy(update={"scale": False})
    return prepare(settings, plain, plain_groups(columns), seed=preset.seed, note=note).fit(plain)


def _reduction(settings: Reduction, prepared: Any, seed: int, note: Note) -> tuple[Any | None, float | None]:
    """The fitted reduction; before UMAP the same as without being told."""
    rows, dimensions = prepared.shape
    sparse = hasattr(prepared, "toarray")
    kind = settings.type
    if kind in {"auto", "umap"}:
        if dimensions <= MANY:
            return None, None
        kind = "svd" if sparse else "pca"
        what, kept = "truncated SVD" if sparse else "PCA", min(KEPT, rows - 1, dimensions - 1)
        note(f"{dimensions:,} dimensions were reduced to {kept} by {what} (reduce.type: none keeps all)")
    if kind == "none":
        if rows * dimensions > _MOST_NUMBERS:
            raise UserError(
                f"reduce.type is none, and {rows:,} rows x {dimensions:,} dimensions take {rows * dimensions * 8 / 2**30:.1f} "
                "GiB. Set reduce.type to svd."
            )
        return None, None
    kept = min(settings.dimensions if settings.type in {"pca", "svd"} and settings.dimensions else KEPT, rows, dimensions)
    if kind == "svd":
        return _svd(prepared, min(kept, dimensions - 1), seed)
    return _pca(dense(prepared), settings.variance or kept, seed)


def _svd(prepared: Any, kept: int, seed: int) -> tuple[Any, float]:
    """Truncated SVD, which leaves zeros zeros: latent semantic analysis, of texts."""
    from sklearn.decomposition import TruncatedSVD

    fitted = TruncatedSVD(max(1, kept), random_state=seed).fit(prepared)
    return fitted, float(fitted.explained_variance_ratio_.sum())


def _pca(matrix: np.ndarray, kept: float, seed: int) -> tuple[Any, float]:
    """PCA; ``kept`` is a number of dimensions, or below 1 a share of the variance."""
    from sklearn.decomposition import PCA

    fitted = PCA(kept, svd_solver="full" if kept < 1 else "auto", random_state=seed).fit(matrix)
    return fitted, float(fitted.explained_variance_ratio_.sum())


def tell_categories(preparation: Any, note: Note) -> None:
    """Say which categories are so rare that they are taken together."""
    encoder = preparation.named_transformers_.get("categories")
    if encoder is None:
        return
    for name, known, rare in zip(encoder.feature_names_in_, encoder.categories_, encoder.infrequent_categories_, strict=True):
        if rare is None:
            continue
        kept = len(known) - len(rare)
        nothing = ", so that the column tells no groups apart" if not kept else ""
        note(
            f"{name}: {len(rare):,} of {len(known):,} categories are each in fewer than {encoder.min_frequency} rows and "
            f"were taken as one{nothing}"
        )
