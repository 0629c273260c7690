"""Dividing rows so that nothing in test was trained on: what resembles each other stays together."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from studio.core.errors import DataError
from studio.data.shelf import Picked

SPLITS = ("train", "validation", "test")
R = TypeVar("R")


@dataclass
class Division(Generic[R]):
    """Rows by split, and what was found on the way.

    clusters: how many there are; tied: rows in clusters of more than one; largest: rows in the largest.
    """

    splits: dict[str, Sequence[R]]
    clusters: int
    tied: int
    largest: int
    notes: list[str] = field(default_factory=list)


def divide_clusters(
    rows: Sequence[R], clusters: Sequence[list[int]], validation: float, test: float, seed: int, remedy: str
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
    wanted = {"test": rows_of_size(test, len(rows)), "validation": rows_of_size(validation, len(rows))}
    asked = sum(wanted.values())
    if asked >= len(rows):
        raise DataError(
            f"{len(rows)} rows are left, and split asks for {wanted['test']} test and {wanted['validation']} validation rows, "
            "which leaves none for training. Ask for fewer (split.test, split.validation) or add rows."
        )
    notes: list[str] = []
    chosen = _assign(clusters, wanted, len(rows), seed, remedy, notes)
    picked = {name: Picked(rows, sorted(chosen[name])) for name in SPLITS}
    # Of rows in memory a list is the quicker one.
    splits = {name: list(some) if isinstance(rows, list) else some for name, some in picked.items()}
    largest = max(clusters, key=len)
    tied = sum(len(cluster) for cluster in clusters if len(cluster) > 1)
    return Division({name: part for name, part in splits.items() if part}, len(clusters), tied, len(largest), notes)


def rows_of_size(size: float, rows: int) -> int:
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
    tied = f"the {total} rows fall into {clusters} cluster{'s' if clusters != 1 else ''} of alike rows, which stay whole"
    return f"split {name!r} would be empty: {tied}. {remedy}"
