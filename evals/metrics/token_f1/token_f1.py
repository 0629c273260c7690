"""Token F1 for ``evaluate.load("evals/metrics/token_f1")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import text_score

_DESCRIPTION = "F1 of the bags of words after SQuAD normalisation, the mean over answers."
_INPUTS = """
Args:
    predictions: list of texts.
    references: list of texts, one per prediction.
Returns:
    f1: the score.
    made_with: library and settings.
"""
_CITATION = "Rajpurkar et al. 2016, SQuAD"


class TokenF1(evaluate.Metric):
    """Token F1."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        found = text_score("token_f1", predictions, references)
        return {"f1": found["value"], "made_with": found["made_with"]}
