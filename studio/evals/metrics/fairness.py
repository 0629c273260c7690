"""Group fairness: how rates and quality differ between groups of people, with intervals.

Legend: n examples, g groups, r resamples.

Definitions are fairlearn's (``demographic_parity_difference`` and its kin, and ``MetricFrame``), which makes the plain
value; resamples are counted here, and the tests hold the two together. One thing is told apart: a group without a true
positive has no true positive rate. fairlearn takes 0 for it, here it is left out of that gap and named; where fewer than two
groups are left there is no gap, which is not the same as a gap of 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import Metric, OfTheWhole
from studio.evals.metrics.gaps import extreme_interval, gap_interval, of_rates, of_values
from studio.evals.pieces import Floats, Interval, Pieces
from studio.evals.statistics import SHARE, Better

_TITLES: dict[str, tuple[str, str, Better, str]] = {
    "demographic_parity_difference": (
        "Demographic parity difference", "share", "lower",
        "How much more often the group that gets the good outcome most often gets it than the one that gets it least often.",
    ),
    "demographic_parity_ratio": (
        "Demographic parity ratio", "ratio, at most 1", "higher",
        "The lowest group's rate of good outcomes over the highest's; the four-fifths rule of US employment law looks for 0.8.",
    ),
    "equalized_odds_difference": (
        "Equalised odds difference", "share", "lower",
        "The larger of the gaps between groups in true positive rate and in false positive rate.",
    ),
    "equal_opportunity_difference": (
        "Equal opportunity difference", "share", "lower",
        "The gap between groups in true positive rate: of those who deserve the good outcome, how many get it.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class RateStatistic(OfTheWhole):
    """A gap between groups in rates of positive predictions.

    truth, predicted: 0 or 1, [n]. groups: group numbers, [n]. count: g.
    """

    name: str
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    groups: NDArray[np.int64]
    count: int

    @property
    def size(self) -> int:
        """How many examples there are."""
        return len(self.truth)

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`."""
        if len(weights) == 1 and (weights == 1).all() and self._defined():
            return np.array([self._fairlearn()])
        return self._figure(*self.rates(weights))

    def pieces(self, usable: NDArray[np.bool_]) -> Pieces:
        """See :class:`studio.evals.statistics.OfSums`: one kind of example per cell of a group's table that occurs."""
        cells, kinds = np.unique(self._cells[usable], return_inverse=True)
        rows = np.zeros((len(cells), 4 * self.count))
        rows[np.arange(len(cells)), cells] = 1.0
        return Pieces(rows, kinds.astype(np.int64), lambda sums: self._figure(*self._rates_of(sums)))

    def interval(self) -> Interval:
        """See :class:`studio.evals.statistics.OwnInterval`."""
        tables = np.bincount(self._cells, minlength=4 * self.count).astype(np.float64).reshape(self.count, 4)
        tn, fp, fn, tp = tables.T
        selected, tpr, fpr = of_rates(tp + fp, tables.sum(axis=1)), of_rates(tp, tp + fn), of_rates(fp, fp + tn)
        if self.name == "equalized_odds_difference":
            return gap_interval([tpr, fpr])
        if self.name == "equal_opportunity_difference":
            return gap_interval([tpr])
        return gap_interval([selected], ratio=self.name == "demographic_parity_ratio")

    def _figure(self, selected: Floats, tpr: Floats, fpr: Floats) -> Floats:
        """The figure from the groups' rates, [r, g] each -> [r]."""
        if self.name == "demographic_parity_difference":
            return spread(selected)
        if self.name == "demographic_parity_ratio":
            least, most = extremes(selected)
            ratio: Floats = np.where(most > 0, least / np.where(most > 0, most, 1), np.nan)
            return ratio
        if self.name == "equal_opportunity_difference":
            return spread(tpr)
        worst: Floats = np.maximum(spread(tpr), spread(fpr))
        return worst

    def rates(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Selection, true positive and false positive rate of each group, [r, g] each; nan where a group has no such example."""
        cells = self._cells
        return self._rates_of(
            np.stack([np.bincount(cells, weights=row, minlength=4 * self.count).astype(np.float64) for row in weights])
        )

    @property
    def _cells(self) -> NDArray[np.int64]:
        """Cell of each example in its group's table, [n]."""
        return self.groups * 4 + self.truth * 2 + self.predicted

    def _rates_of(self, tables: Floats) -> tuple[Floats, Floats, Floats]:
        """See :meth:`rates`; from counts per group and cell, [r, 4 g]."""
        tn, fp, fn, tp = (tables.reshape(len(tables), self.count, 4)[:, :, cell] for cell in range(4))
        return divided(tp + fp, tn + fp + fn + tp), divided(tp, tp + fn), divided(fp, fp + tn)

    def _defined(self) -> bool:
        """True when every group has all that the figure is made of, and there are several, so that fairlearn means the same."""
        selected, tpr, fpr = self.rates(np.ones((1, len(self.truth))))
        needed = {"equalized_odds_difference": [tpr, fpr], "equal_opportunity_difference": [tpr]}.get(self.name, [selected])
        ratio_of_nothing = self.name == "demographic_parity_ratio" and float(np.nanmax(selected)) == 0
        return self.count > 1 and all(np.isfinite(values).all() for values in needed) and not ratio_of_nothing

    def _fairlearn(self) -> float:
        """The figure by fairlearn."""
        import fairlearn.metrics

        function = getattr(fairlearn.metrics, self.name)
        return float(function(self.truth, self.predicted, sensitive_features=self.groups.tolist()))


@dataclass(frozen=True)
class GroupMeanStatistic:
    """A figure of the groups' mean values: the gap between the best and the worst, or the worst itself.

    values: [n]; scored: which have one. groups: [n]. figure: means [r, g] -> [r]. rates: the values are 0 or 1; it
    is seen from them where it is not said.
    """

    values: Floats
    scored: NDArray[np.bool_]
    groups: NDArray[np.int64]
    count: int
    figure: Callable[[Floats], Floats]
    rates: bool = False

    @property
    def each(self) -> list[float | None]:
        """A gap belongs to no single example."""
        return [None] * len(self.values)

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`."""
        return self._combine((weights * self.scored) @ self._sums())

    def pieces(self, usable: NDArray[np.bool_]) -> Pieces:
        """See :class:`studio.evals.statistics.OfSums`."""
        return Pieces.of(self._sums()[usable], self._combine)

    def interval(self) -> Interval:
        """See :class:`studio.evals.statistics.OwnInterval`."""
        values, groups = self.values[self.scored], self.groups[self.scored]
        if self.rates or np.isin(values, (0.0, 1.0)).all():
            counts = np.bincount(groups, minlength=self.count).astype(np.float64)
            hits = np.bincount(groups, weights=values, minlength=self.count).astype(np.float64)
            measure = of_rates(hits, counts)
        else:
            measure = of_values(values, groups, self.count)
        if self.figure is spread:
            return gap_interval([measure])
        return extreme_interval(measure, lowest=self.figure is lowest)

    def _sums(self) -> Floats:
        """Value and 1 in the columns of each example's group: [n, 2 g]."""
        member = np.eye(self.count)[self.groups]
        return np.concatenate([member * np.where(self.scored, self.values, 0.0)[:, None], member], axis=1)

    def _combine(self, sums: Floats) -> Floats:
        """[r, 2 g] -> [r]."""
        return self.figure(divided(sums[:, : self.count], sums[:, self.count :]))


def spread(rates: Floats) -> Floats:
    """Largest minus smallest of each row, groups without a rate left out: [r, g] -> [r]; nan where fewer than two have one."""
    least, most = extremes(rates)
    gap: Floats = most - least
    return gap


def extremes(rates: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest of each row: [r, g] -> [r] and [r]; nan where fewer than two groups have a rate."""
    known = np.isfinite(rates)
    several = known.sum(axis=1) > 1
    least = np.where(several, np.where(known, rates, np.inf).min(axis=1), np.nan)
    most = np.where(several, np.where(known, rates, -np.inf).max(axis=1), np.nan)
    return least, most


def lowest(rates: Floats) -> Floats:
    """Smallest of each row; nan where fewer than two groups have one."""
    return extremes(rates)[0]


def highest(rates: Floats) -> Floats:
    """Largest of each row; nan where fewer than two groups have one."""
    return extremes(rates)[1]


def divided(top: Floats, bottom: Floats) -> Floats:
    """Quotient, nan where the divisor is 0."""
    quotients: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)
    return quotients


def fairness_metric(name: str) -> Metric:
    """One of the gaps in rates as a metric (its ``measure`` is not used: labels come from a task)."""
    title, unit, better, explains = _TITLES[name]
    made_with = f"fairlearn {version('fairlearn')}"
    return Metric(name, title, unit, better, "answers", explains, _no_evidence, lambda: made_with, scale=SHARE)


@dataclass(frozen=True)
class Chance:
    """What a gap would be were the groups drawn at random.

    mean: over shuffles of the groups. p: share of shuffles that reach the value. without: the gap with what chance alone shows
    taken off, as the root of its square less theirs; unbiased for the square of two groups' difference.
    """

    mean: float
    p: float
    without: float


def by_chance(statistic: RateStatistic | GroupMeanStatistic, *, rounds: int, seed: int) -> Chance | None:
    """The permutation distribution of no gap.

    A gap between groups is never negative and grows with the number of small groups, so 0 is not what fairness looks like.
    """
    from dataclasses import replace

    plain = np.ones((1, len(statistic.groups)))
    value = float(statistic.at(plain)[0])
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(rounds):
        # Two rows of weights keep it on our own counting: fairlearn takes some ten milliseconds each.
        shuffled = replace(statistic, groups=generator.permutation(statistic.groups))
        values.append(float(shuffled.at(np.repeat(plain, 2, axis=0))[0]))
    known = [item for item in values if np.isfinite(item)]
    if not known or not np.isfinite(value):
        return None
    reached = sum(item >= value - 1e-12 for item in known)
    left = math.sqrt(max(0.0, value**2 - float(np.mean(np.square(known)))))
    return Chance(float(np.mean(known)), (reached + 1) / (len(known) + 1), left)


def numbered(groups: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Groups as numbers, and their names in order."""
    names = sorted(set(groups))
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[group] for group in groups], dtype=np.int64), names


def _no_evidence(_: object) -> RateStatistic:
    """Labels are measured by :class:`RateStatistic`."""
    raise NotImplementedError("fairness is measured from labels and groups")
