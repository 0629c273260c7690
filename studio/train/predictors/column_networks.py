"""Training a plain network on prepared columns: labels or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from studio.data.examples import Examples
from studio.models.predictors.base import PredictorInfo
from studio.models.predictors.column_network import ColumnNetworkPredictor, build_column_network, dense_rows
from studio.models.predictors.features import plain_features, plain_groups
from studio.schema.networks import Mlp
from studio.schema.predictors import ClassifierPreset, RegressorPreset
from studio.train.predictors.job import Job
from studio.train.predictors.learning import known_rows, learn, seeded
from studio.train.predictors.objective import Objective, Readable, label_objective, label_targets, numbered
from studio.train.predictors.preparation import Wants, prepare
from studio.train.predictors.resampling import Rows, balanced

WANTS = Wants(scaled=True, dense=True)
"""Numbers of one size; texts as few numbers, because a layer has a weight for each of them."""


def fit_column_network(job: Job, info: PredictorInfo) -> ColumnNetworkPredictor | None:
    """Fit the preparation, then train; None when a signal stopped it after saving a checkpoint.

    Raises:
        UserError, DataError: the rows are not what the preset needs.
    """
    settings = job.preset.estimator
    assert isinstance(settings, Mlp)
    plain, groups = plain_features(job.train.features, info.columns), plain_groups(info.columns)
    preparation = prepare(job.preset.preparation, plain, groups, WANTS, seed=job.preset.seed, note=job.note)
    matrix = preparation.fit_transform(plain)
    shape = {
        "type": settings.type,
        "features": int(matrix.shape[1]),
        "depth": settings.depth,
        "width": settings.width,
        "activation_name": settings.activation,
        "dropout": settings.dropout,
    }
    if job.gives_labels:
        assert job.train.target is not None
        rows = balanced(cast("ClassifierPreset", job.preset), job.train.columns, plain, matrix, job.train.target, preparation)
        objective, told = label_objective(job, rows, settings.label_smoothing)
        train = Readable(_batches(rows.matrix), numbered(rows.target, job.labels))
        held = _held_labels(job, info, preparation)
        shape |= {"outputs": len(job.labels)}
    else:
        target, rows, told = _numbers(job, job.train), Rows(matrix, np.empty(0)), {}
        objective, scale = Objective(labels=False), _scale(target)
        train = Readable(_batches(matrix), _scaled(target, scale))
        held = _held_numbers(job, info, preparation, scale)
        shape |= {"outputs": 1, **scale}
    with seeded(job.preset.seed):
        network = build_column_network(shape)
    figures = learn(job, network, train, held, objective, np.arange(len(train.targets)))
    if figures is None:
        return None
    extra = {**info.extra, "result": {**figures, **told, "features": shape["features"]}}
    described = info.model_copy(update={"form": ColumnNetworkPredictor.form, "extra": extra})
    return ColumnNetworkPredictor(described, preparation, network, shape)


def _held_labels(job: Job, info: PredictorInfo, preparation: Any) -> Readable | None:
    """Validation rows of a classifier."""
    if job.validation is None or not len(job.validation):
        return None
    matrix = preparation.transform(plain_features(job.validation.features, info.columns))
    held = Readable(_batches(matrix), label_targets(job.validation, job.labels))
    return held if known_rows(held) else None


def _held_numbers(job: Job, info: PredictorInfo, preparation: Any, scale: dict[str, float]) -> Readable | None:
    """Validation rows of a regressor; without those that have no logarithm where it is learned."""
    held = job.validation
    if held is None or not len(held):
        return None
    assert held.target is not None
    if cast("RegressorPreset", job.preset).log_target:
        held = held.part(np.flatnonzero(held.target > 0))
    if not len(held):
        return None
    matrix = preparation.transform(plain_features(held.features, info.columns))
    return Readable(_batches(matrix), _scaled(_numbers(job, held), scale))


def _numbers(job: Job, rows: Examples) -> np.ndarray:
    """What is learned of the target, float64 [n]: itself or its logarithm."""
    assert rows.target is not None
    numbers: np.ndarray = np.log(rows.target) if cast("RegressorPreset", job.preset).log_target else rows.target
    return numbers


def _scale(numbers: np.ndarray) -> dict[str, float]:
    """Mean and spread of the training rows' target, which the network sees as 0 and 1."""
    return {"center": float(numbers.mean()), "spread": float(numbers.std())}


def _scaled(numbers: np.ndarray, scale: dict[str, float]) -> Tensor:
    """Targets as the network sees them, float32 [n]."""
    return torch.tensor((numbers - scale["center"]) / scale["spread"], dtype=torch.float32)


def _batches(matrix: Any) -> Any:
    """What :class:`Readable` calls for the rows of a batch."""

    def inputs(places: Sequence[int], _draws: torch.Generator | None) -> tuple[Tensor, ...]:
        return (dense_rows(matrix, places),)

    return inputs
