"""How good predicted probabilities are: ROC AUC, average precision, Brier score, log loss, calibration error.

Legend: n examples, r draws, m examples of a draw. truth is 1 for the positive label, else 0; scores are its probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.pieces import Floats
from studio.evals.statistics import POSITIVE, SHARE, Better, Scale, Statistic

BINS = 10
_FEWEST_OF_A_SIDE = 5

_TITLES: dict[str, tuple[str, str, Better, Scale, str]] = {
    "roc_auc": (
        "ROC AUC", "0 to 1", "higher", SHARE,
        "Probability that a positive example has a higher score than a negative one; 0.5 is chance.",
    ),
    "average_precision": (
        "Average precision", "0 to 1", "higher", SHARE,
        "Precision averaged over the recalls at which it is reached, the area under the precision-recall curve. Chance is the "
        "share of positive examples.",
    ),
    "brier": (
        "Brier score", "0 to 1", "lower", SHARE,
        "Mean squared distance of the probability from what came; always saying the share of positives p gives p (1 - p).",
    ),
    "log_loss": (
        "Log loss", "nats", "lower", POSITIVE,
        "Mean negative logarithm of the probability given to what came; a probability of 0 counts as 2e-16.",
    ),
    "ece": (
        "Calibration error", "0 to 1", "lower", SHARE,
        f"Expected calibration error: in {BINS} bins of equal width, how far the mean probability lies from the share of "
        "positives, weighted by their examples (Guo et al. 2017). It is above 0 by chance alone, the more "
        "the fewer examples there are.",
    ),
}  # fmt: skip
PROBABILITY_METRICS = tuple(_TITLES)
# What the tests hold each figure against.
_LIKE = {
    "roc_auc": "roc_auc_score",
    "average_precision": "average_precision_score",
    "brier": "brier_score_loss",
    "log_loss": "log_loss",
}


def probability_metric(name: str) -> Metric:
    """One figure as a metric (its ``measure`` is not used: scores come from a task)."""
    title, unit, better, scale, explains = _TITLES[name]
    made_with = f"counted by the studio, as scikit-learn's {_LIKE[name]}" if name in _LIKE else "counted by the studio"
    return Metric(name, title, unit, better, "answers", explains, _no_evidence, lambda: made_with, scale)


def probability_statistic(name: str, truth: Sequence[bool], scores: Sequence[float | None]) -> Statistic:
    """The statistic of one figure; examples without a score are not scored."""
    true = np.array(truth, dtype=np.float64)
    known = np.array([score is not None for score in scores], dtype=bool)
    given = np.array([0.0 if score is None else score for score in scores], dtype=np.float64)
    if name in {"roc_auc", "average_precision"}:
        return ScoreStatistic(true, given, known, _areas if name == "roc_auc" else _precisions)
    if name == "ece":
        return _calibration(true, given, known)
    small = np.finfo(np.float64).eps
    right = np.clip(np.where(true == 1, given, 1 - given), small, 1 - small)
    each = (true - given) ** 2 if name == "brier" else -np.log(right)
    return mean_statistic([float(value) if ok else None for value, ok in zip(each, known, strict=True)])


@dataclass(frozen=True)
class ScoreStatistic:
    """A figure of the order of scores: truth and scores, [n] each. figure: truth and scores of draws, [r, m] each -> [r]."""

    truth: Floats
    scores: Floats
    scored: NDArray[np.bool_]
    figure: Callable[[Floats, Floats], Floats]
    shrinks: bool = False

    @property
    def each(self) -> list[float | None]:
        """The figure belongs to the whole set; an example alone has none."""
        return [None] * len(self.truth)

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`; weights are whole numbers."""
        counts = weights * self.scored
        totals = counts.sum(axis=1)
        if len(counts) > 1 and ((counts == 0) | (counts == 1)).all() and (totals == totals[0]).all():
            places = np.nonzero(counts)[1].reshape(len(counts), -1)
            return self.figure(self.truth[places], self.scores[places])
        return np.concatenate([self._one(np.repeat(np.arange(len(row)), row.astype(int))) for row in counts])

    def _one(self, places: NDArray[np.intp]) -> Floats:
        """The figure of one draw, [1]."""
        return self.figure(self.truth[places][None, :], self.scores[places][None, :])

    def joined(self, other: Statistic) -> ScoreStatistic:
        """See :class:`studio.evals.statistics.Joinable`."""
        assert isinstance(other, ScoreStatistic)
        return ScoreStatistic(
            np.concatenate([self.truth, other.truth]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.scored, other.scored]),
            self.figure,
        )

    def too_few(self, usable: NDArray[np.bool_]) -> str | None:
        """The order of positives and negatives is as uncertain as the fewer of the two."""
        positive = int(self.truth[usable].sum())
        fewer = min(positive, int(usable.sum()) - positive)
        if fewer >= _FEWEST_OF_A_SIDE:
            return None
        return f"there are {fewer} examples of one of the two labels, {_FEWEST_OF_A_SIDE} are needed"


def _areas(truth: Floats, scores: Floats) -> Floats:
    """ROC AUC of each draw, ties counting half; nan where a label is missing. By ranks (Mann and Whitney)."""
    from scipy.stats import rankdata

    positive, count = truth.sum(axis=1), truth.shape[1]
    ranks = (rankdata(scores, axis=1) * truth).sum(axis=1) - positive * (positive + 1) / 2
    pairs = positive * (count - positive)
    found: Floats = np.divide(ranks, pairs, out=np.full(len(truth), np.nan), where=pairs > 0)
    return found


def _precisions(truth: Floats, scores: Floats) -> Floats:
    """Average precision of each draw, equal scores as one threshold, as scikit-learn; nan without a positive example."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked, hits = np.take_along_axis(scores, order, axis=1), np.take_along_axis(truth, order, axis=1)
    places = np.arange(truth.shape[1])
    last = np.concatenate([ranked[:, :-1] != ranked[:, 1:], np.ones((len(truth), 1), dtype=bool)], axis=1)
    # Of each example, the last place with its score: what stands there has just been taken in.
    ends = np.minimum.accumulate(np.where(last, places, truth.shape[1])[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(hits.cumsum(axis=1), ends, axis=1) / (ends + 1)
    positive = hits.sum(axis=1)
    found: Floats = np.divide((precision * hits).sum(axis=1), positive, out=np.full(len(truth), np.nan), where=positive > 0)
    return found


def _calibration(truth: Floats, scores: Floats, known: NDArray[np.bool_]) -> SumStatistic:
    """Expected calibration error from sums per bin: examples, probabilities, positives.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.
    """
    member = np.eye(BINS)[bins_of(scores)]
    sums = np.concatenate([member, member * scores[:, None], member * truth[:, None]], axis=1)

    def combine(sums: Floats) -> Floats:
        count, said, came = np.split(sums, 3, axis=1)
        found: Floats = np.abs(said - came).sum(axis=1) / count.sum(axis=1)
        return found

    return SumStatistic(sums, known, [None] * len(truth), combine)


def bins_of(scores: Floats) -> NDArray[np.int64]:
    """Number of the bin of each score; the last one holds 1 too."""
    return np.minimum((scores * BINS).astype(np.int64), BINS - 1)


def _no_evidence(_: Any) -> Statistic:
    """Scores are measured by :func:`probability_statistic`."""
    raise NotImplementedError("probabilities are measured from scores")
