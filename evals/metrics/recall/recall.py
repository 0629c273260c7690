"""Recall, macro for ``evaluate.load("evals/metrics/recall")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import label_metric

_DESCRIPTION = "Of the examples of a class, how many are found; the mean over the true classes."

Recall = label_metric(__name__, "Recall", "recall_macro", title="Recall, macro", description=_DESCRIPTION, gives="recall")
