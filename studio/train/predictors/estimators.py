"""Estimators of scikit-learn from their settings, fitted on prepared rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from studio.schema.estimators import Boosting, Forest, Logistic, NaiveBayes, Ridge
from studio.train.predictors.resampling import Rows

Note = Callable[[str], None]


def fit_estimator(settings: Logistic | NaiveBayes | Forest | Ridge, rows: Rows, *, labels: bool, texts: bool, seed: int) -> Any:
    """An estimator that needs neither validation rows nor inner folds.

    Args:
        labels: it gives labels, not numbers. texts: the features are shares of words and categories, and none is a number.
    """
    estimator = _estimator(settings, labels, texts, seed)
    estimator.fit(rows.matrix, rows.target, sample_weight=rows.weights)
    if isinstance(settings, Forest):
        # Several threads add up the votes in the order in which they end, and so give other last digits from call to call.
        estimator.set_params(n_jobs=None)
    return estimator


def _estimator(settings: Logistic | NaiveBayes | Forest | Ridge, labels: bool, texts: bool, seed: int) -> Any:
    """The same, unfitted."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression
    from sklearn.linear_model import Ridge as RidgeRegression
    from sklearn.naive_bayes import GaussianNB, MultinomialNB

    match settings:
        case Logistic():
            strength = np.inf if settings.penalty == "none" else settings.C
            # Of scikit-learn's solvers only saga sets weights to 0 and takes more than two labels.
            penalty = {"l1_ratio": 1.0, "solver": "saga"} if settings.penalty == "l1" else {}
            return LogisticRegression(C=strength, max_iter=settings.max_iter, random_state=seed, **penalty)
        case NaiveBayes():
            return MultinomialNB(alpha=settings.alpha) if texts else GaussianNB()
        case Ridge():
            return RidgeRegression(alpha=settings.alpha, random_state=seed)
        case Forest():
            grown = {"n_estimators": settings.trees, "max_depth": settings.depth, "min_samples_leaf": settings.min_leaf}
            return (RandomForestClassifier if labels else RandomForestRegressor)(**grown, random_state=seed, n_jobs=-1)


def fit_boosting(
    settings: Boosting,
    rows: Rows,
    validation: Rows | None,
    *,
    labels: bool,
    categories: int,
    seed: int,
    note: Note,
) -> Any:
    """Gradient boosting that stops when the loss on the validation rows no longer falls, cut back to the round that was best.

    Args:
        categories: the first so many features are codes of categories.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    stopping = settings.patience is not None and validation is not None and len(validation.target) > 0
    estimator = (HistGradientBoostingClassifier if labels else HistGradientBoostingRegressor)(
        max_iter=settings.rounds,
        learning_rate=settings.learning_rate,
        max_depth=settings.depth,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=settings.min_leaf,
        l2_regularization=settings.l2,
        categorical_features=list(range(categories)) or None,
        early_stopping=stopping,
        n_iter_no_change=settings.patience or 1,
        random_state=seed,
    )
    if settings.patience is not None and not stopping:
        note(f"no validation rows to stop early by: all {settings.rounds} rounds were run")
    if not stopping:
        return estimator.fit(rows.matrix, rows.target, sample_weight=rows.weights)
    assert validation is not None
    estimator.fit(
        rows.matrix,
        rows.target,
        sample_weight=rows.weights,
        X_val=validation.matrix,
        y_val=validation.target,
        sample_weight_val=validation.weights,
    )
    run = estimator.n_iter_
    note(f"early stopping: the best of {run} rounds was round {keep_best(estimator)}")
    return estimator


def keep_best(estimator: Any) -> int:
    """Cut gradient boosting back to the round with the best score on the validation rows, and say which it was.

    scikit-learn stops ``n_iter_no_change`` rounds after it and keeps them all. The first score is that of no tree at all.
    """
    best = int(np.argmax(estimator.validation_score_))
    # There is no public way; the saved form and predictions read these three lists alone, which a test holds together.
    estimator._predictors = estimator._predictors[:best]
    estimator.train_score_ = estimator.train_score_[: best + 1]
    estimator.validation_score_ = estimator.validation_score_[: best + 1]
    return best


@contextmanager
def told_warnings(note: Note) -> Iterator[None]:
    """A solver that did not come to its end becomes a note, once; other warnings pass."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    if any(issubclass(one.category, ConvergenceWarning) for one in caught):
        note(
            "the solver took all its steps and had not come to an end: the result is near the best, not at it. Set "
            "estimator.max_iter higher where there is one, or a smaller estimator.C"
        )
    for one in caught:
        # Mean and variance of a column without a value, which was told.
        empty = issubclass(one.category, RuntimeWarning) and Path(one.filename).name == "extmath.py"
        if not empty and not issubclass(one.category, ConvergenceWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
