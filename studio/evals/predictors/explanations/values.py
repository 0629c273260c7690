"""The number that is explained: log-odds of a linear model, else a probability; the prediction of a model of numbers.

Legend: n rows, k labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from studio.models.predictors.base import Predictor
from studio.models.predictors.features import plain_features

LOG_ODDS = "log-odds"
PROBABILITY = "probability"

# Estimators whose score is a sum over their features.
_ADDITIVE = ("LogisticRegression", "Ridge")


@dataclass(frozen=True)
class Values:
    """What is explained of a predictor.

    additive: it is a sum over the columns, each prepared by itself. unit: of the values.
    """

    predictor: Predictor
    additive: bool
    unit: str

    @classmethod
    def of(cls, predictor: Predictor) -> Values:
        """Log-odds where the model is linear in them, probabilities elsewhere; numbers as they are."""
        info = predictor.info
        linear = _last_step(predictor) in _ADDITIVE and not info.extra.get("log_target")
        if info.task == "numbers":
            return cls(predictor, linear, info.unit or "units of the target")
        return cls(predictor, linear, LOG_ODDS if linear else PROBABILITY)

    def __call__(self, features: pd.DataFrame, label: str | None) -> np.ndarray:
        """Values float64 [n]; ``label`` is None for numbers only."""
        if label is None:
            return np.asarray(self.predictor.scores(features), dtype=np.float64)
        place = self.predictor.info.labels.index(label)
        if self.unit == LOG_ODDS:
            return margin(self._decisions(features), place)
        shares: np.ndarray = self.predictor.scores(features)[:, place]
        return shares

    def given(self, row: pd.DataFrame) -> str | None:
        """The label that is given to a row [1, columns]; None for numbers."""
        return str(self.predictor.predict(row).values[0]) if self.predictor.info.task == "labels" else None

    def _decisions(self, features: pd.DataFrame) -> np.ndarray:
        """Scores of a linear model before they become probabilities, [n, k]; of two labels 0 and the log-odds of the second."""
        pipeline: Any = self.predictor.pipeline  # type: ignore[attr-defined]  # linear models are pipelines
        found = np.asarray(pipeline.decision_function(plain_features(features, self.predictor.info.columns)), dtype=np.float64)
        return np.stack([np.zeros_like(found), found], axis=1) if found.ndim == 1 else found


def margin(scores: np.ndarray, place: int) -> np.ndarray:
    """By how much a label's score lies above the mean of the others, [n, k] -> [n].

    Of two labels these are the log-odds. Of more it is the logarithm of the label's probability over the geometric mean of the
    others', which, unlike log-odds, is linear in the scores.
    """
    others = np.delete(scores, place, axis=1)
    found: np.ndarray = scores[:, place] - others.mean(axis=1)
    return found


def _last_step(predictor: Predictor) -> str:
    """Class of the estimator of a pipeline; nothing for networks."""
    pipeline = getattr(predictor, "pipeline", None)
    return type(pipeline[-1]).__name__ if pipeline is not None else ""
