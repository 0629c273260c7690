"""What a metric is: evidence in, a statistic out that can be computed again for any resample of the examples.

Legend: n examples, k sums per example, r resamples.

A corpus metric (BLEU, perplexity) is not a mean of per-example values, so a resample must pool the examples drawn and compute
the metric anew. A statistic takes *weights*: how often each example was drawn. All ones gives the plain score.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from studio.evals.evidence import Evidence
from studio.evals.pieces import Floats, Pieces
from studio.evals.statistics import ANY, Better, Scale, Statistic
from studio.schema.tasks import ConversationTask

Needs = Literal["likelihood", "answers"]


class OfTheWhole(ABC):
    """What statistics of a whole set share: every example counts, and none has a value of its own."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many examples there are."""

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Every example counts."""
        return np.ones(self.size, dtype=bool)

    @property
    def each(self) -> list[float | None]:
        """The figure belongs to the whole set; an example alone has none."""
        return [None] * self.size


@dataclass(frozen=True)
class SumStatistic:
    """A metric that is a function of sums over examples.

    sums: float [n, k]; rows of examples that are not scored are ignored.
    combine: [r, k] -> [r].
    """

    sums: Floats
    scored: NDArray[np.bool_]
    each: list[float | None]
    combine: Callable[[Floats], Floats]

    def at(self, weights: Floats) -> Floats:
        """See :meth:`Statistic.at`."""
        pooled = (weights * self.scored) @ np.where(self.scored[:, None], self.sums, 0.0)
        return self.combine(pooled)

    def pieces(self, usable: NDArray[np.bool_]) -> Pieces:
        """See :class:`studio.evals.statistics.OfSums`."""
        return Pieces.of(self.sums[usable], self.combine)


@dataclass(frozen=True)
class Metric:
    """One registered metric.

    key: its name in a suite. title: its name for people. unit, better: of the value.
    needs: the evidence it reads, so that nothing is generated for a suite of likelihoods.
    explains: how the number is made, one or two plain sentences for the report.
    measure: evidence of n examples -> statistic.
    made_with: library and settings, called after ``measure`` (sacrebleu's signature counts the references).
    scale: which values it can take, and whether it is compared by ratios.
    right_or_wrong: values per example are 0 or 1, so that McNemar's test applies.
    per_token: the value depends on the tokenizer and cannot be compared across tokenizers.
    repeats_shrink: drawing an example twice adds nothing new (variety of pictures), which shifts every resample to one side; the
        interval is moved back by that shift.
    ideal: the value of no bias; better and worse then mean nearer to and further from it.
    missing: why it cannot be computed here and what to do; None when it can.
    """

    key: str
    title: str
    unit: str
    better: Better
    needs: Needs
    explains: str
    measure: Callable[[Sequence[Evidence]], Statistic]
    made_with: Callable[[], str]
    scale: Scale = ANY
    right_or_wrong: bool = False
    per_token: bool = False
    repeats_shrink: bool = False
    ideal: float | None = None
    missing: str | None = None

    def configured(self, task: ConversationTask) -> Metric:  # noqa: ARG002 - for metrics that have settings
        """The metric with what a task sets for it."""
        return self

    def for_texts(self, evidence: Sequence[Evidence]) -> Metric:  # noqa: ARG002 - for metrics whose cutting follows the language
        """The metric with an account of how it cuts the answers and references at hand."""
        return self


def mean_statistic(values: Sequence[float | None]) -> SumStatistic:
    """A plain mean over the examples that have a value."""
    scored = np.array([value is not None for value in values], dtype=bool)
    filled = np.array([0.0 if value is None else value for value in values], dtype=np.float64)
    return SumStatistic(np.stack([filled, np.ones_like(filled)], axis=1), scored, list(values), ratio)


def ratio(sums: Floats) -> Floats:
    """First sum over second: [r, 2] -> [r]; nan where the second is 0."""
    quotients: Floats = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] != 0)
    return quotients


def by_row(score: Callable[[list[float]], float]) -> Callable[[Floats], Floats]:
    """Lift a score of one list of sums to [r, k] -> [r], for libraries that compute one at a time."""

    def combine(sums: Floats) -> Floats:
        return np.array([score(row) for row in sums.tolist()], dtype=np.float64)

    return combine
