"""From evidence to scores, paired differences and a table of examples. No model is needed any more from here on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.records import Difference, Score
from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, Statistic
from studio.evals.statistics import NOT_COMPUTED, estimate, mcnemar, paired_difference, verdict


def score(metric: Metric, statistic: Statistic, *, resamples: int, seed: int) -> Score:
    """One number with its interval and coverage (share of the examples asked that could be scored)."""
    value, bounds = estimate(statistic, resamples=resamples, seed=seed, recentre=metric.repeats_shrink)
    asked, scored = len(statistic.scored), int(statistic.scored.sum())
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
    value, bounds, count = paired_difference(tuned, base, resamples=resamples, seed=seed, recentre=metric.repeats_shrink)
    method = f"paired bootstrap over examples, {resamples} resamples, seed {seed}, 95% percentile interval"
    p_value = None
    if metric.right_or_wrong:
        only_tuned, only_base, p_value = mcnemar(tuned.each, base.each)
        method += f"; exact McNemar: {only_tuned} only tuned, {only_base} only base, p = {p_value:.3g}"
    if bounds is None:
        method += f"; no interval from {count} example{'' if count == 1 else 's'}"
    return Difference(
        metric=metric.key,
        value=value,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        n=count,
        method=method,
        verdict=verdict(bounds, metric.better, p_value),
    )


def example_table(
    evidence: Mapping[str, Sequence[Evidence]], measured: Mapping[str, Mapping[str, Statistic]]
) -> list[dict[str, Any]]:
    """One line per question: prompt, reference, and for each model its answer and its value of each metric.

    Args:
        evidence: model label to evidence, all on the same questions.
        measured: model label to metric key to statistic.
    """
    questions = [item.question for item in next(iter(evidence.values()))]
    lines: list[dict[str, Any]] = []
    for index, question in enumerate(questions):
        line: dict[str, Any] = {"id": question.id, "prompt": list(question.prompt), "reference": question.reference}
        for label, items in evidence.items():
            answer = items[index].answer
            line[f"{label}_answer"] = answer.text if answer else None
            line[f"{label}_stopped_by_limit"] = answer.truncated if answer else None
        for label, statistics in measured.items():
            for key, statistic in statistics.items():
                line[f"{label}_{key}"] = statistic.each[index]
        lines.append(line)
    return lines


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
