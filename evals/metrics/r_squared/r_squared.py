"""R² for ``evaluate.load("evals/metrics/r_squared")``, offline: the studio's own metric in evaluate's folder format."""

from studio.evals.metrics.evaluate_folder import number_metric

_DESCRIPTION = "Share of the variance that is explained, by scikit-learn."

RSquared = number_metric(__name__, "RSquared", "r2", title="R²", description=_DESCRIPTION, gives="r_squared")
