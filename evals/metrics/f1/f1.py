"""F1, macro for ``evaluate.load("evals/metrics/f1")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import label_score

_DESCRIPTION = "Harmonic mean of precision and recall, the mean over the true classes, by scikit-learn."
_INPUTS = """
Args:
    predictions: list of labels.
    references: list of true labels.
Returns:
    f1: the score.
"""
_CITATION = "Pedregosa et al. 2011, scikit-learn"


class F1(evaluate.Metric):
    """F1, macro."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        return {"f1": label_score("f1_macro", predictions, references)}
