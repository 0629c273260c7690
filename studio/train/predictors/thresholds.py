"""The probability from which on the rarer of two labels is given, chosen on validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from studio.data.examples import Examples
from studio.models.predictors.base import Predictor
from studio.train.predictors.job import Job

if TYPE_CHECKING:
    from studio.schema.predictors import ClassifierPreset


def set_threshold(predictor: Predictor, rows: Examples, job: Job) -> dict[str, str]:
    """Name the rarer of two labels as the positive one; with ``threshold: tuned`` choose its probability by F1."""
    info = predictor.info
    if len(info.labels) != 2:
        return {}
    positive = min(info.labels, key=lambda label: info.baseline.get(label, 0.0))
    change: dict[str, object] = {"positive": positive}
    told = {}
    if cast("ClassifierPreset", job.preset).threshold == "tuned":
        assert rows.target is not None
        threshold, value = best_threshold(
            predictor.scores(rows.features)[:, info.labels.index(positive)], rows.target == positive
        )
        change["threshold"] = threshold
        told = {
            "threshold": f"{positive} from a probability of {threshold:.3f} on (F1 {value:.3f} on {len(rows)} validation rows)"
        }
    predictor.info = info.model_copy(update=change)
    return told


def best_threshold(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The threshold with the best F1, and that F1; of equals the one nearest 0.5.

    Args:
        scores: probabilities of the positive label [n]. truth: bool [n].
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(truth, scores)
    total = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], total, out=np.zeros_like(total), where=total > 0)
    best = np.flatnonzero(np.isclose(f1, f1.max()))
    place = best[np.abs(thresholds[best] - 0.5).argmin()]
    return float(thresholds[place]), float(f1[place])
