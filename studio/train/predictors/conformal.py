"""The interval around a predicted number, from the errors on validation rows (split conformal,
https://arxiv.org/abs/1604.04173).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from studio.data.examples import Examples
from studio.models.predictors.base import Predictor

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset, RegressorPreset


def set_interval(predictor: Predictor, rows: Examples, preset: AnyPredictorPreset) -> dict[str, str]:
    """Put the half width into the predictor's description; none where the rows are too few for the level."""
    assert rows.target is not None
    errors = np.abs(predictor.scores(rows.features) - rows.target)
    level = cast("RegressorPreset", preset).interval
    half = half_width(errors, level)
    told = {"validation": f"mean absolute error {errors.mean():.4g} on {len(rows)} rows"}
    if half is None:
        return told | {"interval": f"none: {len(rows)} validation rows are too few for one at {level:.0%}"}
    predictor.info = predictor.info.model_copy(update={"interval": {"level": level, "half_width": half}})
    return told | {"interval": f"± {half:.4g} at {level:.0%}, from the errors on validation rows"}


def half_width(errors: np.ndarray, level: float) -> float | None:
    """The ceil((n + 1) level)-th smallest of n absolute errors [n]; None where that is more than n."""
    rank = math.ceil((len(errors) + 1) * level)
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else None
