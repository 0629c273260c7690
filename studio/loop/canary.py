"""Whether a model on trial goes on, goes back, or is shown to be no worse: by failed answers and thumbs, beside the model in use.

A trial is looked at again and again, and each look is a chance of a false alarm. So it is judged at fixed amounts of data: the
first 20, 40, 80, ... answers (10, 20, ... thumbs) of the trial beside what the model in use gave in the same time. The k-th of
them, from 0, may use 1 / ((k + 1) (k + 2)) of the allowed error, which adds up to 1 however long the trial lasts, and the verdict
does not depend on when anybody looked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from scipy.stats import fisher_exact
from statsmodels.stats.proportion import confint_proportions_2indep

from studio.feedback.store import FeedbackStore
from studio.loop.rounds import AHEAD
from studio.schema.loop import CanaryRules
from studio.serve.aliases import Canary

Row = Mapping[str, Any]
State = Literal["going on", "worse", "no worse", "not shown"]

# The chance that a trial of a model that is no worse goes back, over both measures and all looks.
_ERROR = 0.05
_FIRST_ANSWERS, _FIRST_THUMBS = 20, 10
# From so many thumbs on each side their interval is asked for too.
_FEWEST_THUMBS = 10
_DAY, _HOUR = 86_400.0, 3600.0


@dataclass(frozen=True)
class Side:
    """What one model gave since the trial began."""

    answers: int
    failed: int
    thumbs: int
    down: int


@dataclass(frozen=True)
class Trial:
    """How a trial stands. sentence: why, with the figures."""

    state: State
    sentence: str
    tried: Side
    used: Side


def judge_canary(store: FeedbackStore, canary: Canary, used: Mapping[str, str], rules: CanaryRules, *, now: float) -> Trial:
    """Judge a trial by what the feedback file holds since it began.

    Args:
        used: ``model`` and ``run`` of the model in use.
    """
    since = datetime.fromisoformat(canary.since).timestamp()
    requests = [row for row in store.rows("requests", since=since) if row["created"] <= now]
    ratings = [row for row in store.current_ratings() if since <= row["created"] <= now]
    answers = tuple([(row["created"], row["status"] == "error") for row in _of(requests, one)] for one in (vars(canary), used))
    thumbs = tuple([(row["created"], row["value"] < 0) for row in _of(ratings, one)] for one in (vars(canary), used))
    tried, beside = (Side(len(answers[i]), _count(answers[i]), len(thumbs[i]), _count(thumbs[i])) for i in (0, 1))
    for what, events, first in (("failed answers", answers, _FIRST_ANSWERS), ("thumbs down", thumbs, _FIRST_THUMBS)):
        if (worse := _worse(events, first)) is not None:
            return Trial("worse", f"{what} are shown to be more with {canary.model}: {worse}", tried, beside)
    return Trial(*_rest(canary, tried, beside, rules, now - since), tried, beside)


def _of(rows: Sequence[Row], model: Mapping[str, Any]) -> list[Row]:
    """Rows of a model, by the name it is served under or that of its run, in the order of time."""
    return sorted((row for row in rows if row["model"] in {model["model"], model["run"]}), key=lambda row: float(row["created"]))


def _count(events: Sequence[tuple[float, bool]]) -> int:
    """How many are bad."""
    return sum(bad for _, bad in events)


def _worse(events: tuple[list[tuple[float, bool]], ...], first: int) -> str | None:
    """The figures of the earliest look that shows the tried model worse (Fisher's exact test, one-sided); None without one."""
    tried, used = events
    look, size = 0, first
    while size <= len(tried):
        part, until = tried[:size], tried[size - 1][0]
        beside = [event for event in used if event[0] <= until]
        table = [[_count(part), size - _count(part)], [_count(beside), len(beside) - _count(beside)]]
        p = float(fisher_exact(table, alternative="greater").pvalue) if beside else 1.0
        if p < _ERROR / 2 / ((look + 1) * (look + 2)):
            return f"{_count(part)} of {size}, beside {_count(beside)} of {len(beside)} (p {p:.2g})"
        look, size = look + 1, size * 2
    return None


def _rest(canary: Canary, tried: Side, used: Side, rules: CanaryRules, seconds: float) -> tuple[State, str]:
    """What follows for a trial that is not shown to be worse."""
    if seconds < -AHEAD:
        told = f"by this clock the trial of {canary.model} begins in {-seconds / _HOUR:.1f} hours: a clock was wrong, or still is"
        return "going on", f"{told}. End it and begin anew: studio serve canary --end"
    missing = []
    if seconds < rules.hours * _HOUR:
        missing.append(f"{seconds / _HOUR:.1f} of {rules.hours:g} hours")
    if tried.answers < rules.requests:
        missing.append(f"{tried.answers} of {rules.requests} answers")
    if tried.thumbs < rules.thumbs:
        missing.append(f"{tried.thumbs} of {rules.thumbs} thumbs")
    missing += _not_ruled_out(tried, used, rules.tolerated) if not missing else []
    if not missing:
        return (
            "no worse",
            f"{canary.model} failed in {tried.failed} of {tried.answers} answers, {used.failed} of {used.answers} before",
        )
    if seconds > rules.days_at_most * _DAY:
        return "not shown", f"after {rules.days_at_most} days {canary.model} is not shown to be no worse ({'; '.join(missing)})"
    return "going on", f"{canary.model} answers {canary.share:.0%} of {canary.by}s; so far {'; '.join(missing)}"


def _not_ruled_out(tried: Side, used: Side, tolerated: float) -> list[str]:
    """Losses beyond what is tolerated that the 95% intervals (Newcombe's, of a difference of two shares) leave possible."""
    found = []
    pairs = [("failed answers", tried.failed, tried.answers, used.failed, used.answers)]
    if min(tried.thumbs, used.thumbs) >= _FEWEST_THUMBS:
        pairs.append(("thumbs down", tried.down, tried.thumbs, used.down, used.thumbs))
    for what, one, of_one, two, of_two in pairs:
        if not of_two:
            found.append("no answer of the model in use to compare with")
            continue
        high = float(confint_proportions_2indep(one, of_one, two, of_two, method="newcomb", compare="diff")[1])
        if high > tolerated:
            found.append(f"up to {high:.0%} more {what} are possible, tolerated {tolerated:.0%}")
    return found
