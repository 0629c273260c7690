"""chrF for ``evaluate.load("evals/metrics/chrf")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import text_score

_DESCRIPTION = "chrF by sacrebleu, points of 100, all answers pooled."
_INPUTS = """
Args:
    predictions: list of texts.
    references: list of texts, one per prediction.
Returns:
    score: the score.
    made_with: library and settings.
"""
_CITATION = "Popović 2015, chrF: character n-gram F-score"


class Chrf(evaluate.Metric):
    """chrF."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        found = text_score("chrf", predictions, references)
        return {"score": found["value"], "made_with": found["made_with"]}
