"""Labels of unequal frequency: weights, copies of rare rows, fewer of frequent ones, rows between neighbours. Training rows only.

All of it makes the estimator believe that rare labels are more frequent than they are, and so distorts its probabilities.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.models.predictors.features import plain_groups
from studio.schema.columns import Column

if TYPE_CHECKING:
    from studio.schema.predictors import ClassifierPreset


@dataclass
class Rows:
    """What an estimator is fitted on.

    matrix: [n, features]. target: labels or numbers [n]. weights: float64 [n], None where all count alike. origins: the training
    row that each was copied from, so that copies can be kept together, int64 [n], None where there are no copies.
    """

    matrix: Any
    target: np.ndarray
    weights: np.ndarray | None = None
    origins: np.ndarray | None = None


def take(rows: Rows, places: np.ndarray) -> Rows:
    """Some of the rows, in the given order."""
    weights = None if rows.weights is None else rows.weights[places]
    origins = None if rows.origins is None else rows.origins[places]
    return Rows(rows.matrix[places], rows.target[places], weights, origins)


def check_smote(preset: ClassifierPreset, columns: tuple[Column, ...], target: np.ndarray) -> None:
    """Rows between neighbours need numbers or categories, and labels with enough neighbours.

    Raises:
        UserError: they are not there.
    """
    if preset.imbalance != "smote":
        return
    others = [f"{column.name} ({column.type})" for column in columns if column.type in {"text", "picture"}]
    if others:
        raise UserError(
            f"imbalance smote makes rows between rows of numbers and categories, and {', '.join(others[:4])} has neither. "
            "Set imbalance: weights, or oversample."
        )
    counts = Counter(target.tolist())
    most = max(counts.values())
    label, rows = min(counts.items(), key=lambda pair: (pair[1], pair[0]))
    if rows < most and rows <= preset.smote_neighbours:
        remedy = f"Set smote_neighbours: {rows - 1}" if rows > 1 else "Leave that label out, or set imbalance: weights"
        raise UserError(
            f"imbalance smote draws each new row between a row and one of its {preset.smote_neighbours} nearest with the same "
            f"label, and {label!r} has {rows} training row{'s' if rows > 1 else ''}. {remedy}, or imbalance: oversample."
        )


def balanced(
    preset: ClassifierPreset, columns: tuple[Column, ...], plain: pd.DataFrame, matrix: Any, target: np.ndarray, learned: Any
) -> Rows:
    """The training rows as the preset wants their labels balanced.

    Args:
        plain: plain columns [n, plain columns]. matrix: prepared [n, features]. learned: the fitted preparation of
        :mod:`studio.train.predictors.preparation`.
    Raises:
        UserError: as :func:`check_smote`.
    """
    match preset.imbalance:
        case "weights":
            from sklearn.utils.class_weight import compute_sample_weight

            return Rows(matrix, target, weights=compute_sample_weight("balanced", target))
        case "oversample" | "undersample":
            places = _drawn(preset.imbalance, target, preset.seed)
            return Rows(matrix[places], target[places], origins=places)
        case "smote":
            check_smote(preset, columns, target)
            made, labels = smote_rows(plain, target, plain_groups(columns), preset.smote_neighbours, preset.seed)
            return Rows(_stacked(matrix, learned.transform(made)) if len(made) else matrix, np.concatenate([target, labels]))
    return Rows(matrix, target)


def weights_like(target: np.ndarray, before: np.ndarray, after: Rows) -> np.ndarray | None:
    """Weights under which other rows have the labels' shares that the estimator is fitted on, float64 [n]; None for none.

    Early stopping would otherwise look at labels in other shares than those that are learned.
    """
    counts = Counter(before.tolist())
    learned: dict[str, float] = dict.fromkeys(counts, 0.0)
    for label, weight in zip(after.target, np.ones(len(after.target)) if after.weights is None else after.weights, strict=True):
        learned[label] += float(weight)
    factors = {label: learned[label] / counts[label] for label in counts}
    if np.allclose(list(factors.values()), 1.0):
        return None
    return np.array([factors[label] for label in target])


def counts_told(before: np.ndarray, after: Rows) -> dict[str, dict[str, float]]:
    """Rows per label before and after; with weights, what the rows of a label count together."""
    weights = np.ones(len(after.target)) if after.weights is None else after.weights
    labels = sorted(set(before))
    return {
        "before": {label: int((before == label).sum()) for label in labels},
        "after": {label: round(float(weights[after.target == label].sum()), 2) for label in labels},
    }


def counts_sentence(method: str, counts: dict[str, dict[str, float]]) -> str:
    """The same for people."""
    shown = [f"{label} {counts['before'][label]:g} -> {counts['after'][label]:g}" for label in list(counts["before"])[:8]]
    more = len(counts["before"]) - len(shown)
    kind = "what the training rows of each label count" if method == "weights" else "training rows of each label"
    return f"imbalance {method}: {kind}: {', '.join(shown)}{f' and {more} more labels' if more > 0 else ''}"


def smote_rows(
    plain: pd.DataFrame, target: np.ndarray, groups: dict[str, list[str]], neighbours: int, seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows that nobody saw, between neighbours of one label, as many as make all labels equally frequent.

    SMOTE on numbers, SMOTENC where there are categories too, SMOTEN on categories alone (https://arxiv.org/abs/1106.1813).
    Numbers are compared after scaling; a missing one counts as the median.

    Returns:
        the new plain rows, and their labels.
    """
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC

    numbers, categories = groups["number"], groups["category"]
    found = plain[numbers].to_numpy(np.float64) if numbers else np.zeros((len(plain), 0))
    filled = _filled(found)
    center, spread = filled.mean(axis=0), filled.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    known = [pd.factorize(plain[name]) for name in categories]
    codes = np.array([places for places, _ in known], dtype=np.float64).T.reshape(len(plain), len(categories))
    options = {"k_neighbors": neighbours, "random_state": seed}
    if not categories:
        maker = SMOTE(**options)
    elif numbers:
        maker = SMOTENC(categorical_features=list(range(len(numbers), len(numbers) + len(categories))), **options)
    else:
        maker = SMOTEN(**options)
    every, labels = maker.fit_resample(np.hstack([(filled - center) / spread, codes]), target)
    made = np.asarray(every, dtype=np.float64)[len(plain) :]
    columns: dict[str, Any] = dict(zip(numbers, (made[:, : len(numbers)] * spread + center).T, strict=True))
    for place, (name, (_, values)) in enumerate(zip(categories, known, strict=True)):
        columns[name] = np.asarray(values, dtype=object)[made[:, len(numbers) + place].astype(np.int64)]
    return pd.DataFrame(columns, columns=plain.columns), np.asarray(labels, dtype=object)[len(plain) :]


def _drawn(method: str, target: np.ndarray, seed: int) -> np.ndarray:
    """Places of training rows: all and copies of rare ones, or fewer of frequent ones."""
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    sampler = (RandomOverSampler if method == "oversample" else RandomUnderSampler)(random_state=seed)
    sampler.fit_resample(np.zeros((len(target), 1)), target)
    places: np.ndarray = np.asarray(sampler.sample_indices_, dtype=np.int64)
    return np.sort(places)


def _filled(numbers: np.ndarray) -> np.ndarray:
    """Medians where numbers are missing; 0 where a column has none."""
    gone = np.isnan(numbers)
    if not gone.any():
        return numbers
    medians = np.array([np.median(column[~out]) if (~out).any() else 0.0 for column, out in zip(numbers.T, gone.T, strict=True)])
    return np.where(gone, medians, numbers)


def _stacked(first: Any, second: Any) -> Any:
    """One matrix above the other, sparse where they are."""
    import scipy.sparse

    if scipy.sparse.issparse(first):
        return scipy.sparse.vstack([first, second]).tocsr()
    return np.vstack([first, second])
