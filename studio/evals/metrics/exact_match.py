"""Exact match after SQuAD's normalisation."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.statistics import SHARE

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, no punctuation, no English articles, single spaces.

    Source: SQuAD v1.1 evaluation script, ``normalize_answer``.
    """
    without = text.lower().translate(_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", without).split())


def measure(evidence: Sequence[Evidence]) -> SumStatistic:
    """Share of answers equal to the reference after :func:`normalize_answer`. An empty answer is an answer, and wrong."""
    return mean_statistic(
        [
            float(normalize_answer(item.said) == normalize_answer(item.question.reference))
            if item.said is not None and item.question.reference is not None
            else None
            for item in evidence
        ]
    )


EXACT_MATCH = Metric(
    key="exact_match",
    title="Exact match",
    unit="share of answers",
    scale=SHARE,
    better="higher",
    needs="answers",
    explains=(
        "Share of answers that equal the reference once case, punctuation and English articles are taken away. For free answers "
        "it is near 0 and says little; it is meant for short ones."
    ),
    measure=measure,
    made_with=lambda: "SQuAD v1.1 normalisation",
    right_or_wrong=True,
)
