"""Accuracy for ``evaluate.load("evals/metrics/accuracy")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import label_score

_DESCRIPTION = "Share of labels that are right, by scikit-learn."
_INPUTS = """
Args:
    predictions: list of labels.
    references: list of true labels.
Returns:
    accuracy: the score.
"""
_CITATION = "Pedregosa et al. 2011, scikit-learn"


class Accuracy(evaluate.Metric):
    """Accuracy."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        return {"accuracy": label_score("accuracy", predictions, references)}
