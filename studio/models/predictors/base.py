"""What a predictor is: columns in, labels or numbers out, with how sure it is; and ``predictor.json``, which describes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from studio.core.records import Record
from studio.schema.columns import Column

DESCRIPTION = "predictor.json"
_LARGEST_EXPONENT = 709.0


class Filling(Record):
    """What is known of a column, for forms, checks of files, and explanations.

    typical: the median of numbers or the most frequent value. low, high: range of the training rows' numbers. values: known
    values of a category, the most frequent first; distinct: how many there are, more than in ``values`` where those would fill
    pages. missing: share of training rows without a value.
    """

    typical: float | str | None = None
    low: float | None = None
    high: float | None = None
    values: list[str] = []
    distinct: int = 0
    missing: float = 0.0


class PredictorInfo(Record):
    """``model/predictor.json``: what a saved predictor needs to be opened and asked.

    form: which class opens it (:data:`studio.models.predictors.opening.FORMS`). task: labels or numbers. estimator: type as in
    the preset. columns: the features, in order. fillings: what is known of each. target: column that is predicted; unit: of a
    number. labels: in the order of the probabilities, empty for numbers. positive, threshold: of two labels, the rarer one and
    the probability from which on it is given, None for the likeliest label. baseline: shares of the labels in the training rows,
    or their mean and median (keys ``mean``, ``median``), which answer where nothing is known of a row. interval: nominal level
    and half width of the interval around a number (split conformal, on validation rows), empty where there were too few. extra:
    how files are read (``values``, ``formats``, ``extra_columns``, ``missing_columns``), ``log_target`` where the logarithm was
    learned, and what the form needs.
    """

    form: str
    task: Literal["labels", "numbers"]
    estimator: str
    columns: list[Column]
    fillings: dict[str, Filling] = {}
    target: str
    unit: str | None = None
    labels: list[str] = []
    positive: str | None = None
    threshold: float | None = None
    baseline: dict[str, float] = {}
    interval: dict[str, float] = {}
    extra: dict[str, Any] = {}


@dataclass(frozen=True)
class Prediction:
    """What a predictor says of n rows.

    values: labels as str (object) [n], or numbers float64 [n]. probabilities: float64 [n, k] in the order of ``labels``, None for
    numbers. low, high: the interval around each number, float64 [n], None where there is none.
    """

    values: np.ndarray
    labels: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None


class Predictor(ABC):
    """A trained model, opened."""

    form: ClassVar[str]
    """Name in :data:`studio.models.predictors.opening.FORMS`."""

    def __init__(self, info: PredictorInfo) -> None:
        """``info`` describes it; a form adds what it computes with."""
        self.info = info

    @abstractmethod
    def scores(self, features: pd.DataFrame) -> np.ndarray:
        """Probabilities float64 [n, k] in the order of ``info.labels``, or numbers float64 [n].

        Args:
            features: the columns of ``info.columns``, as :class:`studio.data.examples.Examples` has them.
        """

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write all but ``predictor.json`` into a folder, in a form that runs no code when it is opened."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, info: PredictorInfo) -> Predictor:
        """Open what :meth:`write` wrote.

        Raises:
            StudioError: a file is missing or damaged.
        """

    def predict(self, features: pd.DataFrame) -> Prediction:
        """Labels with probabilities, or numbers with an interval where there is one."""
        found = self.scores(features)
        if self.info.task == "numbers":
            half = self.info.interval.get("half_width")
            return Prediction(found) if half is None else Prediction(found, low=found - half, high=found + half)
        labels = tuple(self.info.labels)
        return Prediction(chosen(found, labels, self.info.positive, self.info.threshold), labels, found)


def turned_back(numbers: np.ndarray, info: PredictorInfo) -> np.ndarray:
    """Numbers in the target's unit [n], of a model that learned their logarithm where ``extra`` says ``log_target``.

    What would be too large for a float stays just below that.
    """
    if not info.extra.get("log_target"):
        return numbers
    most: np.ndarray = np.exp(np.minimum(numbers, _LARGEST_EXPONENT))
    return most


def chosen(probabilities: np.ndarray, labels: Sequence[str], positive: str | None, threshold: float | None) -> np.ndarray:
    """The label given to each row [n]: the likeliest, or of two labels the positive one from its threshold on."""
    names = np.array(labels, dtype=object)
    if positive is None or threshold is None:
        likeliest: np.ndarray = names[probabilities.argmax(axis=1)]
        return likeliest
    place = list(labels).index(positive)
    given: np.ndarray = names[np.where(probabilities[:, place] >= threshold, place, 1 - place)]
    return given
