"""Exact match for ``evaluate.load("evals/metrics/exact_match")``, offline: the studio's own metric in evaluate's folder
format.
"""

from studio.evals.metrics.evaluate_folder import text_metric

_DESCRIPTION = "Share of answers equal to the reference after SQuAD normalisation."
_CITATION = "Rajpurkar et al. 2016, SQuAD"

ExactMatch = text_metric(
    __name__, "ExactMatch", "exact_match", title="Exact match", description=_DESCRIPTION, citation=_CITATION, gives="exact_match"
)
