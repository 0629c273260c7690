"""Why a predictor says what it says of a row: columns, words or parts of a picture with what each contributes.

``explain_row`` explains one row for a person who waits, ``explain`` several. Which way is taken follows from the model; each
says how it was made, what it does not say, and whether deleting what it names hurts more than deleting something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from studio.evals.predictors.explanations.choosing import explainer_for
from studio.evals.predictors.explanations.faithful import Faithful, check, of_row
from studio.evals.predictors.explanations.parts import Explainer, Explanation, Part
from studio.models.predictors.base import Predictor

__all__ = ["Explainer", "Explanation", "Faithful", "Part", "check", "explain", "explain_row", "explainer_for"]


def explain_row(predictor: Predictor, features: pd.DataFrame, background: pd.DataFrame, *, seed: int = 0) -> Explanation:
    """One row explained, with a check on this row that the explanation is faithful.

    Args:
        features: the columns of ``predictor.info.columns``, one row. background: rows like those of training, the same columns.
    Raises:
        UserError: there is no background, or more rows than one.
    """
    explainer = explainer_for(predictor, background, seed=seed)
    found = explainer.explain(features)
    return replace(found, faithful=of_row(explainer, features, found, seed=seed))


def explain(
    predictor: Predictor,
    features: pd.DataFrame,
    background: pd.DataFrame,
    *,
    labels: Sequence[str | None] | None = None,
    seed: int = 0,
) -> list[Explanation]:
    """Rows explained one by one.

    Args:
        labels: which label is explained in each row; None explains the one that is given.
    Raises:
        UserError: there is no background.
    """
    explainer = explainer_for(predictor, background, seed=seed)
    wanted = labels or [None] * len(features)
    return [explainer.explain(features.iloc[[place]], label) for place, label in enumerate(wanted)]
