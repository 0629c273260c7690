"""How long answers are, and how many were stopped by the limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic, ratio
from studio.evals.statistics import POSITIVE, SHARE


def tokens(evidence: Sequence[Evidence]) -> SumStatistic:
    """Mean tokens per answer, the end token left out; an empty answer has 0, a thought does not count."""
    return mean_statistic([float(item.answer.tokens) if item.answer and item.said is not None else None for item in evidence])


def to_reference(evidence: Sequence[Evidence]) -> SumStatistic:
    """Tokens of all answers over tokens of all references, both under the model's own tokenizer."""
    pairs = [
        (float(item.answer.tokens), float(item.reference_tokens))
        if item.answer and item.said is not None and item.reference_tokens is not None
        else None
        for item in evidence
    ]
    sums = np.array([pair or (0.0, 0.0) for pair in pairs], dtype=np.float64).reshape(-1, 2)
    each = [pair[0] / pair[1] if pair and pair[1] else None for pair in pairs]
    return SumStatistic(sums, np.array([pair is not None for pair in pairs], dtype=bool), each, ratio)


def truncated(evidence: Sequence[Evidence]) -> SumStatistic:
    """Share of answers that reached ``max_new_tokens`` without an end token."""
    return mean_statistic([float(item.answer.truncated) if item.answer else None for item in evidence])


LENGTH = Metric(
    key="length",
    title="Length",
    unit="tokens per answer",
    scale=POSITIVE,
    better="neither",
    needs="answers",
    explains="Mean tokens per answer, without thoughts and the end token; answers cut by the limit count with what they have.",
    measure=tokens,
    made_with=lambda: "the model's own tokenizer",
    per_token=True,
)
LENGTH_RATIO = Metric(
    key="length_ratio",
    title="Length to reference",
    unit="ratio",
    scale=POSITIVE,
    better="neither",
    needs="answers",
    explains="Tokens of all answers divided by tokens of all references; 1 means as long as the references.",
    measure=to_reference,
    made_with=lambda: "the model's own tokenizer",
)
TRUNCATED = Metric(
    key="truncated",
    title="Truncated",
    unit="share of answers",
    scale=SHARE,
    better="lower",
    needs="answers",
    explains="Share of answers, thoughts included, that were stopped by the limit of tokens instead of ending by themselves.",
    measure=truncated,
    made_with=lambda: "counted while answers are written",
    right_or_wrong=True,
)
