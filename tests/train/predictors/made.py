"""Rows of real tables as examples, and predictors fitted on them without a Run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.data.examples import Examples
from studio.models.predictors.base import Predictor
from studio.schema.columns import Column
from studio.schema.loading import validate
from studio.schema.predictors import ClassifierPreset, RegressorPreset
from studio.train.predictors.describing import describe
from studio.train.predictors.fitting import FITTERS
from studio.train.predictors.job import Job
from studio.train.recording import StopOnSignal


def columns_of(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Numbers are numbers, moments times, everything else categories."""

    def kind(values: pd.Series) -> str:
        if pd.api.types.is_numeric_dtype(values.dtype):
            return "number"
        return "time" if pd.api.types.is_datetime64_any_dtype(values.dtype) else "category"

    return tuple(Column(name=name, type=kind(frame[name])) for name in frame.columns)  # type: ignore[arg-type]


def examples(frame: pd.DataFrame, target: Any, columns: Sequence[Column] | None = None, name: str = "target") -> Examples:
    """Examples as a Dataset gives them."""
    found = np.asarray(target)
    numbers = np.issubdtype(found.dtype, np.floating)
    chosen = tuple(columns) if columns is not None else columns_of(frame)
    features = pd.DataFrame(
        {
            column.name: frame[column.name].to_numpy(np.float64)
            if column.type == "number"
            else frame[column.name].to_numpy()
            if column.type == "time"
            else np.array([None if value != value else value for value in frame[column.name]], dtype=object)
            for column in chosen
        }
    )
    return Examples(
        ids=[f"row {place}" for place in range(len(frame))],
        columns=chosen,
        features=features,
        target=found.astype(np.float64) if numbers else np.array([str(value) for value in found], dtype=object),
        target_name=name,
        others=pd.DataFrame(index=range(len(frame))),
    )


def sklearn_table(name: str) -> Examples:
    """iris, wine, breast_cancer (labels) or diabetes (numbers)."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")(as_frame=True)
    if name == "diabetes":
        return examples(found.data, found.target.to_numpy(np.float64))
    return examples(found.data, np.asarray(found.target_names)[found.target])


def preset(estimator: str | dict[str, Any], **settings: Any) -> ClassifierPreset | RegressorPreset:
    """A preset as its YAML gives it; ``kind`` is classifier unless it is said."""
    kind = settings.pop("kind", "classifier")
    said = {"type": estimator} if isinstance(estimator, str) else estimator
    return validate({"kind": kind, "estimator": said, **settings}, ClassifierPreset if kind == "classifier" else RegressorPreset)


def job_of(
    train: Examples, preset: ClassifierPreset | RegressorPreset, validation: Examples | None = None, **more: Any
) -> tuple[Job, list[str]]:
    """A job, and what it says."""
    told: list[str] = []
    return Job(Path("nowhere"), preset, train, validation, more.get("resume", False), told.append, StopOnSignal()), told


def fitted(
    train: Examples, preset: ClassifierPreset | RegressorPreset, validation: Examples | None = None
) -> tuple[Predictor, list[str]]:
    """A predictor as a training makes it, thresholds and intervals included, and what was said."""
    from studio.train.predictors.run import choose_on_validation

    job, told = job_of(train, preset, validation)
    predictor: Predictor = FITTERS.get(preset.estimator.type)(job, describe(job))
    choose_on_validation(job, predictor)
    return predictor, told
