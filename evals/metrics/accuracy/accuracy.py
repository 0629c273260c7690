"""Accuracy for ``evaluate.load("evals/metrics/accuracy")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import label_metric

_DESCRIPTION = "Share of labels that are right, by scikit-learn."

Accuracy = label_metric(__name__, "Accuracy", "accuracy", title="Accuracy", description=_DESCRIPTION, gives="accuracy")
