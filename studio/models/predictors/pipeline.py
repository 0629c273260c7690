"""Predictors of scikit-learn: the whole pipeline, preparation included, in one file of skops, which runs no code when opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import StudioError
from studio.models.predictors.base import Predictor, PredictorInfo, turned_back
from studio.models.predictors.features import plain_features

STATE = "pipeline.skops"
_COMPRESSION = 3
"""Of 9; trees shrink to a quarter, and more takes long for little."""

# What pipelines are made of beyond what skops trusts by itself; all of it is code of scikit-learn, numpy and Python that is
# installed here. A file that names anything else is refused: so is a partial of any function but these.
TRUSTED = (
    "functools.partial",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)


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
        import zipfile

        import skops.io

        skops.io.dump(self.pipeline, folder / STATE, compression=zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION)

    @classmethod
    def load(cls, folder: Path, info: PredictorInfo) -> PipelinePredictor:
        """See :meth:`studio.models.predictors.base.Predictor.load`."""
        return cls(info, open_skops(folder / STATE))


def open_skops(path: Path) -> Any:
    """What a file of skops holds.

    Raises:
        StudioError: it is missing, damaged, or names code that no predictor needs.
    """
    import zipfile

    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise StudioError(f"{path} names code that no predictor needs ({error}); it was not opened.") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise StudioError(
            f"{path} cannot be opened ({str(error).splitlines()[0] if str(error) else type(error).__name__})."
        ) from error
