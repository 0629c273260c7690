"""Precision, macro for ``evaluate.load("evals/metrics/precision")``, offline: the studio's own metric in evaluate's folder
format.
"""

from studio.evals.metrics.evaluate_folder import label_metric

_DESCRIPTION = "Of what is labelled as a class, how much is right; the mean over the true classes."

Precision = label_metric(
    __name__, "Precision", "precision_macro", title="Precision, macro", description=_DESCRIPTION, gives="precision"
)
