"""Distinct-n: how varied the answers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric
from studio.evals.metrics.rouge import UnicodeWords
from studio.evals.pieces import Floats
from studio.evals.statistics import SHARE, Statistic


@dataclass(frozen=True)
class DistinctStatistic:
    """Different n-grams over all n-grams of the answers drawn.

    Legend: g n-grams (each different one once per answer that holds it).
    grams: int [g], number of the n-gram. owners: int [g], the answer that holds it. totals: [n], n-grams of each answer.
    texts: the n-gram of each number.
    """

    grams: NDArray[np.int64]
    owners: NDArray[np.int64]
    totals: Floats
    scored: NDArray[np.bool_]
    each: list[float | None]
    texts: list[tuple[str, ...]]
    shrinks: bool = True

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`; an n-gram counts as one however often its answer was drawn."""
        drawn = weights * self.scored
        seen = np.zeros(int(self.grams.max(initial=-1)) + 1, dtype=bool)
        different = np.empty(len(weights))
        for index, row in enumerate(drawn):
            seen[:] = False
            seen[self.grams[row[self.owners] > 0]] = True
            different[index] = np.count_nonzero(seen)
        totals = drawn @ self.totals
        shares: Floats = np.divide(different, totals, out=np.full(len(weights), np.nan), where=totals > 0)
        return shares

    def joined(self, other: Statistic) -> DistinctStatistic:
        """See :class:`studio.evals.statistics.Joinable`; n-grams that both have are the same."""
        assert isinstance(other, DistinctStatistic)
        numbers = {text: number for number, text in enumerate(self.texts)}
        theirs = np.array([numbers.setdefault(text, len(numbers)) for text in other.texts], dtype=np.int64)
        return DistinctStatistic(
            np.concatenate([self.grams, theirs[other.grams]]),
            np.concatenate([self.owners, other.owners + len(self.totals)]),
            np.concatenate([self.totals, other.totals]),
            np.concatenate([self.scored, other.scored]),
            self.each + other.each,
            list(numbers),
        )


def _measure(order: int) -> Callable[[Sequence[Evidence]], DistinctStatistic]:
    """Distinct-n over all answers pooled. Source: Li et al. 2016, https://arxiv.org/abs/1510.03055."""

    def measure(evidence: Sequence[Evidence]) -> DistinctStatistic:
        numbers: dict[tuple[str, ...], int] = {}
        grams: list[int] = []
        owners: list[int] = []
        totals: list[float] = []
        each: list[float | None] = []
        for owner, item in enumerate(evidence):
            words = UnicodeWords().tokenize(item.said) if item.said is not None else []
            found = [tuple(words[start : start + order]) for start in range(len(words) - order + 1)]
            different = set(found)
            grams += [numbers.setdefault(gram, len(numbers)) for gram in different]
            owners += [owner] * len(different)
            totals.append(float(len(found)))
            each.append(len(different) / len(found) if found else None)
        return DistinctStatistic(
            np.array(grams, dtype=np.int64),
            np.array(owners, dtype=np.int64),
            np.array(totals),
            np.array([item.said is not None for item in evidence], dtype=bool),
            each,
            list(numbers),
        )

    return measure


def _distinct(order: int, what: str) -> Metric:
    """One member of the family."""
    return Metric(
        key=f"distinct_{order}",
        title=f"Distinct-{order}",
        unit="share, 0 to 1",
        better="higher",
        needs="answers",
        explains=(
            f"Different {what} divided by all {what}, over all answers pooled: low when a model repeats itself or gives everyone "
            "the same answer. Longer answers have lower values by themselves, so read it beside the length."
        ),
        measure=_measure(order),
        made_with=lambda: "Unicode words in lower case (letters where a script has no blanks)",
        scale=SHARE,
    )


DISTINCT_1 = _distinct(1, "words")
DISTINCT_2 = _distinct(2, "word pairs")
