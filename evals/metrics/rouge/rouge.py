"""ROUGE for ``evaluate.load("evals/metrics/rouge")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import text_metrics

_DESCRIPTION = "ROUGE-1, -2 and -L by rouge-score: F1, words of any script, no stemming, the mean over answers."
_CITATION = "Lin 2004, ROUGE"

Rouge = text_metrics(
    __name__,
    "Rouge",
    ("rouge1", "rouge2", "rougeL"),
    title="ROUGE",
    description=_DESCRIPTION,
    citation=_CITATION,
    unit="F1, 0 to 1",
)
