"""The description of a predictor from the rows it learned from: columns, what is typical of each, the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from studio.data.examples import Examples
from studio.models.predictors.base import Filling, PredictorInfo
from studio.schema.columns import Column
from studio.train.predictors.job import Job

_MOST_VALUES = 200
"""Values of a category that are kept for forms, the most frequent ones."""


def describe(job: Job) -> PredictorInfo:
    """The description of a predictor that is to be fitted; ``form`` is filled in by who fits it."""
    train = job.train
    assert train.target is not None and train.target_name is not None
    labels = job.labels
    return PredictorInfo(
        form="",
        task="labels" if job.gives_labels else "numbers",
        estimator=job.preset.estimator.type,
        columns=list(train.columns),
        fillings={column.name: _filling(column, train.features[column.name]) for column in train.columns},
        target=train.target_name,
        labels=labels,
        baseline=baseline_of(train),
        extra={"extra_columns": job.preset.extra_columns, "missing_columns": job.preset.missing_columns},
    )


def baseline_of(train: Examples) -> dict[str, float]:
    """Shares of the labels, or mean and median: what can be said without looking at a row."""
    assert train.target is not None
    if train.target.dtype == object:
        counts: Mapping[str, int] = Counter(train.target)
        return {label: count / len(train) for label, count in sorted(counts.items())}
    return {"mean": float(train.target.mean()), "median": float(np.median(train.target))}


def _filling(column: Column, values: pd.Series) -> Filling:
    """What is typical of a column."""
    missing = float(values.isna().mean())
    known = values.dropna()
    if known.empty or column.type in {"text", "picture"}:
        return Filling(missing=missing)
    if column.type == "number":
        return Filling(typical=float(known.median()), low=float(known.min()), high=float(known.max()), missing=missing)
    if column.type == "time":
        return Filling(typical=str(known.max()), missing=missing)
    counted = Counter(known).most_common(_MOST_VALUES)
    return Filling(typical=counted[0][0], values=[value for value, _ in counted], missing=missing)
