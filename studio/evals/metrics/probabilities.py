"""How good predicted probabilities are: ROC AUC, average precision, Brier score, log loss, calibration error.

Legend: n examples, k labels, r draws. truth is 1 for the positive label, else 0; scores are its
probabilities. Probabilities of all labels: :mod:`studio.evals.metrics.label_probabilities`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.evals.intervals import none_of_joined
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.pieces import Floats, Interval
from studio.evals.statistics import AREA, LEVEL, POSITIVE, SHARE, Better, Scale, Statistic, bootstrap_weights, owners_of

Places = NDArray[np.intp]
Figure = Callable[[Floats, Floats, Places, Places], Floats]

BINS = 10
# Positives and negatives that an interval needs; precision moves more with each positive than ranks do.
_FEWEST_OF_A_SIDE = 5
_FEWEST_FOR_PRECISION = 10
# Examples that ten bins need at least.
_FEWEST_OF_BINS = 50
_DRAWS = 1000
# Numbers held at once while draws are scored: few enough to stay near the processor.
_AT_ONCE = 200_000

_TITLES: dict[str, tuple[str, str, Better, Scale, str]] = {
    "roc_auc": (
        "ROC AUC", "0 to 1", "higher", AREA,
        "Probability that a positive example has a higher score than a negative one; 0.5 is chance.",
    ),
    "average_precision": (
        "Average precision", "0 to 1", "higher", AREA,
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


def probability_statistic(
    name: str, truth: Sequence[bool], scores: Sequence[float | None], clusters: Sequence[object] | None = None
) -> Statistic:
    """The statistic of one figure; examples without a score are not scored.

    Args:
        clusters: a name per example, for the calibration error, which makes its interval itself.
    """
    true = np.array(truth, dtype=np.float64)
    known = np.array([score is not None for score in scores], dtype=bool)
    given = np.array([0.0 if score is None else score for score in scores], dtype=np.float64)
    if name in ORDERS:
        return ScoreStatistic(true, given, known, *ORDERS[name])
    if name == "ece":
        return calibration(true, given, known, clusters)
    each = (true - given) ** 2 if name == "brier" else surprise(np.where(true == 1, given, 1 - given))
    return mean_statistic([float(value) if ok else None for value, ok in zip(each, known, strict=True)])


def surprise(right: Floats) -> Floats:
    """Nats of the probability given to what came, [n] -> [n]; clipped as scikit-learn's ``log_loss``."""
    small = np.finfo(np.float64).eps
    return np.asarray(-np.log(np.clip(right, small, 1 - small)))


