"""Precision, macro for ``evaluate.load("evals/metrics/precision")``, offline: the studio's own metric in evaluate's folder
format.
"""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import label_score

_DESCRIPTION = "Of what is labelled as a class, how much is right; the mean over the true classes."
_INPUTS = """
Args:
    predictions: list of labels.
    references: list of true labels.
Returns:
    precision: the score.
"""
_CITATION = "Pedregosa et al. 2011, scikit-learn"


class Precision(evaluate.Metric):
    """Precision, macro."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        return {"precision": label_score("precision_macro", predictions, references)}
