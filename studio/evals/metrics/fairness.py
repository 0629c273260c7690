"""Group fairness: how rates and quality differ between groups of people, with intervals.

Legend: n examples, g groups, r resamples.

Definitions are fairlearn's (``demographic_parity_difference`` and its kin, and ``MetricFrame``), which makes the plain
value; resamples are counted here, and the tests hold the two together. One thing is told apart: a group without a true
positive has no true positive rate. fairlearn takes 0 for it, here it is left out of that gap and named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import Metric, OfTheWhole
from studio.evals.statistics import Better, Floats

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
        selected, tpr, fpr = self.rates(weights)
        if self.name == "demographic_parity_difference":
            return spread(selected)
        if self.name == "demographic_parity_ratio":
            with np.errstate(invalid="ignore", divide="ignore"):
                lowest, highest = np.nanmin(selected, axis=1), np.nanmax(selected, axis=1)
                ratio: Floats = np.where(highest > 0, lowest / np.where(highest > 0, highest, 1), np.nan)
                return ratio
        if self.name == "equal_opportunity_difference":
            return spread(tpr)
        with np.errstate(invalid="ignore"):
            worst: Floats = np.fmax(spread(tpr), spread(fpr))
        return worst

    def rates(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Selection, true positive and false positive rate of each group, [r, g] each; nan where a group has no such example."""
        cells = self.groups * 4 + self.truth * 2 + self.predicted
        tables: Floats = np.stack(
            [np.bincount(cells, weights=row, minlength=4 * self.count).astype(np.float64) for row in weights]
        )
        tn, fp, fn, tp = (tables.reshape(len(weights), self.count, 4)[:, :, cell] for cell in range(4))
        return divided(tp + fp, tn + fp + fn + tp), divided(tp, tp + fn), divided(fp, fp + tn)

    def _defined(self) -> bool:
        """True when every group has all that the figure is made of, so that fairlearn means the same."""
        selected, tpr, fpr = self.rates(np.ones((1, len(self.truth))))
        needed = {"equalized_odds_difference": [tpr, fpr], "equal_opportunity_difference": [tpr]}.get(self.name, [selected])
        ratio_of_nothing = self.name == "demographic_parity_ratio" and float(np.nanmax(selected)) == 0
        return all(np.isfinite(values).all() for values in needed) and not ratio_of_nothing

    def _fairlearn(self) -> float:
        """The figure by fairlearn."""
        import fairlearn.metrics

        function = getattr(fairlearn.metrics, self.name)
        return float(function(self.truth, self.predicted, sensitive_features=self.groups.tolist()))


@dataclass(frozen=True)
class GroupMeanStatistic:
    """A figure of the groups' mean values: the gap between the best and the worst, or the worst itself.

    values: [n]; scored: which have one. groups: [n]. figure: means [r, g] -> [r].
    """

    values: Floats
    scored: NDArray[np.bool_]
    groups: NDArray[np.int64]
    count: int
    figure: Callable[[Floats], Floats]

    @property
    def each(self) -> list[float | None]:
        """A gap belongs to no single example."""
        return [None] * len(self.values)

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`."""
        counts = weights * self.scored
        member = np.eye(self.count)[self.groups]  # [n, g]
        return self.figure(divided(counts @ (member * np.where(self.scored, self.values, 0.0)[:, None]), counts @ member))


def spread(rates: Floats) -> Floats:
    """Largest minus smallest of each row, groups without a rate left out: [r, g] -> [r]; nan where no group has one."""
    known: NDArray[np.bool_] = np.any(np.isfinite(rates), axis=1)
    filled = np.where(known[:, None], rates, 0.0)
    gap: Floats = np.where(known, np.nanmax(filled, axis=1) - np.nanmin(filled, axis=1), np.nan)
    return gap


def lowest(rates: Floats) -> Floats:
    """Smallest of each row."""
    value: Floats = np.nanmin(rates, axis=1)
    return value


def highest(rates: Floats) -> Floats:
    """Largest of each row."""
    value: Floats = np.nanmax(rates, axis=1)
    return value


def divided(top: Floats, bottom: Floats) -> Floats:
    """Quotient, nan where the divisor is 0."""
    quotients: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)
    return quotients


def fairness_metric(name: str) -> Metric:
    """One of the gaps in rates as a metric (its ``measure`` is not used: labels come from a task)."""
    title, unit, better, explains = _TITLES[name]
    return Metric(name, title, unit, better, "answers", explains, _no_evidence, lambda: f"fairlearn {version('fairlearn')}")


def by_chance(statistic: RateStatistic | GroupMeanStatistic, *, rounds: int, seed: int) -> tuple[float, float] | None:
    """What the figure would be were the groups drawn at random: mean over shuffles, and the share of shuffles that reach the
    value.

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
    return float(np.mean(known)), (reached + 1) / (len(known) + 1)


def numbered(groups: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Groups as numbers, and their names in order."""
    names = sorted(set(groups))
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[group] for group in groups], dtype=np.int64), names


def _no_evidence(_: object) -> RateStatistic:
    """Labels are measured by :class:`RateStatistic`."""
    raise NotImplementedError("fairness is measured from labels and groups")
