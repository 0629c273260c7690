"""What one user does that nobody should: floods, one question over and over, fishing for refusals, judging without reading."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import fisher_exact
from statsmodels.stats.multitest import multipletests

from studio.feedback.drift import ALL_ALARMS
from studio.loop.bursts import HOUR
from studio.loop.signals import question_of
from studio.schema.loop import Misuse

_DAY = 86_400.0
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Abuse:
    """A rule that a user broke. count: the most that was seen; limit: what the rule allows."""

    rule: str
    user: str
    count: int
    limit: int
    sentence: str


def find_misuse(rules: Misuse, requests: Sequence[Row], judgements: Sequence[Row], *, now: float) -> list[Abuse]:
    """Rules that users broke within the last day, the heaviest first.

    Args:
        requests, judgements: rows of the feedback file.
    """
    requests = [row for row in requests if now - _DAY <= row["created"] <= now]
    judgements = [row for row in judgements if now - _DAY <= row["created"] <= now]
    found: list[Abuse] = []
    found += _too_many(
        "requests", rules.requests_per_hour, ((row["user"], row["created"]) for row in requests), "sent {} requests"
    )
    asked = (((row["user"], " ".join(text.casefold().split())), row["created"]) for row in requests if (text := question_of(row)))
    found += _too_many("same question", rules.same_question_per_hour, asked, "asked the same question {} times")
    said = ((row["user"], row["created"]) for row in judgements)
    found += _too_many("judgements", rules.judgements_per_hour, said, "gave {} thumbs, corrections and votes")
    found += _refused(rules.refusals_per_day, requests)
    return sorted(found, key=lambda one: -one.count / one.limit)


def _too_many(rule: str, limit: int | None, events: Iterable[tuple[Any, float]], words: str) -> list[Abuse]:
    """Whoever did more than the limit within any 60 minutes; a key is a user, or a user and what they asked."""
    if limit is None:
        return []
    times: dict[Any, list[float]] = defaultdict(list)
    for key, moment in events:
        times[key].append(moment)
    most: Counter[str] = Counter()
    for key, moments in times.items():
        user = key if isinstance(key, str) else key[0]
        most[user] = max(most[user], _most_within(sorted(moments), HOUR))
    return [
        Abuse(rule, user, count, limit, f"{user} {words.format(count)} within an hour (allowed: {limit})")
        for user, count in most.items()
        if count > limit
    ]


def _most_within(moments: Sequence[float], span: float) -> int:
    """Most events within a span that slides."""
    first = most = 0
    for place, moment in enumerate(moments):
        while moments[first] <= moment - span:
            first += 1
        most = max(most, place - first + 1)
    return most


def _refused(limit: int | None, requests: Sequence[Row]) -> list[Abuse]:
    """Users whose answers refuse more often than the limit and than everybody else's (Fisher's exact test, Holm's correction)."""
    if limit is None:
        return []
    told = Counter(row["user"] for row in requests if row["refusal"])
    every = Counter(row["user"] for row in requests if row["refusal"] is not None)
    users = [user for user, count in told.items() if count > limit]
    if not users:
        return []
    tests = []
    for user in users:
        others = sum(told.values()) - told[user], sum(every.values()) - every[user]
        table = [[told[user], every[user] - told[user]], [others[0], others[1] - others[0]]]
        tests.append(float(fisher_exact(table, alternative="greater").pvalue))
    # Somebody who is alone on the server cannot be held against others; the limit alone speaks then.
    alone = [sum(every.values()) == every[user] for user in users]
    shown = multipletests(tests, alpha=ALL_ALARMS, method="holm")[0]
    return [
        Abuse(
            "refusals",
            user,
            told[user],
            limit,
            f"{told[user]} of {every[user]} answers to {user} refuse (allowed: {limit} a day)",
        )
        for user, certain, only in zip(users, shown, alone, strict=True)
        if certain or only
    ]
