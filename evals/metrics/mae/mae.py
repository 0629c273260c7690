"""Mean absolute error for ``evaluate.load("evals/metrics/mae")``, offline: the studio's own metric in evaluate's folder
format.
"""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import number_score

_DESCRIPTION = "Mean of how far the numbers are off, by scikit-learn."
_INPUTS = """
Args:
    predictions: list of numbers.
    references: list of true numbers.
Returns:
    mae: the score.
"""
_CITATION = "Pedregosa et al. 2011, scikit-learn"


class Mae(evaluate.Metric):
    """Mean absolute error."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("float64"), "references": datasets.Value("float64")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, Any]:
        return {"mae": number_score("mae", predictions, references)}
