"""Thresholds: what must hold before a model goes further."""

from __future__ import annotations

from collections.abc import Sequence

from studio.core.errors import GateNotMetError
from studio.core.records import ReportRecord
from studio.evals.statistics import NOT_COMPUTED
from studio.schema.suite import Threshold


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
    if threshold.not_worse_than_base:
        found = next((item for item in record.differences if item.metric == name), None)
        if found is None or found.verdict == NOT_COMPUTED:
            return f"{name} could not be compared with a base ({found.method if found else 'no base was measured'})"
        if found.verdict == "worse":
            return f"{name} is worse than the base by {found.value:.4g} (95% interval {found.low:.4g} to {found.high:.4g})"
        return None
    value = next((item.value for item in record.scores.get("tuned", []) if item.metric == name), None)
    if value is None:
        return f"{name} could not be computed"
    if threshold.at_least is not None and value < threshold.at_least:
        return f"{name} is {value:.4g}, required at least {threshold.at_least:g}"
    if threshold.at_most is not None and value > threshold.at_most:
        return f"{name} is {value:.4g}, required at most {threshold.at_most:g}"
    return None
