"""Exact match: of what is said, whatever the spelling of quotes and minus signs; and SQuAD's, which English benchmarks use."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from functools import partial

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.statistics import SHARE
from studio.language.spelling import bare

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, no punctuation, no English articles, single spaces.

    Made for English names and dates: it makes -5 and 5, 3.5 and 35, C++ and C one.

    Source: SQuAD v1.1 evaluation script, ``normalize_answer``.
    """
    without = text.lower().translate(_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", without).split())


def comparable(text: str) -> str:
    """The text in one case and one spelling of quotes, minus signs, width and blanks, without quotes around it and stops at its
    end. Signs within, and articles, are kept.
    """
    return bare(text, brackets=False)


def measure(evidence: Sequence[Evidence], normalise: Callable[[str], str] = comparable) -> SumStatistic:
    """Share of answers equal to the reference once both are normalised. An empty answer is an answer, and wrong."""
    return mean_statistic(
        [
            float(normalise(item.said) == normalise(item.question.reference))
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
        "Share of answers that equal the reference, whatever their case, width, kind of quotes and minus sign, and the stop at "
        "the end. For free answers it is near 0 and says little; it is meant for short ones, in any language."
    ),
    measure=measure,
    made_with=lambda: "the studio's normalisation: NFC, one case, one width, plain quotes and minus, no stop at the end",
    right_or_wrong=True,
)
EXACT_MATCH_SQUAD = Metric(
    key="exact_match_squad",
    title="Exact match (SQuAD)",
    unit="share of answers",
    better="higher",
    needs="answers",
    explains=(
        "Share of answers that equal the reference once case, all punctuation and English articles are taken away, as published "
        "English results count it. -5 and 5, 3.5 and 35 are the same to it: not for numbers, code or other languages."
    ),
    measure=partial(measure, normalise=normalize_answer),
    made_with=lambda: "SQuAD v1.1 normalisation",
    right_or_wrong=True,
)
