"""Intervals around predicted numbers: how much of the truth lies within them, and how wide they are."""

from __future__ import annotations

from collections.abc import Sequence

from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.metrics.regression import no_evidence
from studio.evals.statistics import POSITIVE, SHARE, Statistic

BOUND_METRICS = ("interval_coverage", "interval_width")


def bound_metrics(level: float | None) -> dict[str, Metric]:
    """Coverage and width as metrics.

    Args:
        level: how much of the truth the intervals are to hold, None where that is not known.
    """
    promised = f" They are made to hold {level:.0%}." if level is not None else ""
    coverage = Metric(
        key="interval_coverage",
        title="Coverage of the intervals",
        unit="share of examples",
        better="neither" if level is not None else "higher",
        needs="answers",
        explains=f"Share of the true numbers that lie within the interval around the prediction.{promised} Less means that they "
        "are too narrow for rows like these, more that they could be narrower.",
        measure=no_evidence,
        made_with=_counted,
        scale=SHARE,
        right_or_wrong=True,
        ideal=level,
    )
    width = Metric(
        key="interval_width",
        title="Width of the intervals",
        unit="units of the target",
        better="lower",
        needs="answers",
        explains="Mean distance of the two ends. Of intervals with the same coverage the narrower ones say more.",
        measure=no_evidence,
        made_with=_counted,
        scale=POSITIVE,
    )
    return {metric.key: metric for metric in (coverage, width)}


def bound_statistic(name: str, truth: Sequence[float], bounds: Sequence[tuple[float, float]]) -> Statistic:
    """The statistic of one figure."""
    pairs = list(zip(truth, bounds, strict=True))
    if name == "interval_coverage":
        return mean_statistic([float(low <= true <= high) for true, (low, high) in pairs])
    return mean_statistic([high - low for _, (low, high) in pairs])


def _counted() -> str:
    """Where the numbers come from."""
    return "counted by the studio"
