"""How far two annotators agree beyond chance. Standard library only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

# 97.5% point of the normal distribution.
_Z = 1.959964


@dataclass(frozen=True)
class Agreement:
    """Two annotators over the rows that both labelled.

    kappa: None with fewer than two rows, or where both gave one and the same label throughout (chance alone then explains
    everything). low, high: its 95% interval.
    """

    one: str
    two: str
    rows: int
    same: int
    kappa: float | None
    low: float | None = None
    high: float | None = None


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> tuple[float | None, float | None, float | None]:
    """Cohen's kappa and its 95% interval (large-sample standard error).

    Source: Cohen, A coefficient of agreement for nominal scales (1960), with the standard error given there.
    """
    n = len(pairs)
    if n < 2:
        return None, None, None
    first, second = Counter(one for one, _ in pairs), Counter(two for _, two in pairs)
    observed = sum(one == two for one, two in pairs) / n
    expected = sum(first[label] * second[label] for label in first) / (n * n)
    if expected == 1:
        return None, None, None
    kappa = (observed - expected) / (1 - expected)
    half = _Z * math.sqrt(observed * (1 - observed) / n) / (1 - expected)
    return kappa, max(-1.0, kappa - half), min(1.0, kappa + half)


def agreements(annotations: Sequence[Mapping[str, Any]]) -> list[Agreement]:
    """Agreement of every two annotators that have rows in common, the ones with most rows first.

    Args:
        annotations: what each holds now of each row (:meth:`FeedbackStore.current_annotations`).
    """
    labels: dict[str, dict[str, str]] = {}
    for row in annotations:
        labels.setdefault(row["user"], {})[row["row"]] = row["label"]
    found = []
    for one, two in combinations(sorted(labels), 2):
        common = sorted(labels[one].keys() & labels[two].keys())
        pairs = [(labels[one][row], labels[two][row]) for row in common]
        if pairs:
            found.append(Agreement(one, two, len(pairs), sum(a == b for a, b in pairs), *cohen_kappa(pairs)))
    return sorted(found, key=lambda agreement: -agreement.rows)
