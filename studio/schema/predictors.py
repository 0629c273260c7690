"""Presets of predictors: one way to learn labels or numbers from rows. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.estimators import Boosting, Forest, Logistic, NaiveBayes, Preparation, Ridge, Svm
from studio.schema.networks import Bert, Gru, Lstm, Mlp, MobileNet, ResNet, SmallCnn, TextCnn
from studio.schema.preset import Preset

ClassifierEstimator = Annotated[
    Logistic | Svm | NaiveBayes | Forest | Boosting | Mlp | Bert | Lstm | Gru | TextCnn | ResNet | MobileNet | SmallCnn,
    Field(discriminator="type"),
]
RegressorEstimator = Annotated[Ridge | Forest | Boosting | Mlp, Field(discriminator="type")]


class PredictorPreset(Preset):
    """What presets of labels and of numbers share."""

    data: str | None = None
    """Default Dataset."""
    model: str | None = None
    """Base weights, for estimators that start from some: a starter, a local folder or a Hub id."""
    target: str | None = None
    """Column that is predicted; None takes the Dataset's own."""
    features: list[str] | None = None
    """Columns it is predicted from; None takes all that the Dataset names."""
    preparation: Preparation = Preparation()
    """What is learned from the training rows before the estimator."""
    extra_columns: Literal["ignore", "refuse"] = "ignore"
    """Columns of a file that the predictor does not know, when it is asked: left out and named, or refused."""
    missing_columns: Literal["refuse", "fill"] = "refuse"
    """Columns that a file lacks: refused, or filled as missing values are, and named."""
    seed: int = 0
    """Seed of everything random; the same seed gives the same bits."""


class ClassifierPreset(PredictorPreset):
    """Labels from rows: tables, texts, pictures."""

    kind: Literal["classifier"]
    """What is trained."""
    estimator: ClassifierEstimator
    """What is fitted."""
    imbalance: Literal["none", "weights", "oversample", "undersample", "smote"] = "none"
    """What is done where labels are unequally frequent, on training rows only: weights in the loss, copies of rows of rare
    labels, fewer of frequent ones, or rows between neighbours (SMOTE, https://arxiv.org/abs/1106.1813; numbers only). All of
    them distort the probabilities; a tuned threshold does not."""
    smote_neighbours: Annotated[int, Field(gt=0)] = 5
    """Neighbours that SMOTE draws between; a label with no more rows than that is refused."""
    threshold: Literal["likeliest", "tuned"] = "likeliest"
    """Two labels: ``tuned`` chooses the probability from which on the rarer one is given, by F1 on the validation rows."""

    @model_validator(mode="after")
    def _pictures_take_no_columns(self) -> ClassifierPreset:
        """Made-up rows lie between rows of numbers."""
        networks = {"bert", "lstm", "gru", "text-cnn", "resnet", "mobilenet", "small-cnn"}
        if self.imbalance == "smote" and self.estimator.type in networks:
            raise ValueError(
                f"imbalance smote makes rows between rows of numbers, and {self.estimator.type} reads texts or pictures. "
                "Take weights or oversample."
            )
        return self


class RegressorPreset(PredictorPreset):
    """Numbers from rows."""

    kind: Literal["regressor"]
    """What is trained."""
    estimator: RegressorEstimator
    """What is fitted."""
    log_target: bool = False
    """Learn the logarithm of the target and turn answers back; for targets above 0 whose errors grow with their size."""
    interval: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Level of the interval around each number: split conformal, from the errors on the validation rows
    (https://arxiv.org/abs/1604.04173)."""


AnyPredictorPreset = ClassifierPreset | RegressorPreset
"""A preset of labels or of numbers."""
