"""Recall, macro for ``evaluate.load("evals/metrics/recall")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import label_score

_DESCRIPTION = "Of the examples of a class, how many are found; the mean over the true classes."
_INPUTS = """
Args:
    predictions: list of labels.
    references: list of true labels.
Returns:
    recall: the score.
"""
_CITATION = "Pedregosa et al. 2011, scikit-learn"


class Recall(evaluate.Metric):
    """Recall, macro."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        return {"recall": label_score("recall_macro", predictions, references)}
