"""From evidence to scores and paired differences. No model is needed any more from here on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from studio.core.records import Difference, Score
from studio.evals.metrics.base import Metric
from studio.evals.statistics import (
    NO_DIFFERENCE,
    NOT_COMPUTED,
    SIGNIFICANCE,
    Statistic,
    compare,
    estimate,
    holm,
    mcnemar,
    share_difference,
    verdict,
    wilson,
)


def score(metric: Metric, statistic: Statistic, *, resamples: int, seed: int) -> Score:
    """One number with its interval and coverage (share of the examples asked that could be scored)."""
    value, bounds = estimate(statistic, resamples=resamples, seed=seed, recentre=metric.repeats_shrink)
    asked, scored = len(statistic.scored), int(statistic.scored.sum())
    hits = [item for item in statistic.each if item is not None]
    # Resamples of outcomes that are all alike are all alike: a bootstrap would be certain after three examples.
    alike = bounds is not None and bounds[0] == bounds[1] and len(hits) == scored and set(hits) in ({0.0}, {1.0})
    if value is not None and (metric.right_or_wrong or (alike and value in {0.0, 1.0})):
        bounds = wilson(sum(hits), scored)
    if bounds and metric.unit.startswith("share"):
        bounds = max(0.0, bounds[0]), min(1.0, bounds[1])
    return Score(
        metric=metric.key,
        value=value,
        unit=metric.unit,
        better=metric.better,
        n=scored,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        coverage=scored / asked if asked else 0.0,
        made_with=metric.made_with(),
        title=metric.title,
        explains=metric.explains,
        ideal=metric.ideal,
        reason=None
        if value is not None
        else ("no example could be scored" if not scored else "it has no value on these examples"),
    )


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
    metric: Metric, tuned: Statistic, base: Statistic, *, resamples: int, seed: int, same_tokens: bool = True
) -> Difference:
    """Tuned minus base on the same examples.

    Args:
        same_tokens: the two models cut text into the same tokens; without that, per-token figures are not compared.
    """
    if metric.per_token and not same_tokens:
        both = int((tuned.scored & base.scored).sum())
        method = "not compared: the two models cut text into different tokens"
        return Difference(metric=metric.key, value=None, n=both, method=method, verdict=NOT_COMPUTED)
    found = compare(tuned, base, resamples=resamples, seed=seed, recentre=metric.repeats_shrink, ideal=metric.ideal)
    method = f"paired bootstrap over examples, {resamples} resamples, seed {seed}, 95% percentile interval"
    p_value, exact, bounds = found.p, None, found.bounds
    if metric.right_or_wrong:
        if bounds is not None and bounds[0] == bounds[1]:
            # The two never disagree, so no resample does: the bootstrap would be certain after 20 examples.
            bounds = share_difference(tuned.each, base.each)
            method = "Newcombe's interval for paired shares, because the two never disagree"
        only_tuned, only_base, exact = mcnemar(tuned.each, base.each)
        p_value = exact if found.bounds else None
        method += f"; exact McNemar: {only_tuned} only tuned, {only_base} only base, p = {exact:.3g}"
    if found.bounds is None:
        method += f"; no interval from {found.n} example{'' if found.n == 1 else 's'}"
    judged = bounds if metric.ideal is None else found.distance_bounds
    return Difference(
        metric=metric.key,
        value=found.value,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        n=found.n,
        method=method,
        verdict=verdict(judged, "lower" if metric.ideal is not None else metric.better, exact),
        p=p_value,
        distance=found.distance,
        distance_low=found.distance_bounds[0] if found.distance_bounds else None,
        distance_high=found.distance_bounds[1] if found.distance_bounds else None,
    )


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
