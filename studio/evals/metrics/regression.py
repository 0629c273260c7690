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
from studio.evals.metrics.median import MedianStatistic
from studio.evals.pieces import Floats, Pieces
from studio.evals.statistics import CORRELATION, POSITIVE, SHARE, Scale, Statistic

_TITLES = {
    "mae": ("Mean absolute error", "units of the target", "lower", "Mean of how far the numbers are off."),
    "median_ae": (
        "Median absolute error", "units of the target", "lower",
        "Half of the numbers are off by no more than this: a few large errors do not move it.",
    ),
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


_SCALES = {
    "mae": POSITIVE,
    "median_ae": POSITIVE,
    "rmse": POSITIVE,
    "mse": POSITIVE,
    "r2": Scale(highest=1.0),
    "spearman": CORRELATION,
    "unparsed": SHARE,
}


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
        return self._combine(counts @ self._sums())

    def pieces(self, usable: NDArray[np.bool_]) -> Pieces:
        """See :class:`studio.evals.statistics.OfSums`."""
        return Pieces.of(self._sums()[usable], self._combine)

    def _sums(self) -> Floats:
        """Per example: 1, |error|, error², and error², truth, truth² of the standardised truth: [n, 6].

        Standardised, because of a target near 1e9 or of spread 1e-7 nothing would be left once squares are subtracted.
        """
        error = np.where(self.scored, self.truth - self.predicted, 0.0)
        known = self.truth[self.scored]
        middle, spread = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
        away = np.where(self.scored, self.truth - middle, 0.0) / (spread or 1.0)
        return np.stack([np.ones_like(error), np.abs(error), error**2, (error / (spread or 1.0)) ** 2, away, away**2], axis=1)

    def _combine(self, sums: Floats) -> Floats:
        """[r, 6] -> [r]; nan where a draw of one repeated truth has no variance to explain."""
        total = sums[:, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.name == "r2":
                variance = sums[:, 5] - sums[:, 4] ** 2 / total
                varied = variance > 1e-9 * total
                values: Floats = np.where(varied, 1 - sums[:, 3] / np.where(varied, variance, 1.0), np.nan)
                return values
            means: Floats = sums[:, 1 if self.name == "mae" else 2] / total
        return np.sqrt(means) if self.name == "rmse" else means

    def _plain(self, counts: Floats) -> float:
        """The figure by scikit-learn for one weighting; nan where it is undefined."""
        from sklearn import metrics

        drawn = counts > 0
        truth, predicted, weights = self.truth[drawn], self.predicted[drawn], counts[drawn]
        if len(truth) < (2 if self.name == "r2" else 1) or (self.name == "r2" and len(set(truth)) < 2):
            return float("nan")
        functions: dict[str, Any] = {
            "mae": metrics.mean_absolute_error,
            "mse": metrics.mean_squared_error,
            "rmse": metrics.root_mean_squared_error,
            "r2": metrics.r2_score,
        }
        return float(functions[self.name](truth, predicted, sample_weight=weights))


@dataclass(frozen=True)
class RankStatistic:
    """Spearman's correlation of true and predicted numbers, [n] each, by scipy. Weights are whole numbers."""

    truth: Floats
    predicted: Floats
    scored: NDArray[np.bool_]
    each: list[float | None]
    shrinks: bool = False

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`."""
        counts = weights * self.scored
        totals = counts.sum(axis=1)
        if len(counts) > 1 and ((counts == 0) | (counts == 1)).all() and (totals == totals[0]).all() and totals[0] > 1:
            return self._of_subsets(np.nonzero(counts)[1].reshape(len(counts), -1))
        return np.array([self._plain(row) for row in counts])

    def _of_subsets(self, places: NDArray[np.intp]) -> Floats:
        """The figure for subsets of one size, all at once: [r, m] places -> [r]; nan where a side has one value only."""
        from scipy.stats import rankdata

        first, second = (rankdata(values[places], axis=1) for values in (self.truth, self.predicted))
        first, second = first - first.mean(axis=1, keepdims=True), second - second.mean(axis=1, keepdims=True)
        spread = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        found: Floats = np.divide((first * second).sum(axis=1), spread, out=np.full(len(places), np.nan), where=spread > 0)
        return found

    def joined(self, other: Statistic) -> RankStatistic:
        """See :class:`studio.evals.statistics.Joinable`."""
        assert isinstance(other, RankStatistic)
        return RankStatistic(
            np.concatenate([self.truth, other.truth]),
            np.concatenate([self.predicted, other.predicted]),
            np.concatenate([self.scored, other.scored]),
            self.each + other.each,
        )

    def _plain(self, counts: Floats) -> float:
        """The figure for one weighting; nan where it is undefined."""
        from scipy.stats import spearmanr

        times = counts.astype(int)
        first, second = np.repeat(self.truth, times), np.repeat(self.predicted, times)
        if len(set(first)) < 2 or len(set(second)) < 2:
            return float("nan")
        return float(spearmanr(first, second).statistic)


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
        measure=no_evidence,
        made_with=lambda: "counted by the studio" if name == "unparsed" else library,
        scale=_SCALES[name],
        right_or_wrong=name == "unparsed",
    )


def regression_statistic(
    name: str, truth: Sequence[float], predicted: Sequence[float | None], clusters: Sequence[object] | None = None
) -> ErrorStatistic | RankStatistic | MedianStatistic:
    """The statistic of one figure; predictions that are None are not scored.

    Args:
        clusters: a name per example, for the median, which makes its interval itself.
    """
    scored = np.array([value is not None for value in predicted], dtype=bool)
    given = np.array([0.0 if value is None else value for value in predicted], dtype=np.float64)
    true = np.array(truth, dtype=np.float64)
    each = [float(abs(a - b)) if ok and name == "mae" else None for a, b, ok in zip(true, given, scored, strict=True)]
    if name == "spearman":
        return RankStatistic(true, given, scored, each)
    if name == "median_ae":
        return MedianStatistic(np.where(scored, np.abs(true - given), 0.0), scored, clusters)
    return ErrorStatistic(name, true, given, scored, each)


def no_evidence(_: object) -> ErrorStatistic:
    """Numbers are measured by :func:`regression_statistic`."""
    raise NotImplementedError("regression figures are measured from numbers")
