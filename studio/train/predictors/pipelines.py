"""Estimators of scikit-learn: prepared columns, and what is fitted on them."""

from __future__ import annotations

from typing import Any

from studio.models.predictors.base import PredictorInfo
from studio.models.predictors.features import plain_features, plain_groups
from studio.models.predictors.pipeline import PipelinePredictor
from studio.schema.estimators import Logistic, Preparation, Ridge
from studio.train.predictors.job import Job


def fit_pipeline(job: Job, info: PredictorInfo) -> PipelinePredictor:
    """Fit preparation and estimator on the training rows."""
    from sklearn.pipeline import make_pipeline

    plain = plain_features(job.train.features, info.columns)
    preparation = prepare(job.preset.preparation, plain_groups(info.columns))
    prepared = preparation.fit_transform(plain)
    estimator = estimator_for(job)
    estimator.fit(prepared, job.train.target)
    return PipelinePredictor(info.model_copy(update={"form": PipelinePredictor.form}), make_pipeline(preparation, estimator))


def prepare(settings: Preparation, groups: dict[str, list[str]]) -> Any:
    """The transformer of plain columns into a matrix."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts: list[tuple[str, Any, Any]] = []
    if groups["number"]:
        parts.append(("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), groups["number"]))
    if groups["category"]:
        parts.append(
            ("categories", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=settings.rare), groups["category"])
        )
    for name in groups["text"]:
        parts.append((f"words of {name}", TfidfVectorizer(sublinear_tf=True, min_df=settings.texts.min_rows), name))
    return ColumnTransformer(parts)


def estimator_for(job: Job) -> Any:
    """The unfitted estimator of a preset."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.linear_model import Ridge as RidgeRegression

    settings = job.preset.estimator
    match settings:
        case Logistic():
            return LogisticRegression(C=settings.C, max_iter=settings.max_iter, random_state=job.preset.seed)
        case Ridge():
            return RidgeRegression(alpha=settings.alpha)
    raise NotImplementedError(settings.type)
