"""BLEU for ``evaluate.load("evals/metrics/bleu")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import text_metric

_DESCRIPTION = "BLEU by sacrebleu, points of 100, all answers pooled."
_CITATION = "Post 2018, A Call for Clarity in Reporting BLEU Scores"

Bleu = text_metric(__name__, "Bleu", "bleu", title="BLEU", description=_DESCRIPTION, citation=_CITATION, gives="score")
