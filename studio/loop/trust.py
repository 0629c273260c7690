"""Whose judgements a round learns from: not those of blocked users, of people at odds with everybody, or of a flooded hour.

People differ, and a model has to learn from the one who is right against many; so nobody is left out for a few odd
judgements. Left out is who contradicts the others far more often than people contradict each other (exact binomial test,
Holm's correction over all people), and hours with far more judgements than such hours have. Where most of those who judge an
answer lie, this cannot tell: what is left then is the gate, which measures on rows that no user wrote.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from studio.core.workspace import Workspace
from studio.feedback.drift import ALL_ALARMS
from studio.feedback.export import comparable
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.loop.bursts import HOUR, odd_hours
from studio.schema.loop import Improve
from studio.serve.blocked import list_blocked
from studio.serve.state import StatePaths

Row = Mapping[str, Any]

# Judgements of one person that others judged too, from which they are held against the others.
_FEWEST = 8
# How much rarer than people agree with each other someone must agree with them.
_GAP = 0.25
BLOCKED, AT_ODDS, FLOOD = "of a blocked user", "of someone at odds with everybody", "in a flooded hour"


@dataclass(frozen=True)
class Trust:
    """Whom and when to leave out. at_odds: user to how often they agreed of how many judgements. hours: starts of flooded
    hours.
    """

    blocked: frozenset[str] = frozenset()
    at_odds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    hours: Sequence[float] = ()

    def refuse(self, user: str, created: float) -> str:
        """Why a judgement is left out; empty where it is not."""
        if user in self.blocked:
            return BLOCKED
        if user in self.at_odds:
            return AT_ODDS
        return FLOOD if any(start <= created < start + HOUR for start in self.hours) else ""

    def told(self) -> list[str]:
        """What was left out, in lines."""
        lines = [
            f"{user} agreed with others in {agreed} of {judged} judgements: left out"
            for user, (agreed, judged) in self.at_odds.items()
        ]
        return lines + ([f"{len(self.hours)} hours flooded with judgements: left out"] if self.hours else [])


def trusted(rules: Improve, workspace: Workspace, now: float) -> Trust:
    """Whom a round, or a measurement on what people said, hears.

    Raises:
        DataError: there is no feedback file.
    """
    blocked = list_blocked(StatePaths.of(workspace).blocked)
    store = FeedbackStore.existing(workspace.root / FILE_NAME)
    try:
        return whom_to_trust(store, blocked, now=now, checked=rules.trust == "checked")
    finally:
        store.close()


def whom_to_trust(store: FeedbackStore, blocked: Collection[str], *, now: float, checked: bool) -> Trust:
    """Look over everything that was said until now.

    Args:
        checked: False leaves out blocked users only.
    """
    if not checked:
        return Trust(frozenset(blocked))
    opinions = [row for row in _opinions(store) if row[3] <= now and row[0] not in blocked]
    times = [row["created"] for table in ("ratings", "corrections", "votes") for row in store.rows(table, until=now)]
    hours = odd_hours(times, now=now // HOUR * HOUR)
    # Who took part in a flood is not held against the rest by it, and the rest is not held against the flood.
    calm = [row for row in opinions if not any(start <= row[3] < start + HOUR for start in hours)]
    return Trust(frozenset(blocked), _at_odds(calm), hours)


def _opinions(store: FeedbackStore) -> list[tuple[str, tuple[str, str], bool, float]]:
    """Who found which answer good or bad, and when: thumbs that stand, and corrections, which find an answer bad."""
    found = []
    for row in store.current_ratings():
        found.append((row["user"], _answer_of(row), row["value"] > 0, float(row["created"])))
    for row in store.rows("corrections"):
        found.append((row["user"], _answer_of(row), False, float(row["created"])))
    return found


def _answer_of(row: Row) -> tuple[str, str]:
    """A question with its answer, so that two people's opinions of it can be found."""
    asked = " ".join(comparable(str(turn.get("content") or "")) for turn in row["prompt"] if turn.get("role") == "user")
    return asked, comparable(row["completion"])


def _at_odds(opinions: Sequence[tuple[str, tuple[str, str], bool, float]]) -> dict[str, tuple[int, int]]:
    """People who agree with the others' majority far more seldom than others do: how often, of how many."""
    held: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for user, answer, good, _ in opinions:
        held[answer][user] = good
    agreed: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    for views in held.values():
        for user, good in views.items():
            others = [view for other, view in views.items() if other != user]
            if others and 2 * sum(others) != len(others):
                judged[user] += 1
                agreed[user] += good == (2 * sum(others) > len(others))
    suspects = [user for user, count in judged.items() if count >= _FEWEST]
    tests, gaps = [], []
    for user in suspects:
        rest = sum(judged.values()) - judged[user]
        usual = (sum(agreed.values()) - agreed[user]) / rest if rest else 1.0
        tests.append(float(binomtest(agreed[user], judged[user], max(usual, 1e-9), alternative="less").pvalue))
        gaps.append(usual - agreed[user] / judged[user] >= _GAP)
    if not tests:
        return {}
    certain = np.asarray(multipletests(tests, alpha=ALL_ALARMS, method="holm")[0])
    return {user: (agreed[user], judged[user]) for user, sure, far in zip(suspects, certain, gaps, strict=True) if sure and far}
