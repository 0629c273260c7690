"""Exact match for ``evaluate.load("evals/metrics/exact_match")``, offline: the studio's own metric in evaluate's folder
format.
"""

from studio.evals.metrics.evaluate_folder import text_metric

_DESCRIPTION = "Share of answers equal to the reference, whatever case, width, quotes, minus sign and stop at the end."
_CITATION = "The studio's own normalisation; exact_match_squad is that of Rajpurkar et al. 2016"

ExactMatch = text_metric(
    __name__, "ExactMatch", "exact_match", title="Exact match", description=_DESCRIPTION, citation=_CITATION, gives="exact_match"
)
