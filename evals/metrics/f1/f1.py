"""F1, macro for ``evaluate.load("evals/metrics/f1")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import label_metric

_DESCRIPTION = "Harmonic mean of precision and recall, the mean over the true classes, by scikit-learn."

F1 = label_metric(__name__, "F1", "f1_macro", title="F1, macro", description=_DESCRIPTION, gives="f1")
