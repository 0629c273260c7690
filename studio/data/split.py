"""Dividing rows so that nothing in test was trained on: what resembles each other stays together."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.data.similarity import Clusters, NearPairs, Shingling, comparable_text, plain_key

SPLITS = ("train", "validation", "test")
R = TypeVar("R")

_REMEDY = "Add other rows, raise split.threshold, set split.same_question: false, or name a finer group."


@dataclass(frozen=True)
class SplitPlan:
    """How to divide. validation, test: rows (whole number) or share below 1. Others as in the recipe's ``split``."""

    validation: float = 0.05
    test: float = 0.1
    seed: int = 0
    threshold: float = 0.6
    shingling: Shingling = field(default_factory=lambda: Shingling("word", 3))
    same_question: bool = True


@dataclass
class Division(Generic[R]):
    """Rows by split, and what was found on the way.

    clusters: how many there are; tied: rows in clusters of more than one; largest: rows in the largest.
    """

    splits: dict[str, list[R]]
    clusters: int
    tied: int
    largest: int
    notes: list[str] = field(default_factory=list)


def divide(rows: Sequence[ChatRow], plan: SplitPlan) -> Division[ChatRow]:
    """Divide rows into train, validation and test; every cluster lies in one of them.

    Clusters are joined over near-duplicate pairs (whatever the cleaning steps left), equal first questions, and groups.

    Raises:
        DataError: there are too few rows or too few clusters for what is asked.
    """
    return divide_clusters(rows, cluster_rows(rows, plan), plan.validation, plan.test, plan.seed)


def divide_clusters(
    rows: Sequence[R], clusters: Sequence[list[int]], validation: float, test: float, seed: int, remedy: str = _REMEDY
) -> Division[R]:
    """Divide rows of any kind so that each cluster lies in one split.

    Clusters are shuffled with the seed, then test and validation take clusters that fit until they have their size; train has
    the rest.

    Args:
        clusters: row numbers that have to stay together.
        validation, test: rows (whole number) or share below 1.
        remedy: what a person can do about too few clusters, as sentences.
    Raises:
        DataError: there are too few rows or too few clusters for what is asked.
    """
    wanted = {"test": _count(test, len(rows)), "validation": _count(validation, len(rows))}
    asked = sum(wanted.values())
    if asked >= len(rows):
        raise DataError(
            f"{len(rows)} rows are left, and split asks for {wanted['test']} test and {wanted['validation']} validation rows, "
            "which leaves none for training. Ask for fewer (split.test, split.validation) or add rows."
        )
    notes: list[str] = []
    chosen = _assign(clusters, wanted, len(rows), seed, remedy, notes)
    splits = {name: [rows[index] for index in sorted(chosen[name])] for name in SPLITS}
    largest = max(clusters, key=len)
    tied = sum(len(cluster) for cluster in clusters if len(cluster) > 1)
    return Division({name: part for name, part in splits.items() if part}, len(clusters), tied, len(largest), notes)


def cluster_rows(rows: Sequence[ChatRow], plan: SplitPlan) -> list[list[int]]:
    """Row numbers that have to stay together, as clusters in order of their first row.

    Two rows are tied when their texts are at least ``threshold`` alike (verified), when their first question is the same, or
    when they share a group; ties are followed from row to row.
    """
    clusters = Clusters(len(rows))
    pairs = NearPairs([comparable_text(row) for row in rows], plan.threshold, plan.shingling)
    for index, first in enumerate(pairs.same):
        clusters.join(first, index)
    known: dict[tuple[str, str], int] = {}
    for index, row in enumerate(rows):
        ties = [("group", row.group)] if row.group is not None else []
        question = next((message["content"] for message in row.messages if message["role"] == "user"), "")
        if plan.same_question and question:
            ties.append(("question", plain_key(question)))
        for tie in ties:
            clusters.join(known.setdefault(tie, index), index)
    for index, candidates in pairs.earlier():
        for other in candidates:
            if clusters.find(other) != clusters.find(index) and pairs.similarity(index, other) >= plan.threshold:
                clusters.join(other, index)
    return clusters.groups()


def _count(size: float, rows: int) -> int:
    """Rows for a whole number or a share; a share is at least one row."""
    if size >= 1 or size == 0:
        return int(size)
    return max(1, round(size * rows))


def _assign(
    clusters: Sequence[list[int]], wanted: Mapping[str, int], total: int, seed: int, remedy: str, notes: list[str]
) -> dict[str, list[int]]:
    """Give each cluster to a split."""
    shuffled = sorted(clusters, key=lambda cluster: cluster[0])
    random.Random(seed).shuffle(shuffled)
    chosen: dict[str, list[int]] = {name: [] for name in SPLITS}
    free = list(shuffled)
    for name, count in wanted.items():
        left: list[list[int]] = []
        for cluster in free:
            if len(chosen[name]) + len(cluster) <= count:
                chosen[name] += cluster
            else:
                left.append(cluster)
        if count and not chosen[name]:
            _take_smallest(name, count, left, total, chosen, remedy, notes)
        elif len(chosen[name]) < count:
            notes.append(
                f"split {name!r} has {len(chosen[name])} of {count} rows: all other clusters of alike rows are too large"
            )
        free = left
    chosen["train"] = [index for cluster in free for index in cluster]
    if not chosen["train"]:
        raise DataError(_too_few(len(clusters), total, "train", remedy))
    return chosen


def _take_smallest(
    name: str, count: int, left: list[list[int]], total: int, chosen: dict[str, list[int]], remedy: str, notes: list[str]
) -> None:
    """No cluster fits: take the smallest one rather than none, as long as most rows stay for training."""
    smallest = min(left, key=len, default=[])
    rest = sum(map(len, left)) - len(smallest)
    if not smallest or rest < total / 2:
        raise DataError(_too_few(len(left), total, name, remedy))
    left.remove(smallest)
    chosen[name] += smallest
    notes.append(f"split {name!r} has {len(smallest)} rows instead of {count}: no smaller cluster of alike rows exists")


def _too_few(clusters: int, total: int, name: str, remedy: str) -> str:
    """One sentence for rows that are all alike."""
    tied = f"the {total} rows fall into {clusters} cluster(s) of alike rows, which stay whole"
    return f"split {name!r} would be empty: {tied}. {remedy}"
