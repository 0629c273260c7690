"""TER for ``evaluate.load("evals/metrics/ter")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import text_metric

_DESCRIPTION = "Translation edit rate by sacrebleu: edits per 100 words of the reference; lower is better."
_CITATION = "Snover et al. 2006, A Study of Translation Edit Rate"

Ter = text_metric(__name__, "Ter", "ter", title="TER", description=_DESCRIPTION, citation=_CITATION, gives="score")
