"""Errors of predicted numbers, with intervals.

Legend: n examples, r resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import Metric
from studio.evals.statistics import Floats

_TITLES = {
    "mae": ("Mean absolute error", "units of the target", "lower", "Mean of how far the numbers are off."),
    "rmse": ("Root mean squared error", "units of the target", "lower", "As the mean error, but large errors weigh more."),
    "mse": ("Mean squared error", "squared units of the target", "lower", "Mean of the squared errors."),
    "r2": (
        "R²", "explained variance, at most 1", "higher",
        "Share of the variance of the true numbers that is explained; 0 is as good as always saying their mean, below 0 is "
        "worse.",
    ),
    "spearman": ("Spearman correlation", "correlation, -1 to 1", "higher", (
        "Whether larger numbers are predicted for larger "
        "ones."
    )),
    "unparsed": (
        "Unparsed", "share of answers", "lower",
        "Share of answers in which not exactly one number was found; they are left out of the other figures.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ErrorStatistic:
    """A figure of true and predicted numbers, [n] each; the plain score is scikit-learn's, resamples are computed from sums."""

    name: str
    truth: Floats
    predicted: Floats
    scored: NDArray[np.bool_]
    each: list[float | None]

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`."""
        counts = weights * self.scored
        if len(weights) == 1:
            return np.array([self._plain(counts[0])])
        if self.name == "spearman":
            return np.array([self._plain(row) for row in counts])
        total = counts.sum(axis=1)
        error = np.where(self.scored, self.truth - self.predicted, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.name == "mae":
                values: Floats = counts @ np.abs(error) / total
                return values
            squared: Floats = counts @ error**2 / total
            if self.name == "r2":
                true = np.where(self.scored, self.truth, 0.0)
                mean = counts @ true / total
                # A resample of one repeated value has no variance to explain, hence nan.
                variance = counts @ true**2 / total - mean**2
                explained: Floats = np.where(variance > 1e-12, 1 - squared / np.where(variance > 1e-12, variance, 1), np.nan)
                return explained
        return np.sqrt(squared) if self.name == "rmse" else squared

    def _plain(self, counts: Floats) -> float:
        """The figure by scikit-learn or scipy for one weighting; nan where it is undefined."""
        from scipy.stats import spearmanr
        from sklearn import metrics

        drawn = counts > 0
        if drawn.sum() < (2 if self.name in {"r2", "spearman"} else 1):
            return float("nan")
        truth, predicted, weights = self.truth[drawn], self.predicted[drawn], counts[drawn]
        if self.name == "spearman":
            times = weights.astype(int)
            first, second = np.repeat(truth, times), np.repeat(predicted, times)
            if len(set(first)) < 2 or len(set(second)) < 2:
                return float("nan")
            return float(spearmanr(first, second).statistic)
        functions: dict[str, Any] = {
            "mae": metrics.mean_absolute_error,
            "mse": metrics.mean_squared_error,
            "rmse": metrics.root_mean_squared_error,
            "r2": metrics.r2_score,
        }
        if self.name == "r2" and len(set(truth)) < 2:
            return float("nan")
        return float(functions[self.name](truth, predicted, sample_weight=weights))


def regression_metric(name: str) -> Metric:
    """One figure as a metric (its ``measure`` is not used: numbers come from a task, not from text evidence)."""
    title, unit, better, explains = _TITLES[name]
    library = f"scipy {version('scipy')}" if name == "spearman" else f"scikit-learn {version('scikit-learn')}"
    return Metric(
        key=name,
        title=title,
        unit=unit,
        better="higher" if better == "higher" else "lower",
        needs="answers",
        explains=explains,
        measure=_no_evidence,
        made_with=lambda: "counted by the studio" if name == "unparsed" else library,
        right_or_wrong=name == "unparsed",
    )


def regression_statistic(name: str, truth: Sequence[float], predicted: Sequence[float | None]) -> ErrorStatistic:
    """The statistic of one figure; predictions that are None are not scored."""
    scored = np.array([value is not None for value in predicted], dtype=bool)
    given = np.array([0.0 if value is None else value for value in predicted], dtype=np.float64)
    true = np.array(truth, dtype=np.float64)
    each = [float(abs(a - b)) if ok and name == "mae" else None for a, b, ok in zip(true, given, scored, strict=True)]
    return ErrorStatistic(name, true, given, scored, each)


def _no_evidence(_: object) -> ErrorStatistic:
    """Numbers are measured by :func:`regression_statistic`."""
    raise NotImplementedError("regression figures are measured from numbers")
