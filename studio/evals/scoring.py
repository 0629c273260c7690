"""From evidence to scores and paired differences. No model is needed any more from here on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.records import Difference, Score
from studio.evals.comparisons import Comparison, compare
from studio.evals.intervals import estimate
from studio.evals.metrics.base import Metric, SumStatistic, ratio
from studio.evals.pieces import Interval
from studio.evals.statistics import (
    NO_DIFFERENCE,
    NOT_COMPUTED,
    SHARE,
    SIGNIFICANCE,
    Better,
    OwnInterval,
    Statistic,
    holm,
    owners_of,
    verdict,
)


def score(metric: Metric, statistic: Statistic, *, resamples: int, seed: int, clusters: Sequence[object] | None = None) -> Score:
    """One number with its interval and coverage (share of the examples asked that could be scored).

    Args:
        clusters: a name per example, where examples of one name are not independent (one template, one person).
    """
    value, found = estimate(
        statistic,
        resamples=resamples,
        seed=seed,
        scale=metric.scale,
        share=is_share(metric, statistic),
        recentre=metric.repeats_shrink,
        clusters=clusters,
    )
    asked, scored = len(statistic.scored), int(statistic.scored.sum())
    return Score(
        metric=metric.key,
        value=value,
        unit=metric.unit,
        better=metric.better,
        n=scored,
        low=found.bounds[0] if found.bounds else None,
        high=found.bounds[1] if found.bounds else None,
        interval=found.how,
        clusters=_independent(statistic, clusters),
        coverage=scored / asked if asked else 0.0,
        made_with=metric.made_with(),
        title=metric.title,
        explains=metric.explains,
        ideal=metric.ideal,
        lowest=metric.scale.lowest if math.isfinite(metric.scale.lowest) else None,
        highest=metric.scale.highest if math.isfinite(metric.scale.highest) else None,
        reason=None if value is not None else _no_value(statistic),
    )


def is_share(metric: Metric, statistic: Statistic) -> bool:
    """True where the value is the share of examples that are right: by its kind, or because a mean has only 0 and 1 to take."""
    if metric.right_or_wrong:
        return True
    known = {item for item, ok in zip(statistic.each, statistic.scored.tolist(), strict=True) if ok}
    if not known or metric.scale != SHARE or not known <= {0.0, 1.0} or not isinstance(statistic, SumStatistic):
        return False
    return statistic.combine is ratio and bool((statistic.sums[statistic.scored, 1] == 1).all())


def _independent(statistic: Statistic, clusters: Sequence[object] | None) -> int | None:
    """How many clusters the scored examples come from; None where each stands for itself."""
    owners = owners_of(statistic.scored, clusters)
    independent = int(owners.max(initial=-1)) + 1
    return independent if independent < len(owners) else None


def _no_value(statistic: Statistic) -> str:
    """Why there is no value."""
    if not statistic.scored.any():
        return "no example could be scored"
    if isinstance(statistic, OwnInterval):
        return "fewer than two groups have such examples"
    return "it has no value on these examples"


def without_value(metric: Metric, reason: str, asked: int) -> Score:
    """The score of a metric that could not be computed, and why."""
    return Score(
        metric=metric.key,
        value=None,
        unit=metric.unit,
        better=metric.better,
        n=0,
        coverage=0.0 if asked else 1.0,
        made_with="not computed",
        title=metric.title,
        explains=metric.explains,
        ideal=metric.ideal,
        reason=reason,
    )


def difference(
    metric: Metric,
    tuned: Statistic,
    base: Statistic,
    *,
    resamples: int,
    seed: int,
    same_tokens: bool = True,
    clusters: Sequence[object] | None = None,
) -> Difference:
    """Tuned minus base on the same examples.

    Args:
        same_tokens: the two models cut text into the same tokens; without that, per-token figures are not compared.
        clusters: as in :func:`score`.
    """
    if metric.per_token and not same_tokens:
        both = int((tuned.scored & base.scored).sum())
        method = "not compared: the two models cut text into different tokens"
        return Difference(metric=metric.key, value=None, n=both, method=method, verdict=NOT_COMPUTED)
    found = compare(
        tuned,
        base,
        resamples=resamples,
        seed=seed,
        scale=metric.scale,
        share=is_share(metric, tuned) and is_share(metric, base) and metric.ideal is None,
        recentre=metric.repeats_shrink,
        ideal=metric.ideal,
        clusters=clusters,
    )
    judged = found.interval if metric.ideal is None else found.distance_interval
    p_text = f"; {found.test}, p = {found.p:.3g}" if found.p is not None else ""
    return Difference(
        metric=metric.key,
        value=found.value,
        low=found.bounds[0] if found.bounds else None,
        high=found.bounds[1] if found.bounds else None,
        n=found.n,
        method=judged.how + p_text,
        verdict=_verdict(found, judged, "lower" if metric.ideal is not None else metric.better),
        p=found.p,
        distance=found.distance,
        distance_low=found.distance_bounds[0] if found.distance_bounds else None,
        distance_high=found.distance_bounds[1] if found.distance_bounds else None,
    )


def differences(
    metrics: Mapping[str, Metric],
    measured: Mapping[str, Mapping[str, Statistic]],
    *,
    resamples: int,
    seed: int,
    same_tokens: bool = True,
    clusters: Sequence[object] | None = None,
) -> list[Difference]:
    """Tuned minus base of every metric that both have, in order; none without a baseline.

    Args:
        measured: label of the model to its statistic of each metric. same_tokens, clusters: as of :func:`difference`.
    """
    tuned, base = measured.get("tuned", {}), measured.get("base", {})
    return [
        difference(
            metric,
            tuned[name],
            base[name],
            resamples=resamples,
            seed=seed,
            same_tokens=same_tokens,
            clusters=clusters,
        )
        for name, metric in metrics.items()
        if name in tuned and name in base
    ]


def _verdict(found: Comparison, judged: Interval, better: Better) -> str:
    """The interval and the test must both show a difference; without an interval none is shown."""
    if judged.bounds is None and found.p is not None:
        return NO_DIFFERENCE
    return verdict(judged.bounds, better, found.p)


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """The differences of a whole suite after Holm's correction: what does not survive it is no longer called better or worse."""
    adjusted = holm([item.p for item in differences])
    changed = []
    for item, p_holm in zip(differences, adjusted, strict=True):
        shown = item.verdict
        if p_holm is not None and p_holm >= SIGNIFICANCE and shown not in {NOT_COMPUTED, NO_DIFFERENCE}:
            shown = NO_DIFFERENCE
        changed.append(item.model_copy(update={"p_holm": p_holm, "verdict": shown}))
    return changed


def most_changed(lines: Sequence[dict[str, Any]], metric: Metric, count: int) -> tuple[list[int], list[int]]:
    """Places of the most improved and the most worsened examples by one metric, the largest change first.

    Perplexity changes are compared as ratios, so that one hopeless row does not fill the list.
    """
    changes: list[tuple[float, int]] = []
    for index, line in enumerate(lines):
        tuned, base = line.get(f"tuned_{metric.key}"), line.get(f"base_{metric.key}")
        if tuned is None or base is None:
            continue
        change = math.log(tuned / base) if metric.key == "perplexity" else tuned - base
        changes.append((change if metric.better == "higher" else -change, index))
    improved = [index for change, index in sorted(changes, key=lambda pair: (-pair[0], pair[1])) if change > 0]
    worsened = [index for change, index in sorted(changes) if change < 0]
    return improved[:count], worsened[:count]
