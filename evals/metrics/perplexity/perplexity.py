"""Perplexity for ``evaluate.load("evals/metrics/perplexity")``, offline: the studio's own metric in evaluate's folder format."""

from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import text_perplexity

_DESCRIPTION = "exp of the mean negative log-likelihood per token of plain texts, after exactly one BOS or EOS token."
_INPUTS = """
Args:
    predictions: list of texts.
    model_id: starter name, folder or Hub id of a causal model.
    batch_size: texts per forward pass.
Returns:
    perplexity: over all tokens pooled.
    perplexities: of each text, None where there is nothing to score.
"""
_CITATION = "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks"


class Perplexity(evaluate.Metric):
    """Perplexity."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions: list[str], model_id: str, batch_size: int = 16) -> dict[str, Any]:
        return text_perplexity(predictions, model_id, batch_size=batch_size)