@dataclass(frozen=True)
class ScoreStatistic:
    """A figure of the order of scores: truth and scores, [n] each. needs: positives, and negatives, without which there is no
    interval. figure: of examples from the highest score down, how often each is drawn and positive, and drawn, [r, n] each; how
    many scores are higher, and at least as high, [n] each -> [r].
    """

    truth: Floats
    scores: Floats
    scored: NDArray[np.bool_]
    figure: Figure
    needs: int
    shrinks: bool = False

    @property
    def each(self) -> list[float | None]:
        """The figure belongs to the whole set; an example alone has none."""
        return [None] * len(self.truth)

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`. Scores are put into order once, not for each draw."""
        order = np.argsort(-self.scores, kind="stable")
        ranked, size = self.scores[order], max(1, _AT_ONCE // max(1, len(order)))
        # Of each place in the order, how many scores are higher, and how many are at least as high: equal ones are one threshold.
        above, within = (np.searchsorted(-ranked, -ranked, side=side) for side in ("left", "right"))
        parts = []
        for start in range(0, len(weights), size):
            counts = weights[start : start + size, order] * self.scored[order]
            parts.append(self.figure(counts * self.truth[order], counts, above, within))
        return np.concatenate(parts)

    def joined(self, other: Statistic) -> ScoreStatistic:
        """See :class:`studio.evals.statistics.Joinable`."""
        assert isinstance(other, ScoreStatistic)
        return ScoreStatistic(
            np.concatenate([self.truth, other.truth]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.scored, other.scored]),
            self.figure,
            self.needs,
        )

    def too_few(self, usable: NDArray[np.bool_]) -> str | None:
        """The order of positives and negatives is as uncertain as the fewer of the two."""
        positive = int(self.truth[usable].sum())
        fewer = min(positive, int(usable.sum()) - positive)
        if fewer >= self.needs:
            return None
        return f"there are {fewer} examples of one of the two labels, {self.needs} are needed"


def _areas(hits: Floats, counts: Floats, above: Places, within: Places) -> Floats:
    """ROC AUC of each draw, ties counting half; nan where a label is missing. By pairs (Mann and Whitney)."""
    reached = _so_far(hits)
    misses = counts - hits
    before = (misses * (reached[:, above] + reached[:, within])).sum(axis=1) / 2
    pairs = hits.sum(axis=1) * misses.sum(axis=1)
    found: Floats = np.divide(before, pairs, out=np.full(len(hits), np.nan), where=pairs > 0)
    return found


def _precisions(hits: Floats, counts: Floats, _: Places, within: Places) -> Floats:
    """Average precision of each draw, equal scores as one threshold, as scikit-learn; nan without a positive example."""
    taken, positive = _so_far(counts)[:, within], hits.sum(axis=1)
    precision = np.divide(_so_far(hits)[:, within], taken, out=np.zeros_like(taken), where=taken > 0)
    found: Floats = np.divide((precision * hits).sum(axis=1), positive, out=np.full(len(hits), np.nan), where=positive > 0)
    return found


def _so_far(counts: Floats) -> Floats:
    """Sums of the first 0, 1 … n: [r, n] -> [r, n + 1]."""
    return np.concatenate([np.zeros((len(counts), 1)), counts.cumsum(axis=1)], axis=1)


# What is made of the order of scores, and how many of each side an interval needs.
ORDERS: dict[str, tuple[Figure, int]] = {
    "roc_auc": (_areas, _FEWEST_OF_A_SIDE),
    "average_precision": (_precisions, _FEWEST_FOR_PRECISION),
}


@dataclass(frozen=True)
class CalibrationStatistic(SumStatistic):
    """Expected calibration error from sums per bin: examples, probabilities, positives. clusters: a name per example."""

    clusters: Sequence[object] | None = None

    def interval(self) -> Interval:
        """See :class:`studio.evals.statistics.OwnInterval`: as far as the bins can lie from their expectations together.

        The error is a sum of absolute values, so that resamples of it never come down to the 0 of a calibrated model. But it lies
        from the true one at most as far as all bins together lie from theirs. Resamples tell that, but too little where bins hold
        few examples: what chance does to a calibrated model is the least that is taken.
        """
        if (reason := self.too_few(self.scored)) is not None:
            return Interval(None, f"no interval: {reason}")
        if (reason := none_of_joined(owners_of(self.scored, self.clusters))) is not None:
            return Interval(None, reason)
        weights = bootstrap_weights(self.scored, _DRAWS, 0, self.clusters)
        moved = _off(weights @ self.sums) - _off(self.scored[None, :] @ self.sums)
        count, said, _ = np.split(self.scored @ self.sums, 3)
        rates = np.divide(said, count, out=np.zeros(BINS), where=count > 0)
        came = np.random.default_rng(0).binomial(count.astype(np.int64), np.clip(rates, 0, 1), (_DRAWS, BINS))
        chance = np.abs(said - came).sum(axis=1) / count.sum()
        reach = max(float(np.quantile(far, LEVEL)) for far in (np.abs(moved).sum(axis=1), chance))
        value = float(self.at(self.scored[None, :].astype(np.float64))[0])
        bounds = SHARE.clipped(value - reach, value + reach)
        return Interval(bounds, f"how far all bins together move in {_DRAWS} resamples, or by chance, seed 0")

    def too_few(self, usable: NDArray[np.bool_]) -> str | None:
        """Bins with hardly an example tell nothing."""
        count = int(usable.sum())
        return None if count >= _FEWEST_OF_BINS else f"{BINS} bins need {_FEWEST_OF_BINS} examples, there are {count}"


def calibration(
    truth: Floats, scores: Floats, known: NDArray[np.bool_], clusters: Sequence[object] | None
) -> CalibrationStatistic:
    """Expected calibration error. Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3."""
    member = np.eye(BINS)[bins_of(scores)] * known[:, None]
    sums = np.concatenate([member, member * scores[:, None], member * truth[:, None]], axis=1)

    def combine(sums: Floats) -> Floats:
        return np.asarray(np.abs(_off(sums)).sum(axis=1))

    return CalibrationStatistic(sums, known, [None] * len(truth), combine, clusters)


def _off(sums: Floats) -> Floats:
    """Mean probability less share of positives of each bin, times its share of the examples: [r, 3 bins] -> [r, bins]."""
    count, said, came = np.split(sums, 3, axis=1)
    return np.asarray((said - came) / count.sum(axis=1, keepdims=True))


def bins_of(scores: Floats) -> NDArray[np.int64]:
    """Number of the bin of each score; the last one holds 1 too."""
    return np.minimum((scores * BINS).astype(np.int64), BINS - 1)


def _no_evidence(_: Any) -> Statistic:
    """Scores are measured by :func:`probability_statistic`."""
    raise NotImplementedError("probabilities are measured from scores")
