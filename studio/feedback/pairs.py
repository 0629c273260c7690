"""Answers that people judged, each once, with what most of them said: pairs from votes, single ones from labels. Standard library
only.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from studio.feedback.export import BAD_LABEL, GOOD_LABEL
from studio.feedback.store import FeedbackStore

Preference = Literal["first", "second", "tie"]


@dataclass(frozen=True)
class VotedPair:
    """Two answers to one prompt. preference: that of most voters, a tie where none has most; voters: how many votes that are."""

    prompt: list[dict[str, Any]]
    answers: tuple[str, str]
    preference: Preference
    voters: int


def voted_pairs(store: FeedbackStore, limit: int) -> list[VotedPair]:
    """The pairs that were voted on last, at most ``limit``, the newest first.

    Votes on the same two answers to the same prompt belong together, whichever stood first; each person's last vote counts.
    """
    held: dict[tuple[str, str, str], dict[str, Preference]] = {}
    for row in store.rows("votes"):
        first, second = sorted((str(row["completion"]), str(row["completion_b"])), key=_by_chance)
        if first == second:
            continue
        key = (json.dumps(row["prompt"], sort_keys=True), first, second)
        votes = held.pop(key, {})
        held[key] = {**votes, str(row["user"]): _preference(row, first)}
    newest = list(held.items())[::-1][:limit]
    return [VotedPair(json.loads(prompt), (a, b), _most(votes), len(votes)) for (prompt, a, b), votes in newest]


def _by_chance(text: str) -> str:
    """A place that has nothing to do with what a text says: were good answers always first, agreement would look like chance."""
    return hashlib.sha256(text.encode()).hexdigest()


def _preference(row: Mapping[str, Any], first: str) -> Preference:
    """Which answer a vote prefers, where ``first`` is the first of the two."""
    if row["winner"] in {"tie", "neither"}:
        return "tie"
    won = row["completion"] if row["winner"] == "a" else row["completion_b"]
    return "first" if won == first else "second"


def _most(votes: Mapping[str, Preference]) -> Preference:
    """What more people said than anything else; a tie where two are level."""
    ranked = Counter(votes.values()).most_common(2)
    return "tie" if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]


@dataclass(frozen=True)
class LabelledAnswer:
    """An answer that people called good or bad in the annotation app; label: what most of them said."""

    prompt: list[dict[str, Any]]
    answer: str
    label: Literal["good", "bad"]


def labelled_answers(store: FeedbackStore, limit: int) -> list[LabelledAnswer]:
    """The answers that were called good or bad last, at most ``limit``, the newest first; none on which people are level."""
    held: dict[tuple[str, str], list[str]] = {}
    for row in store.annotated_answers():
        if row["label"] in {GOOD_LABEL, BAD_LABEL}:
            key = (json.dumps(row["prompt"], sort_keys=True), str(row["completion"]))
            held[key] = [*held.pop(key, []), str(row["label"])]
    found = []
    for (prompt, answer), labels in list(held.items())[::-1]:
        good = labels.count(GOOD_LABEL)
        if 2 * good != len(labels) and answer.strip():
            found.append(LabelledAnswer(json.loads(prompt), answer, "good" if 2 * good > len(labels) else "bad"))
    return found[:limit]
