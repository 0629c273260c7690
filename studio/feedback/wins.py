"""Comparisons of two models counted: the win rate with its interval, ties stated. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from studio.core.shares import wilson_interval
from studio.feedback.store import FeedbackStore

_SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Wins:
    """Outcomes between two models, as the first one sees them. ties: both good, both bad, or undecided."""

    won: int
    lost: int
    ties: int

    @property
    def decided(self) -> int:
        """Comparisons with a winner."""
        return self.won + self.lost

    @property
    def share(self) -> float | None:
        """The win rate: share of the decided comparisons that were won; None without any."""
        return self.won / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the win rate; None without a decided comparison."""
        return wilson_interval(self.won, self.decided) if self.decided else None

    @property
    def p(self) -> float:
        """Two-sided p-value that neither is preferred: the exact sign test on the decided comparisons."""
        tail = sum(math.comb(self.decided, count) for count in range(min(self.won, self.lost) + 1))
        return float(min(1.0, 2 * tail / 2**self.decided))

    @property
    def preferred(self) -> bool | None:
        """True when the first is preferred, False when the second is, None when neither is shown to be.

        The interval must leave one half out and the sign test agree: at five to nothing the interval alone is too sure.
        """
        if self.interval is None or self.p >= _SIGNIFICANCE or self.interval[0] <= 0.5 <= self.interval[1]:
            return None
        return self.won > self.lost


@dataclass(frozen=True)
class Standing:
    """Votes between two models. people: how many have voted."""

    one: str
    two: str
    wins: Wins
    people: int


def tally(store: FeedbackStore, one: str, two: str) -> Wins:
    """Votes between two models so far, of everyone, whichever was called a or b."""
    return _count(one, (row for row in store.rows("votes") if {row["model"], row["model_b"]} == {one, two} and one != two))


def standings(store: FeedbackStore) -> list[Standing]:
    """Every two models that were voted on, those with most votes first; a model against itself is left out."""
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in store.rows("votes"):
        names = sorted((row["model"], row["model_b"]))
        if names[0] != names[1]:
            pairs.setdefault((names[0], names[1]), []).append(row)
    found = []
    for (one, two), rows in pairs.items():
        wins = _count(one, rows)
        if wins.lost > wins.won:
            one, two, wins = two, one, Wins(wins.lost, wins.won, wins.ties)
        found.append(Standing(one, two, wins, len({row["user"] for row in rows})))
    return sorted(found, key=lambda standing: (-(standing.wins.decided + standing.wins.ties), standing.one))


def _count(one: str, rows: Iterable[Mapping[str, Any]]) -> Wins:
    """Outcomes of votes as one of their two models sees them."""
    won = lost = ties = 0
    for row in rows:
        if row["winner"] in {"tie", "neither"}:
            ties += 1
        elif (row["winner"] == "a") == (row["model"] == one):
            won += 1
        else:
            lost += 1
    return Wins(won, lost, ties)
