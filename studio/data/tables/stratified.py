"""Dividing clusters of rows so that each split has the same share of every label, as far as the clusters allow."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from studio.core.errors import DataError
from studio.data.split import SPLITS

# From so many independent rows of a label on, test and validation get at least one of them where they want any.
_ENOUGH = 3


def assign_stratified(
    clusters: Sequence[Sequence[int]], labels: np.ndarray, wanted: Mapping[str, int], seed: int, remedy: str
) -> tuple[np.ndarray, list[str]]:
    """The split of each row, object [n], and notes.

    Clusters of several rows go first, the largest ahead, each to the split whose shares it serves best (the idea of
    scikit-learn's ``StratifiedGroupKFold``); rows that stand alone then fill each label's quota in every split, in an order
    drawn with the seed.

    Args:
        clusters: places of rows that stay together. labels: of each row, object [n].
        wanted: rows of ``test`` and ``validation``.
        remedy: what a person can do about too few clusters, as a sentence.
    Raises:
        DataError: a split would be empty.
    """
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    apart = np.bincount(codes[[cluster[0] for cluster in clusters]], minlength=len(names))
    quota, notes = _quotas(names.tolist(), np.bincount(codes, minlength=len(names)), apart, wanted)
    have = np.zeros_like(quota)
    split = np.full(len(labels), None, dtype=object)
    shuffled = [list(cluster) for cluster in clusters]
    random.Random(seed).shuffle(shuffled)
    alone: dict[int, list[int]] = {}
    for cluster in sorted(shuffled, key=len, reverse=True):
        if len(cluster) == 1:
            alone.setdefault(int(codes[cluster[0]]), []).append(cluster[0])
            continue
        held = np.bincount(codes[cluster], minlength=len(names))
        best = _best(have, quota, held)
        have[best] += held
        split[cluster] = SPLITS[best]
    for code, places in alone.items():
        start = 0
        for number in (2, 1):
            take = max(0, int(quota[number, code] - have[number, code]))
            split[places[start : start + take]] = SPLITS[number]
            start += take
        split[places[start:]] = "train"
    _check_filled(split, wanted, len(clusters), remedy)
    return split, notes


def _quotas(names: list[str], counts: np.ndarray, apart: np.ndarray, wanted: Mapping[str, int]) -> tuple[np.ndarray, list[str]]:
    """Rows of each label that each split is to have, int64 [3, k] in the order of ``SPLITS``, and a note on labels too rare."""
    total = int(counts.sum())
    quota = np.zeros((3, len(names)), dtype=np.int64)
    for number in (2, 1):
        size = wanted.get(SPLITS[number], 0)
        exact = size * counts / total
        quota[number] = np.floor(exact)
        rest = np.argsort(-(exact - np.floor(exact)), kind="stable")[: size - int(quota[number].sum())]
        quota[number, rest] += 1
        quota[number] = np.where((apart >= _ENOUGH) & (size > 0), np.maximum(quota[number], 1), quota[number])
    rare = apart == 1
    quota[:, rare] = 0
    quota[0] = counts - quota[1] - quota[2]
    single = [name for name, alone in zip(names, rare.tolist(), strict=True) if alone]
    notes = [
        f"{name!r} is the label of one row or cluster only; it went to train, so no split measures it" for name in single[:10]
    ]
    if len(single) > 10:
        notes.append(f"{len(single) - 10} more labels have one row only; they went to train")
    return quota, notes


def _best(have: np.ndarray, quota: np.ndarray, held: np.ndarray) -> int:
    """The split whose shares are served best by a cluster: where the sum of squared gaps, over the quota, shrinks most."""
    scale = np.maximum(quota, 1)
    gain = (((have + held - quota) ** 2 - (have - quota) ** 2) / scale).sum(axis=1)
    gain[quota.sum(axis=1) == 0] = np.inf
    return int(gain.argmin())


def _check_filled(split: np.ndarray, wanted: Mapping[str, int], clusters: int, remedy: str) -> None:
    """Refuse a division in which a split that is wanted holds nothing."""
    for name in SPLITS:
        if (name == "train" or wanted.get(name)) and not (split == name).any():
            tied = f"the {len(split)} rows fall into {clusters} cluster{'s' if clusters != 1 else ''} of rows that stay together"
            raise DataError(f"split {name!r} would be empty: {tied}. {remedy}")
