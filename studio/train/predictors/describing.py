"""The description of a predictor from the rows it learned from: columns, what is typical of each, the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from studio.core.records import DatasetRecord
from studio.data.examples import Examples
from studio.models.predictors.base import Filling, PredictorInfo
from studio.schema.columns import Column
from studio.train.predictors.job import Job

_MOST_VALUES = 1000
"""Values of a category that are kept, the most frequent ones: as many as a table's recipe predicts from without being asked."""


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
        fillings=fillings_of(train),
        target=train.target_name,
        unit=_unit(job),
        labels=labels,
        baseline=baseline_of(train),
        extra=_extra(job),
    )


def _extra(job: Job) -> dict[str, Any]:
    """How files are read, and whether the logarithm is learned."""
    preset = job.preset
    found: dict[str, Any] = {"extra_columns": preset.extra_columns, "missing_columns": preset.missing_columns}
    if job.dataset is not None:
        found |= file_rules(job.dataset, job.train.columns)
    if preset.kind == "regressor" and preset.log_target:
        found["log_target"] = True
    return found


def _unit(job: Job) -> str | None:
    """Unit of the target, where its Dataset says one."""
    columns = (job.dataset.model_extra or {}).get("columns", []) if job.dataset is not None else []
    return next((facts.get("unit") for facts in columns if facts.get("name") == job.train.target_name), None)


def file_rules(record: DatasetRecord, columns: Sequence[Column]) -> dict[str, Any]:
    """What the recipe of a table says of how values are written, so that later files are read as its own were.

    Returns:
        ``values``: as in the recipe. ``formats``: of times, by column. ``flags``: columns that say where another has no value.
        ``folded``: what unknown categories of a column were called. Empty for what is no table.
    """
    if record.kind != "table":
        return {}
    recipe, facts = record.recipe, (record.model_extra or {}).get("columns", [])
    names = {column.name for column in columns}
    flags = [fact["name"] for fact in facts if fact.get("made_by") == "missing" and fact["name"] in names]
    folding = [step for step in recipe.get("steps", []) if step.get("step") == "rare_categories" and step.get("action") == "fold"]
    return {
        "values": recipe.get("values", {}),
        "formats": {said["name"]: said["formats"] for said in recipe.get("columns", []) if said.get("formats")},
        "flags": {name: name.removesuffix(" missing") for name in flags},
        "folded": {
            column.name: step["other"]
            for step in folding
            for column in columns
            if column.type == "category" and column.name not in flags and (not step["columns"] or column.name in step["columns"])
        },
    }


def baseline_of(train: Examples) -> dict[str, float]:
    """Shares of the labels, or mean and median: what can be said without looking at a row."""
    assert train.target is not None
    if train.target.dtype == object:
        counts: Mapping[str, int] = Counter(train.target)
        return {label: count / len(train) for label, count in sorted(counts.items())}
    return {"mean": float(train.target.mean()), "median": float(np.median(train.target))}


def fillings_of(rows: Examples) -> dict[str, Filling]:
    """What is typical of each feature."""
    # All numbers at once: with a dozen small columns most of a quick training would otherwise go into pandas' methods.
    numbers = [column.name for column in rows.columns if column.type == "number"]
    arrays = dict(zip(numbers, rows.features[numbers].to_numpy(np.float64).T, strict=True))
    return {
        column.name: _of_numbers(arrays[column.name]) if column.name in arrays else _filling(column, rows.features[column.name])
        for column in rows.columns
    }


def _of_numbers(values: np.ndarray) -> Filling:
    """What is typical of a column of numbers [n]."""
    known = values[~np.isnan(values)]
    missing = 1 - len(known) / len(values) if len(values) else 0.0
    if not len(known):
        return Filling(missing=missing)
    low, typical, high = (float(found(known)) for found in (np.min, np.median, np.max))
    return Filling(typical=typical, low=low, high=high, missing=missing)


def _filling(column: Column, values: pd.Series) -> Filling:
    """What is typical of a column that holds no numbers."""
    missing = float(values.isna().mean()) if len(values) else 0.0
    known = values.dropna()
    if known.empty or column.type in {"text", "picture"}:
        return Filling(missing=missing)
    if column.type == "time":
        return Filling(typical=str(known.max()), missing=missing)
    counted = Counter(known).most_common()
    most = [value for value, _ in counted[:_MOST_VALUES]]
    return Filling(typical=most[0], values=most, distinct=len(counted), missing=missing)
