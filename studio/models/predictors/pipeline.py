"""Predictors of scikit-learn: the whole pipeline, preparation included, in one file of skops, which runs no code when opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.models.predictors.base import Predictor, PredictorInfo, turned_back
from studio.models.predictors.features import plain_features
from studio.models.predictors.saved import open_skops, write_skops

STATE = "pipeline.skops"


class PipelinePredictor(Predictor):
    """A fitted pipeline of scikit-learn that takes the plain features of a row."""

    form = "pipeline"

    def __init__(self, info: PredictorInfo, pipeline: Any) -> None:
        """``pipeline`` has ``predict_proba`` for labels (``classes_`` in the order of ``info.labels``), ``predict`` for
        numbers.
        """
        super().__init__(info)
        self.pipeline = pipeline

    def scores(self, features: pd.DataFrame) -> np.ndarray:
        """See :meth:`studio.models.predictors.base.Predictor.scores`."""
        plain = plain_features(features, self.info.columns)
        if self.info.task == "numbers":
            return turned_back(np.asarray(self.pipeline.predict(plain), dtype=np.float64), self.info)
        return np.asarray(self.pipeline.predict_proba(plain), dtype=np.float64)

    def write(self, folder: Path) -> None:
        """One file."""
        write_skops(self.pipeline, folder / STATE)

    @classmethod
    def load(cls, folder: Path, info: PredictorInfo) -> PipelinePredictor:
        """See :meth:`studio.models.predictors.base.Predictor.load`."""
        return cls(info, open_skops(folder / STATE))
