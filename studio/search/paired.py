"""Figures of rows as evaluations know them, so that intervals, tests and Holm's correction are those of suites."""

from __future__ import annotations

from collections.abc import Sequence

from studio.core.records import Difference, Score
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.scoring import difference, score
from studio.evals.statistics import POSITIVE, SHARE
from studio.search.luck import clusters_of
from studio.train.measuring import Measure

_RESAMPLES = 1000


def metric_of(measure: Measure) -> Metric:
    """A measure as a metric: a mean over rows."""
    return Metric(
        key=measure.name,
        title=measure.title,
        unit=measure.unit,
        better=measure.better,
        needs="answers",
        explains="Mean over the rows.",
        measure=lambda evidence: mean_statistic([None for _ in evidence]),
        made_with=lambda: "numpy",
        scale=SHARE if measure.unit == "share" else POSITIVE,
        right_or_wrong=measure.right_or_wrong,
    )


def scored(measure: Measure, groups: Sequence[str | None] | None, seed: int) -> Score:
    """A measure with its 95% interval; None per row gives the value alone."""
    if measure.values is None:
        return Score(
            metric=measure.name,
            value=measure.value,
            unit=measure.unit,
            better=measure.better,
            n=0,
            made_with="told by the training",
            title=measure.title,
            interval="no interval: there are no values of single rows",
        )
    clusters = clusters_of(groups)
    return score(metric_of(measure), mean_statistic(list(measure.values)), resamples=_RESAMPLES, seed=seed, clusters=clusters)


def paired(first: Measure, second: Measure, groups: Sequence[str | None] | None, seed: int) -> Difference:
    """First minus second on the same rows."""
    assert first.values is not None and second.values is not None
    return difference(
        metric_of(first),
        mean_statistic(list(first.values)),
        mean_statistic(list(second.values)),
        resamples=_RESAMPLES,
        seed=seed,
        clusters=clusters_of(groups),
    )
