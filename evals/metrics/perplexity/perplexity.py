"""Perplexity for ``evaluate.load("evals/metrics/perplexity")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import perplexity_metric

_DESCRIPTION = "exp of the mean negative log-likelihood per token of plain texts, after exactly one BOS or EOS token."
_CITATION = "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks"

Perplexity = perplexity_metric(__name__, "Perplexity", title="Perplexity", description=_DESCRIPTION, citation=_CITATION)
