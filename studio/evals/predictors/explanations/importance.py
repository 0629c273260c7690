"""Which columns matter over many rows: how much worse the model does when a column's values are exchanged between rows.

Legend: n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studio.evals.predictors.explanations.means import mean_interval
from studio.evals.statistics import owners_of
from studio.models.predictors.base import Predictor

_REPEATS = 5
_FEWEST_ROWS = 20


@dataclass(frozen=True)
class Importance:
    """By how much the loss grows without a column, its 95% interval (None from few rows), and how many rows it rests on."""

    feature: str
    value: float
    low: float | None
    high: float | None
    rows: int


def permutation_importance(
    predictor: Predictor,
    features: pd.DataFrame,
    truth: np.ndarray,
    *,
    seed: int,
    budget: int,
    clusters: Sequence[object] | None = None,
) -> list[Importance]:
    """Every column in order, over rows that the model was not trained on.

    The loss is minus the logarithm of the true label's probability (nats), or the absolute error. Values of a column are
    exchanged between rows five times; the mean growth of each row's loss is one observation.

    Args:
        budget: rows that the model may be asked about; with more columns fewer rows are taken.
    Source: Breiman 2001, https://doi.org/10.1023/A:1010933404324, section 10; on held-out rows and with intervals: Fisher, Rudin
    and Dominici 2019, https://arxiv.org/abs/1801.01489.
    """
    generator = np.random.default_rng(seed)
    columns = predictor.info.columns
    count = min(len(features), max(_FEWEST_ROWS, budget // (_REPEATS * len(columns))))
    places = np.sort(generator.permutation(len(features))[:count])
    rows, known = features.iloc[places].reset_index(drop=True), truth[places]
    owners = owners_of(np.isin(np.arange(len(features)), places), clusters)
    before = losses(predictor, rows, known)
    found = []
    for column in columns:
        values = rows[column.name].to_numpy()
        exchanged = [rows.assign(**{column.name: values[generator.permutation(count)]}) for _ in range(_REPEATS)]
        after = losses(predictor, pd.concat(exchanged, ignore_index=True), np.tile(known, _REPEATS))
        growth = after.reshape(_REPEATS, count).mean(axis=0) - before
        found.append(Importance(column.name, float(growth.mean()), *mean_interval(growth, owners), count))
    return found


def losses(predictor: Predictor, features: pd.DataFrame, truth: np.ndarray) -> np.ndarray:
    """Loss of each row [n]: nats of the true label, or the absolute error."""
    said = predictor.scores(features)
    if predictor.info.task == "numbers":
        off: np.ndarray = np.abs(said - truth)
        return off
    place = {label: number for number, label in enumerate(predictor.info.labels)}
    came = np.array([said[row, place[label]] if label in place else 0.0 for row, label in enumerate(truth)])
    small = np.finfo(np.float64).eps
    nats: np.ndarray = -np.log(np.clip(came, small, 1.0))
    return nats
