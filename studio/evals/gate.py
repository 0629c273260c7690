"""Thresholds: what must hold before a model goes further.

A threshold is met where the whole 95% interval lies on its good side. Where only the value does, there are too few examples: it
is not shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from studio.core.errors import GateNotMetError
from studio.core.records import Difference, ReportRecord, Score
from studio.core.telling import counted
from studio.evals.intervals import ALIKE, FEWEST, share_interval, share_unlike
from studio.evals.numbers import number
from studio.evals.statistics import SIGNIFICANCE
from studio.schema.suite import Threshold

Verdict = Literal["met", "missed", "not shown"]

# "Not worse" without a margin: a loss of more than this share of the metric's range (of the base's value where it has none) must
# be ruled out, or a comparison that can show nothing would pass.
TOLERATED = 0.1
# More examples than anybody has are not named.
_MOST = 1_000_000


@dataclass(frozen=True)
class Judged:
    """One threshold: the metric, whether it holds, and what was seen where it does not."""

    metric: str
    verdict: Verdict
    sentence: str = ""


def judge(record: ReportRecord, thresholds: Sequence[Threshold]) -> dict[str, Any]:
    """The gate as it stands in ``scores.json``: how many thresholds, and a sentence for each that is missed or not shown."""
    if not thresholds:
        return {}
    found = judged(record, thresholds)
    return {
        "thresholds": len(found),
        "met": sum(item.verdict == "met" for item in found),
        "missed": [item.sentence for item in found if item.verdict == "missed"],
        "not_shown": [item.sentence for item in found if item.verdict == "not shown"],
    }


def judged(record: ReportRecord, thresholds: Sequence[Threshold]) -> list[Judged]:
    """Every threshold in order. What could not be computed is missed."""
    return [_judge(record, threshold) for threshold in thresholds]


def gate_sentence(gate: dict[str, Any]) -> str:
    """What is missed and what is not shown, as one sentence; empty where the gate is met."""
    parts = []
    for key, words in (("missed", "not met"), ("not_shown", "not shown on so few examples")):
        found = [str(sentence).removesuffix(".") for sentence in gate.get(key, [])]
        if found:
            parts.append(f"{len(found)} of {counted(gate['thresholds'], 'threshold')} {words}: {'; '.join(found)}")
    return ". ".join(parts) + "." if parts else ""


def check_gate(record: ReportRecord, thresholds: Sequence[Threshold]) -> None:
    """Stop when a threshold is not met.

    Raises:
        GateNotMetError: names every threshold that is missed or not shown, with the value seen.
    """
    sentence = gate_sentence(judge(record, thresholds))
    if sentence:
        raise GateNotMetError(sentence)


def _judge(record: ReportRecord, threshold: Threshold) -> Judged:
    """One threshold."""
    name = threshold.metric
    tuned = _score(record, "tuned", name)
    if threshold.bound in {"not_worse_than_base", "not_worse_than_base_by"}:
        return _against_base(record, threshold, tuned)
    if tuned is None or tuned.value is None:
        return Judged(name, "missed", f"{name} could not be computed{_because(tuned)}")
    below = threshold.bound.startswith("at_most")
    if threshold.bound in {"at_least", "at_most"}:
        limit = float(getattr(threshold, threshold.bound))
        return _within(name, tuned, (tuned.low, tuned.high), limit, "", below)
    base = _score(record, "base", name)
    if base is None or base.value is None:
        reason = "no base was measured" if base is None else "the base has no value"
        return Judged(name, "missed", f"{name} could not be compared with a base ({reason})")
    factor = float(getattr(threshold, threshold.bound))
    words = f" ({'' if factor == 1 else f'{factor:g} times '}the base)"
    return _within(name, tuned, _beside(record, name, tuned, base.value), factor * base.value, words, below)


def _beside(record: ReportRecord, name: str, tuned: Score, base: float) -> tuple[float | None, float | None]:
    """Bounds of the tuned value where a multiple of the base's is the limit: the paired interval, moved to the base's value."""
    found = next((item for item in record.differences if means(item, name)), None)
    if found is None or found.low is None or found.high is None:
        return tuned.low, tuned.high
    return base + found.low, base + found.high


def _within(name: str, tuned: Score, bounds: tuple[float | None, float | None], limit: float, words: str, below: bool) -> Judged:
    """A value against a number, by its interval."""
    assert tuned.value is not None
    low, high = bounds
    seen, required = f"{name} is {tuned.value:.4g}", f"{'at most' if below else 'at least'} {limit:.6g}{words}"
    if (tuned.value > limit) if below else (tuned.value < limit):
        return Judged(name, "missed", f"{seen}, required {required}")
    if low is None or high is None:
        reason = (tuned.interval or "no interval").removeprefix("no interval: ")
        return Judged(name, "not shown", f"{seen} on {_rows(tuned)}, required {required}: {reason}")
    bound = high if below else low
    if (bound <= limit) if below else (bound >= limit):
        return Judged(name, "met")
    needed = needed_for_value(tuned, bound, limit, below)
    return Judged(
        name,
        "not shown",
        f"{seen} on {_rows(tuned)}, but {number(bound)} cannot be ruled out, required {required}{_needed(needed, tuned)}",
    )


def needed_for_value(score: Score, bound: float, limit: float, below: bool) -> int | None:
    """About how many examples would carry the verdict, were the value the same; None where none would."""
    assert score.value is not None
    if score.interval.startswith("exact interval of a share"):
        value = score.value

        def carries(count: int) -> bool:
            bounds = share_interval(float(round(value * count)), count)
            return bounds is not None and ((bounds[1] <= limit) if below else (bounds[0] >= limit))

        return _least(carries, score.n)
    if score.interval == ALIKE and score.highest is not None and score.lowest is not None:
        end, room = score.highest if below else score.lowest, abs(limit - score.value)
        beyond = abs(end - score.value)
        return _least(lambda count: beyond * share_unlike(count) <= room, score.clusters or score.n)
    return needed_for_reach(score.clusters or score.n, abs(bound - score.value), abs(limit - score.value))


def needed_for_reach(count: int, reach: float, room: float) -> int | None:
    """Examples at which an interval that reaches so far now would reach no further than ``room``: it shrinks with their root."""
    if room <= 0:
        return None
    needed = max(FEWEST, math.ceil(count * (reach / room) ** 2))
    return needed if needed <= _MOST else None


def _least(carries: Callable[[int], bool], start: int) -> int | None:
    """Smallest count above ``start`` that carries, about."""
    count = max(start, 2)
    while not carries(count):
        count = math.ceil(count * 1.1)
        if count > _MOST:
            return None
    return count


def _needed(count: int | None, score: Score) -> str:
    """How many examples would be needed, to two digits."""
    if count is None:
        return "; with this value no number of rows would show it"
    unit = 10 ** max(0, len(str(count)) - 2)
    return f"; about {math.ceil(count / unit) * unit:,} {'independent examples' if score.clusters else 'rows'} would be needed"


def _rows(score: Score) -> str:
    """How many examples a value rests on."""
    rows = counted(score.n, "row")
    return f"{rows} made from {counted(score.clusters, 'independent example')}" if score.clusters else rows


def _against_base(record: ReportRecord, threshold: Threshold, tuned: Score | None) -> Judged:
    """The paired comparison, by its own 95% interval: correcting for many comparisons would make a gate easier to pass."""
    name = threshold.metric
    found = next((item for item in record.differences if means(item, name)), None)
    if found is None or tuned is None:
        reason = _because(tuned) if tuned is not None and tuned.value is None else ""
        return Judged(
            name, "missed", f"{name} could not be compared with a base ({reason.removeprefix(': ') or 'no base was measured'})"
        )
    if found.value == 0 and found.p == 1.0 and found.low is None and share_unlike(found.n) <= TOLERATED:
        return Judged(name, "met")
    bounded = found.low is not None or found.distance_low is not None
    if not bounded and found.value is not None and (tuned.better != "neither" or tuned.ideal is not None):
        return Judged(name, "not shown", f"{name} is not shown to be no worse than the base on {_rows(tuned)}: {found.method}")
    loss = _loss(found, tuned)
    if loss is None:
        return Judged(name, "missed", f"{name} could not be compared with a base ({found.method})")
    margin = threshold.not_worse_than_base_by
    if margin is None:
        if (worse := _shown_worse(name, found, loss)) is not None:
            return worse
        margin = _tolerated(record, name, tuned)
    return _non_inferior(name, tuned, loss, margin)


def _non_inferior(name: str, tuned: Score, loss: tuple[float, float, float], margin: float) -> Judged:
    """A loss beyond the margin is ruled out, or not."""
    least, value, most = loss
    if most <= margin:
        return Judged(name, "met")
    if least > margin:
        return Judged(name, "missed", f"{name} is worse than the base by {number(value)}, tolerated {number(margin)}")
    needed = needed_for_reach(tuned.clusters or tuned.n, most - value, margin - value)
    return Judged(
        name,
        "not shown",
        f"{name} is not shown to be within {number(margin)} of the base on {_rows(tuned)}: it may be worse by up to "
        f"{number(most)} (95% interval of the loss {number(least)} to {number(most)}){_needed(needed, tuned)}",
    )


def _shown_worse(name: str, found: Difference, loss: tuple[float, float, float]) -> Judged | None:
    """A loss that the comparison shows."""
    least, value, _ = loss
    significant = found.verdict == "worse" or (found.p is not None and found.p < SIGNIFICANCE)
    if not (least > 0 and significant):
        return None
    if found.distance is not None:
        shown, low, high = f"further from its ideal by {value:.4g}", found.distance_low, found.distance_high
    else:
        shown, low, high = f"worse than the base by {found.value:.4g}", found.low, found.high
    return Judged(name, "missed", f"{name} is {shown} (95% interval {low:.4g} to {high:.4g})")


def _tolerated(record: ReportRecord, name: str, tuned: Score) -> float:
    """The loss that must be ruled out where no margin is named."""
    if tuned.lowest is not None and tuned.highest is not None:
        if tuned.ideal is not None:
            return TOLERATED * max(tuned.highest - tuned.ideal, tuned.ideal - tuned.lowest)
        return TOLERATED * (tuned.highest - tuned.lowest)
    base = _score(record, "base", name)
    return TOLERATED * abs(base.value) if base is not None and base.value is not None else 0.0


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
