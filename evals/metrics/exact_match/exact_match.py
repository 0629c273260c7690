"""Exact match for ``evaluate.load("evals/metrics/exact_match")``, offline: the studio's own metric in evaluate's folder
format.
"""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import text_score

_DESCRIPTION = "Share of answers equal to the reference after SQuAD normalisation."
_INPUTS = """
Args:
    predictions: list of texts.
    references: list of texts, one per prediction.
Returns:
    exact_match: the score.
    made_with: library and settings.
"""
_CITATION = "Rajpurkar et al. 2016, SQuAD"


class ExactMatch(evaluate.Metric):
    """Exact match."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        found = text_score("exact_match", predictions, references)
        return {"exact_match": found["value"], "made_with": found["made_with"]}
