"""Thresholds: what must hold before a model goes further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.core.errors import GateNotMetError
from studio.core.records import Difference, ReportRecord, Score
from studio.evals.statistics import NOT_COMPUTED, SIGNIFICANCE
from studio.schema.suite import Threshold


def judge(record: ReportRecord, thresholds: Sequence[Threshold]) -> dict[str, Any]:
    """The gate as it stands in ``scores.json``: how many thresholds, and a sentence for each that is missed."""
    return {"thresholds": len(thresholds), "missed": missed_thresholds(record, thresholds)} if thresholds else {}


def missed_thresholds(record: ReportRecord, thresholds: Sequence[Threshold]) -> list[str]:
    """One sentence per threshold that is not met. What could not be computed does not pass."""
    return [sentence for threshold in thresholds if (sentence := _judge(record, threshold)) is not None]


def check_gate(record: ReportRecord, thresholds: Sequence[Threshold]) -> None:
    """Stop when a threshold is not met.

    Raises:
        GateNotMetError: names every threshold that failed, with the value seen.
    """
    missed = missed_thresholds(record, thresholds)
    if missed:
        raise GateNotMetError(f"{len(missed)} of {len(thresholds)} thresholds not met: " + "; ".join(missed) + ".")


def _judge(record: ReportRecord, threshold: Threshold) -> str | None:
    """None when the threshold is met, else what was seen instead."""
    name = threshold.metric
    tuned = _score(record, "tuned", name)
    if threshold.bound in {"not_worse_than_base", "not_worse_than_base_by"}:
        return _against_base(record, threshold, tuned)
    if tuned is None or tuned.value is None:
        return f"{name} could not be computed{_because(tuned)}"
    if threshold.bound == "at_least" or threshold.bound == "at_most":
        limit, words = float(getattr(threshold, threshold.bound)), ""
    else:
        base = _score(record, "base", name)
        if base is None or base.value is None:
            return (
                f"{name} could not be compared with a base "
                f"({'no base was measured' if base is None else 'the base has no value'})"
            )
        factor = float(getattr(threshold, threshold.bound))
        limit, words = factor * base.value, f" ({'' if factor == 1 else f'{factor:g} times '}the base)"
    if threshold.bound.startswith("at_least") and tuned.value < limit:
        return f"{name} is {tuned.value:.4g}, required at least {limit:.6g}{words}"
    if threshold.bound.startswith("at_most") and tuned.value > limit:
        return f"{name} is {tuned.value:.4g}, required at most {limit:.6g}{words}"
    return None


def _against_base(record: ReportRecord, threshold: Threshold, tuned: Score | None) -> str | None:
    """The paired comparison, by its own 95% interval: correcting for many comparisons would make a gate easier to pass."""
    name = threshold.metric
    found = next((item for item in record.differences if means(item, name)), None)
    if found is None:
        reason = _because(tuned) if tuned is not None and tuned.value is None else ""
        return f"{name} could not be compared with a base ({reason.removeprefix(': ') or 'no base was measured'})"
    loss = _loss(found, tuned)
    if loss is None or found.verdict == NOT_COMPUTED:
        return f"{name} could not be compared with a base ({found.method})"
    least, value, most = loss
    if threshold.not_worse_than_base_by is not None:
        margin = threshold.not_worse_than_base_by
        if most > margin:
            return (
                f"{name} is not shown to be within {margin:g} of the base: it may be worse by up to {most:.4g} "
                f"(95% interval of the loss {least:.4g} to {most:.4g})"
            )
        return None
    significant = found.verdict == "worse" or (found.p is not None and found.p < SIGNIFICANCE)
    if least > 0 and significant:
        shown = (
            f"further from its ideal by {value:.4g}"
            if found.distance is not None
            else f"worse than the base by {found.value:.4g}"
        )
        low, high = (found.distance_low, found.distance_high) if found.distance is not None else (found.low, found.high)
        return f"{name} is {shown} (95% interval {low:.4g} to {high:.4g})"
    return None


def _loss(found: Difference, tuned: Score | None) -> tuple[float, float, float] | None:
    """How much worse than the base: interval and value, larger is worse; None where it cannot be said."""
    if found.distance is not None:
        if found.distance_low is None or found.distance_high is None:
            return None
        return found.distance_low, found.distance, found.distance_high
    better = tuned.better if tuned is not None else "neither"
    if found.value is None or found.low is None or found.high is None or better == "neither":
        return None
    if better == "higher":
        return -found.high, -found.value, -found.low
    return found.low, found.value, found.high


def _score(record: ReportRecord, label: str, name: str) -> Score | None:
    """The score a threshold names."""
    return next((item for item in record.scores.get(label, []) if means(item, name)), None)


def means(item: Score | Difference, name: str) -> bool:
    """True for ``task.metric``, and for the bare metric, which the schema has found to be unique."""
    return item.metric == name or (item.task is not None and item.metric == f"{item.task}.{name}")


def _because(score: Score | None) -> str:
    """Why there is no value."""
    return f": {score.reason}" if score is not None and score.reason else ""
