"""BLEU for ``evaluate.load("evals/metrics/bleu")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import text_score

_DESCRIPTION = "BLEU by sacrebleu, points of 100, all answers pooled."
_INPUTS = """
Args:
    predictions: list of texts.
    references: list of texts, one per prediction.
Returns:
    score: the score.
    made_with: library and settings.
"""
_CITATION = "Post 2018, A Call for Clarity in Reporting BLEU Scores"


class Bleu(evaluate.Metric):
    """BLEU."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        found = text_score("bleu", predictions, references)
        return {"score": found["value"], "made_with": found["made_with"]}
