"""Which explanation a predictor gets, by what it reads and how it is made."""

from __future__ import annotations

import pandas as pd

from studio.core.errors import UserError
from studio.evals.predictors.explanations.parts import Explainer
from studio.evals.predictors.explanations.values import Values
from studio.models.predictors.base import Predictor

BUDGET = 20_000
"""Rows that a model is asked about for one explanation, about; a person waits for it."""


def explainer_for(predictor: Predictor, background: pd.DataFrame, *, seed: int = 0, budget: int = BUDGET) -> Explainer:
    """What explains the rows of a predictor.

    Args:
        background: rows like those of training, the columns of ``predictor.info.columns``.
        budget: rows that the model may be asked about for one explanation.
    Raises:
        UserError: there is no background.
    """
    if not len(background):
        raise UserError("there are no rows to hold a row against, so nothing is explained. Build the dataset again.")
    types = [column.type for column in predictor.info.columns]
    if types == ["text"]:
        return _of_texts(predictor)
    if types == ["picture"]:
        return _of_pictures(predictor)
    from studio.evals.predictors.explanations.columns import ColumnExplainer

    return ColumnExplainer(Values.of(predictor), background, seed=seed, budget=budget)


def _of_texts(predictor: Predictor) -> Explainer:
    """Exact for sums over words, by gradients for networks, else by leaving words out."""
    values = Values.of(predictor)
    if values.additive:
        from studio.evals.predictors.explanations.weights import WordWeights

        found = WordWeights.of(values)
        if found is not None:
            return found
    if hasattr(getattr(predictor, "network", None), "judge"):
        from studio.evals.predictors.explanations.gradients import WordGradients

        return WordGradients(predictor)
    from studio.evals.predictors.explanations.words import LeftOutWords

    return LeftOutWords(values)


def _of_pictures(predictor: Predictor) -> Explainer:
    """Grad-CAM for networks with maps, else by covering parts."""
    if hasattr(getattr(predictor, "network", None), "maps"):
        from studio.evals.predictors.explanations.heat import GradCam

        return GradCam(predictor)
    from studio.evals.predictors.explanations.heat import CoveredParts

    return CoveredParts(Values.of(predictor))
