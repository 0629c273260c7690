"""How much one column alone says of the target, measured on rows that the guess was not learned from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

_ROWS = 10_000
_FOLDS = 5
# Labels of fewer rows have no curve worth looking at; tables of fewer rows say too little.
_LEAST_OF_LABEL = 10
LEAST_ROWS = 50
# Rows of the whole that a category's share is drawn towards, so that a category of one row says nothing.
_SMOOTHING = 5.0


def label_scores(columns: dict[str, pd.Series], labels: np.ndarray, groups: np.ndarray | None) -> dict[str, float]:
    """Area under the ROC curve of each column alone, mean over the labels, each against the rest.

    Numbers and times are cut by a small decision tree (scikit-learn), categories give the share of each label among their
    rows; both are learned on four fifths of the rows and measured on the last one, five times over.

    Args:
        columns: float64, ``str`` or datetime64 [n]. labels: object [n]. groups: object [n], never straddled by the folds.
    """
    from sklearn.metrics import roc_auc_score

    chosen = _sample(len(labels))
    names, codes = np.unique(labels[chosen].astype(str), return_inverse=True)
    usable = [number for number in range(len(names)) if (codes == number).sum() >= _LEAST_OF_LABEL and (codes != number).any()]
    if len(chosen) < LEAST_ROWS or not usable:
        return {}
    folds = list(_folds(codes, None if groups is None else groups[chosen], stratified=True))
    scores = {}
    for name, values in columns.items():
        shares = _out_of_fold(values.iloc[chosen], np.eye(len(names))[codes], folds)
        found = [
            max(float(roc_auc_score(codes == number, shares[:, number])), _ranked(values.iloc[chosen], codes == number))
            for number in usable
        ]
        scores[name] = float(np.mean(found))
    return scores


def number_scores(columns: dict[str, pd.Series], target: np.ndarray, groups: np.ndarray | None) -> dict[str, float]:
    """Share of the target's variance that each column alone explains (R2), by a tree, the mean of a category, or a line.

    Args: as of :func:`label_scores`; target: float64 [n].
    """
    chosen = _sample(len(target))
    truth = target[chosen]
    if len(chosen) < LEAST_ROWS or not truth.var():
        return {}
    folds = list(_folds(truth, None if groups is None else groups[chosen], stratified=False))
    scores = {}
    for name, values in columns.items():
        guessed = _out_of_fold(values.iloc[chosen], truth[:, None], folds)[:, 0]
        explained = 1 - float(((truth - guessed) ** 2).mean() / truth.var())
        scores[name] = max(explained, _line(values.iloc[chosen], truth))
    return scores


def _sample(rows: int) -> np.ndarray:
    """Places of at most so many rows, drawn once for all columns."""
    if rows <= _ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, _ROWS, replace=False))


def _folds(target: np.ndarray, groups: np.ndarray | None, *, stratified: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places to learn from and to measure on."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    if groups is not None:
        known = np.array([str(place) if group is None or group != group else f"={group}" for place, group in enumerate(groups)])
        if len(np.unique(known)) >= _FOLDS:
            return iter(GroupKFold(_FOLDS).split(target, target, known))
    splitter = StratifiedKFold if stratified and np.bincount(target).min() >= _FOLDS else KFold
    return iter(splitter(_FOLDS, shuffle=True, random_state=0).split(target, target))


def _out_of_fold(values: pd.Series, truth: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """What a column says of rows that were not learned from, float64 [n, k]; truth: float64 [n, k]."""
    guessed = np.empty_like(truth, dtype=np.float64)
    numeric = not pd.api.types.is_string_dtype(values.dtype)
    numbers = as_numbers(values) if numeric else pd.factorize(values)[0]
    for learn, measure in folds:
        guess = _by_tree if numeric else _by_category
        guessed[measure] = guess(numbers[learn], truth[learn], numbers[measure])
    return guessed


def _by_tree(values: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Means of the truth in the leaves of a small tree; a missing value goes where it helps."""
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(max_leaf_nodes=128, min_samples_leaf=max(5, len(values) // 100), random_state=0)
    found = tree.fit(values[:, None], truth).predict(asked[:, None])
    return np.asarray(found, dtype=np.float64).reshape(len(asked), truth.shape[1])


def _by_category(codes: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Means of the truth among the rows of a category, drawn towards the mean of all; missing is a category."""
    known = max(int(codes.max(initial=-1)), int(asked.max(initial=-1))) + 2
    counts = np.bincount(codes + 1, minlength=known)[:, None]
    sums = np.stack([np.bincount(codes + 1, weights=column, minlength=known) for column in truth.T], axis=1)
    means = (sums + _SMOOTHING * truth.mean(axis=0)) / (counts + _SMOOTHING)
    found: np.ndarray = means[asked + 1]
    return found


def _ranked(values: pd.Series, positive: np.ndarray) -> float:
    """Area under the curve of a column of numbers as it stands, in the better direction; 0 for other columns."""
    from sklearn.metrics import roc_auc_score

    if pd.api.types.is_string_dtype(values.dtype):
        return 0.0
    numbers = as_numbers(values)
    there = ~np.isnan(numbers)
    if there.mean() < 0.5 or positive[there].all() or not positive[there].any():
        return 0.0
    area = float(roc_auc_score(positive[there], numbers[there]))
    return max(area, 1 - area)


def _line(values: pd.Series, truth: np.ndarray) -> float:
    """R2 of a straight line, where the column holds numbers; 0 otherwise."""
    if pd.api.types.is_string_dtype(values.dtype):
        return 0.0
    numbers = as_numbers(values)
    there = ~np.isnan(numbers)
    # A line over few of the rows says nothing of the column as a whole.
    if there.mean() < 0.5 or not numbers[there].std() or not truth[there].std():
        return 0.0
    return float(np.corrcoef(numbers[there], truth[there])[0, 1] ** 2)


def as_numbers(values: pd.Series) -> np.ndarray:
    """Numbers, or seconds since 1970 of times, float64 [n]; NaN where missing."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        moments = values.to_numpy("datetime64[us]")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)
    return values.to_numpy(np.float64)
