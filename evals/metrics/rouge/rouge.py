"""ROUGE for ``evaluate.load("evals/metrics/rouge")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import text_score

_DESCRIPTION = "ROUGE-1, -2 and -L by rouge-score: F1, words of any script, no stemming, the mean over answers."
_INPUTS = """
Args:
    predictions: list of texts.
    references: list of texts, one per prediction.
Returns:
    rouge1, rouge2, rougeL: F1, 0 to 1.
"""
_CITATION = "Lin 2004, ROUGE"


class Rouge(evaluate.Metric):
    """ROUGE."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        kinds = ("rouge1", "rouge2", "rougeL")
        return {kind: text_score(kind, predictions, references)["value"] for kind in kinds}
