"""Token F1 for ``evaluate.load("evals/metrics/token_f1")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import text_metric

_DESCRIPTION = "F1 of the bags of words after SQuAD normalisation, the mean over answers."
_CITATION = "Rajpurkar et al. 2016, SQuAD"

TokenF1 = text_metric(__name__, "TokenF1", "token_f1", title="Token F1", description=_DESCRIPTION, citation=_CITATION, gives="f1")
