"""Support vector machines give distances from a boundary; Platt's scaling turns them into probabilities, learned on inner folds
(Platt, Probabilistic outputs for support vector machines, 1999).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from studio.schema.estimators import Svm
from studio.train.predictors.estimators import Note
from studio.train.predictors.resampling import Rows, take

FOLDS = 5
"""Inner folds, where every label has as many rows."""
_STEPS = 10_000
"""Steps of the linear solver at most."""


def fit_machine(settings: Svm, rows: Rows, *, seed: int, note: Note) -> Any:
    """A support vector machine fitted on all rows, with probabilities learned on inner folds.

    There are 5 folds, or as many as the rarest label has rows. A label of one row cannot be in both halves of a fold: its row is
    repeated in every fold with a fraction of the weight, and its probability is as good as that.
    """
    from sklearn.calibration import CalibratedClassifierCV

    folds, single = count_folds(rows)
    if single:
        note(
            f"labels with a single training row ({', '.join(single[:5])}{' …' if len(single) > 5 else ''}) stand in every inner "
            "fold; their probabilities were not learned on rows that are held out"
        )
        rows = _repeated(rows, single, folds)
    if folds < FOLDS:
        note(f"probabilities were learned on {folds} inner folds instead of {FOLDS}: the rarest labels have no more rows")
    machine = CalibratedClassifierCV(_machine(settings, seed), cv=inner_folds(rows, folds, seed), ensemble=False)
    machine.fit(rows.matrix, rows.target, sample_weight=rows.weights)
    # Places of training rows are of no use any more, and would be kept with the model.
    machine.set_params(cv=None)
    return machine


def count_folds(rows: Rows) -> tuple[int, list[str]]:
    """How many inner folds there are, and the labels with a single row (of copies of one row only one counts)."""
    places = np.arange(len(rows.target)) if rows.origins is None else rows.origins
    counts = Counter(label for label, _ in set(zip(rows.target.tolist(), places.tolist(), strict=True)))
    several = [count for count in counts.values() if count > 1]
    return max(2, min([FOLDS, *several])), sorted(label for label, count in counts.items() if count == 1)


def inner_folds(rows: Rows, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places to learn from and to calibrate on, with the labels' shares; copies of a row stay in one fold."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    nothing = np.zeros(len(rows.target))
    if rows.origins is None:
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(nothing, rows.target))
    together = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(together.split(nothing, rows.target, rows.origins))


def _machine(settings: Svm, seed: int) -> Any:
    """The machine itself, unfitted."""
    from sklearn.svm import SVC, LinearSVC

    if settings.kernel == "linear":
        return LinearSVC(C=settings.C, max_iter=_STEPS, random_state=seed)
    return SVC(C=settings.C, gamma=settings.gamma, random_state=seed)


def _repeated(rows: Rows, single: list[str], folds: int) -> Rows:
    """The rows, that of each single label at least as often as there are folds, together as heavy as before."""
    copies = Counter(rows.target.tolist())
    alone = np.isin(rows.target.astype(str), single)
    times = np.array([-(-folds // copies[label]) if out else 1 for label, out in zip(rows.target, alone, strict=True)])
    repeated = take(rows, np.repeat(np.arange(len(times)), times))
    repeated.weights = (np.ones(len(repeated.target)) if repeated.weights is None else repeated.weights) / np.repeat(times, times)
    if repeated.origins is not None:
        # Only copies that count as rows of their own can stand in different folds.
        alone = np.repeat(alone, times)
        repeated.origins = np.where(alone, rows.origins.max() + 1 + np.arange(len(alone)), repeated.origins)  # type: ignore[union-attr]
    return repeated
