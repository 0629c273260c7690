"""Whether a model scores worse on new questions than on the ones before: two reports on different rows, by their intervals.

The rows differ, so nothing can be paired. The interval of a difference of two independent figures follows from the interval of
each (MOVER, Zou and Donner 2008: squared distances to the ends are added up), which also holds for intervals that are not
symmetric, as that of a perplexity. Holm's correction runs over all metrics of a look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from studio.core.records import ReportRecord, Score
from studio.evals.gate import means
from studio.evals.numbers import interval_text, number
from studio.evals.statistics import LEVEL
from studio.feedback.drift import ALL_ALARMS

_Z = float(norm.ppf((1 + LEVEL) / 2))


@dataclass(frozen=True)
class Measured:
    """A metric on new questions beside the measurement that it is held against.

    before: value then; None where there is nothing to hold it against. p: chance of such a difference where nothing changed.
    """

    suite: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    before: float | None = None
    p: float | None = None
    worse: bool = False
    sentence: str = ""

    def document(self) -> dict[str, Any]:
        """As the watch remembers it."""
        return asdict(self)


def compare_reports(
    reports: Mapping[str, tuple[ReportRecord, ReportRecord | None]], named: Mapping[str, Sequence[str]]
) -> list[Measured]:
    """The figures of new reports, and which are shown worse than those before.

    Args:
        reports: by suite, the new report and the one that it is held against.
        named: by suite, the metrics that count; empty takes all that have a better direction.
    """
    found: list[tuple[Measured, Score, Score | None]] = []
    for suite, (new, old) in reports.items():
        before = {score.metric: score for score in old.scores["tuned"]} if old is not None else {}
        for score in new.scores["tuned"]:
            wanted = not named[suite] or any(means(score, name) for name in named[suite])
            if score.value is not None and wanted and score.better != "neither":
                now = Measured(suite, score.metric, score.value, score.low, score.high, score.n)
                found.append((now, score, before.get(score.metric)))
    ps = [_p(score, other) for _, score, other in found]
    tested = [place for place, p in enumerate(ps) if p is not None]
    certain: dict[int, bool] = {}
    if tested:
        shown = multipletests([ps[place] for place in tested], alpha=ALL_ALARMS, method="holm")[0]
        certain = {place: bool(sure) for place, sure in zip(tested, shown, strict=True)}
    return [_told(*one, ps[place], certain.get(place, False)) for place, one in enumerate(found)]


def _told(now: Measured, score: Score, other: Score | None, p: float | None, certain: bool) -> Measured:
    """A figure with what was found of it."""
    if other is None or other.value is None:
        return now
    worse = certain and _is_worse(score, other)
    sentence = (
        f"{now.metric} is {number(score.value)} (95% interval {interval_text(score.low, score.high)}) on {score.n} new "
        f"questions, {number(other.value)} ({interval_text(other.low, other.high)}) on {other.n} before"
    )
    return Measured(**{**now.document(), "before": other.value, "p": p, "worse": worse, "sentence": sentence if worse else ""})


def _is_worse(score: Score, other: Score) -> bool:
    """Whether a value lies on the bad side of another."""
    assert score.value is not None and other.value is not None
    return score.value < other.value if score.better == "higher" else score.value > other.value


def _p(score: Score, other: Score | None) -> float | None:
    """Two-sided p-value of a difference of two independent figures, by the normal arms of their intervals; None without both."""
    if other is None or None in (score.value, score.low, score.high, other.value, other.low, other.high):
        return None
    assert score.value is not None and score.low is not None and score.high is not None
    assert other.value is not None and other.low is not None and other.high is not None
    difference = score.value - other.value
    # The arm that reaches towards 0: that of a fall is its upper one.
    arms = (
        (score.high - score.value, other.value - other.low)
        if difference < 0
        else (score.value - score.low, other.high - other.value)
    )
    arm = math.hypot(*arms)
    if difference == 0 or arm == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * norm.sf(_Z * abs(difference) / arm))
