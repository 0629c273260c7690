"""Matthews correlation for ``evaluate.load("evals/metrics/matthews_correlation")``, offline: the studio's own metric in
evaluate's folder format.
"""

from studio.evals.metrics.evaluate_folder import label_metric

_DESCRIPTION = "Correlation of predicted and true labels, by scikit-learn."

MatthewsCorrelation = label_metric(
    __name__, "MatthewsCorrelation", "mcc", title="Matthews correlation", description=_DESCRIPTION, gives="matthews_correlation"
)
