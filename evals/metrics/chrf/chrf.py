"""chrF for ``evaluate.load("evals/metrics/chrf")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import text_metric

_DESCRIPTION = "chrF by sacrebleu, points of 100, all answers pooled."
_CITATION = "Popović 2015, chrF: character n-gram F-score"

Chrf = text_metric(__name__, "Chrf", "chrf", title="chrF", description=_DESCRIPTION, citation=_CITATION, gives="score")
