"""Mean squared error for ``evaluate.load("evals/metrics/mse")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import number_metric

_DESCRIPTION = "Mean of the squared errors, by scikit-learn."

Mse = number_metric(__name__, "Mse", "mse", title="Mean squared error", description=_DESCRIPTION, gives="mse")
