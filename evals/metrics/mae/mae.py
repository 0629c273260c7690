"""Mean absolute error for ``evaluate.load("evals/metrics/mae")``, offline: the studio's own metric in evaluate's folder
format.
"""

from studio.evals.metrics.evaluate_folder import number_metric

_DESCRIPTION = "Mean of how far the numbers are off, by scikit-learn."

Mae = number_metric(__name__, "Mae", "mae", title="Mean absolute error", description=_DESCRIPTION, gives="mae")
