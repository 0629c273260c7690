"""Mean squared error for ``evaluate.load("evals/metrics/mse")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import number_score

_DESCRIPTION = "Mean of the squared errors, by scikit-learn."
_INPUTS = """
Args:
    predictions: list of numbers.
    references: list of true numbers.
Returns:
    mse: the score.
"""
_CITATION = "Pedregosa et al. 2011, scikit-learn"


class Mse(evaluate.Metric):
    """Mean squared error."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("float64"), "references": datasets.Value("float64")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, Any]:
        return {"mse": number_score("mse", predictions, references)}
