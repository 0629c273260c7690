"""Figures of a ranking, question by question: recall, nDCG and MRR of the first passages.

Legend: q questions, p passages of the corpus, k first passages.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from torch import Tensor

_QUESTIONS_AT_ONCE = 256


def first_passages(queries: Tensor, passages: Tensor, k: int) -> list[list[int]]:
    """Places of the k passages of the largest cosine, for each question; equal ones in the order of the corpus.

    Args:
        queries: unit vectors float32 [q, e]. passages: unit vectors float32 [p, e].
    """
    found: list[list[int]] = []
    for start in range(0, len(queries), _QUESTIONS_AT_ONCE):
        cosines = queries[start : start + _QUESTIONS_AT_ONCE] @ passages.T  # [<=256, p]
        found += cosines.sort(dim=1, descending=True, stable=True).indices[:, :k].tolist()
    return found


def recall_at(ranked: Sequence[int], relevant: Collection[int], k: int) -> float:
    """Share of a question's passages that are among the first k."""
    return len(set(ranked[:k]) & set(relevant)) / len(relevant)


def ndcg_at(ranked: Sequence[int], relevant: Collection[int], k: int) -> float:
    """Normalised discounted cumulative gain of the first k (Järvelin and Kekäläinen 2002), gains 0 and 1."""
    gain = sum(1 / math.log2(place + 2) for place, passage in enumerate(ranked[:k]) if passage in relevant)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant))))


def mrr_at(ranked: Sequence[int], relevant: Collection[int], k: int) -> float:
    """1 over the place of the first right passage, 0 where none is among the first k."""
    return next((1 / (place + 1) for place, passage in enumerate(ranked[:k]) if passage in relevant), 0.0)
