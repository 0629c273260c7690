"""TER for ``evaluate.load("evals/metrics/ter")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import text_score

_DESCRIPTION = "Translation edit rate by sacrebleu: edits per 100 words of the reference; lower is better."
_INPUTS = """
Args:
    predictions: list of texts.
    references: list of texts, one per prediction.
Returns:
    score: the score.
    made_with: library and settings.
"""
_CITATION = "Snover et al. 2006, A Study of Translation Edit Rate"


class Ter(evaluate.Metric):
    """TER."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        found = text_score("ter", predictions, references)
        return {"score": found["value"], "made_with": found["made_with"]}
