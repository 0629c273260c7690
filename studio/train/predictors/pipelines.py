"""Estimators of scikit-learn, top to bottom: prepare the columns, balance the labels, fit, put it together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from studio.models.predictors.base import PredictorInfo
from studio.models.predictors.features import plain_features, plain_groups
from studio.models.predictors.pipeline import PipelinePredictor
from studio.schema.estimators import Boosting, Forest, Logistic, NaiveBayes, Ridge, Svm
from studio.train.predictors.calibration import fit_machine
from studio.train.predictors.estimators import fit_boosting, fit_estimator, told_warnings
from studio.train.predictors.job import Job
from studio.train.predictors.preparation import WANTS, prepare
from studio.train.predictors.resampling import Rows, balanced, counts_sentence, counts_told, weights_like
from studio.train.predictors.stopping import at_once

if TYPE_CHECKING:
    from studio.schema.predictors import ClassifierPreset, RegressorPreset


def fit_pipeline(job: Job, info: PredictorInfo) -> PipelinePredictor | None:
    """Fit preparation and estimator on the training rows; None when a signal came.

    Raises:
        UserError, DataError: the rows are not what the preset needs.
    """
    from sklearn.pipeline import make_pipeline

    if job.resume:
        job.say(f"{info.estimator} is fitted in one go and keeps nothing on the way: it starts again from the rows")
    with at_once(job), told_warnings(job.note):
        plain = plain_features(job.train.features, info.columns)
        groups = plain_groups(info.columns)
        preparation = prepare(job.preset.preparation, plain, groups, WANTS[info.estimator], seed=job.preset.seed, note=job.note)
        matrix = preparation.fit_transform(plain)
        rows, counted = _training_rows(job, plain, matrix, preparation)
        estimator = _fitted(job, info, rows, preparation, groups)
        extra = {**info.extra, "result": counted}
        described = info.model_copy(update={"form": PipelinePredictor.form, "extra": extra})
        return PipelinePredictor(described, make_pipeline(preparation, estimator))
    return None


def _training_rows(job: Job, plain: pd.DataFrame, matrix: Any, preparation: Any) -> tuple[Rows, dict[str, Any]]:
    """Prepared training rows, their labels balanced as the preset says, and what the record says of it."""
    target = job.train.target
    assert target is not None
    if not job.gives_labels:
        logs = cast("RegressorPreset", job.preset).log_target
        return Rows(matrix, np.log(target) if logs else target), {}
    preset = cast("ClassifierPreset", job.preset)
    rows = balanced(preset, job.train.columns, plain, matrix, target, preparation)
    if preset.imbalance == "none":
        return rows, {}
    counts = counts_told(target, rows)
    job.say(counts_sentence(preset.imbalance, counts))
    return rows, {"imbalance": {"method": preset.imbalance, **counts}}


def _fitted(job: Job, info: PredictorInfo, rows: Rows, preparation: Any, groups: dict[str, list[str]]) -> Any:
    """The estimator of the preset, fitted."""
    settings, seed = job.preset.estimator, job.preset.seed
    if isinstance(settings, Svm):
        if job.gives_labels and cast("ClassifierPreset", job.preset).imbalance == "smote":
            job.note("probabilities are learned on folds that share neighbours of made-up rows, and so are too sure: see weights")
        return fit_machine(settings, rows, seed=seed, note=job.note)
    if isinstance(settings, Boosting):
        validation = _validation_rows(job, info, rows, preparation)
        categories = len(groups["category"])
        return fit_boosting(settings, rows, validation, labels=job.gives_labels, categories=categories, seed=seed, note=job.note)
    assert isinstance(settings, Logistic | NaiveBayes | Forest | Ridge)
    return fit_estimator(settings, rows, labels=job.gives_labels, texts=not groups["number"], seed=seed)


def _validation_rows(job: Job, info: PredictorInfo, rows: Rows, preparation: Any) -> Rows | None:
    """Prepared validation rows to stop early by; those with a label that no training row has cannot be used."""
    held = job.validation
    if held is None or not len(held):
        return None
    assert held.target is not None and job.train.target is not None
    if not job.gives_labels:
        logs = cast("RegressorPreset", job.preset).log_target
        usable = held.target > 0 if logs else np.ones(len(held), dtype=bool)
        held = held.part(np.flatnonzero(usable))
        assert held.target is not None
        matrix = preparation.transform(plain_features(held.features, info.columns))
        return Rows(matrix, np.log(held.target) if logs else held.target)
    assert held.target is not None
    known = np.isin(held.target.astype(str), info.labels)
    if not known.all():
        job.note(f"{int((~known).sum())} of {len(held)} validation rows have labels that no training row has")
    held = held.part(np.flatnonzero(known))
    assert held.target is not None
    matrix = preparation.transform(plain_features(held.features, info.columns))
    return Rows(matrix, held.target, weights=weights_like(held.target, job.train.target, rows))
