"""Token F1: words shared with the reference, as question-answering benchmarks count them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.metrics.exact_match import normalize_answer
from studio.evals.statistics import SHARE
from studio.language.scripts import composed, spaced


def token_f1(answer: str, reference: str) -> float:
    """F1 of the bags of words after :func:`normalize_answer`; 1 when both are empty, 0 when one is.

    Source: SQuAD v1.1 evaluation script, ``f1_score``.
    """
    ours, theirs = _tokens(answer), _tokens(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))


def _tokens(text: str) -> list[str]:
    """Words of a normalised text; letters where a script has no blanks, as MLQA counts Chinese.

    Source: Lewis et al. 2020, https://arxiv.org/abs/1910.07475, ``mlqa_evaluation_v1.py``.
    """
    words = normalize_answer(composed(text))
    if words.isascii():
        return words.split()
    return spaced("".join(sign for sign in words if not unicodedata.category(sign).startswith("P"))).split()


def measure(evidence: Sequence[Evidence]) -> SumStatistic:
    """Mean token F1 over answers."""
    return mean_statistic(
        [
            token_f1(item.said, item.question.reference)
            if item.said is not None and item.question.reference is not None
            else None
            for item in evidence
        ]
    )


TOKEN_F1 = Metric(
    key="token_f1",
    title="Token F1",
    unit="F1, 0 to 1",
    scale=SHARE,
    better="higher",
    needs="answers",
    explains=(
        "Words (letters, where a script has no blanks) shared with the reference, in any order, once case, punctuation and "
        "English articles are taken away: F1 of precision and recall, the mean over answers."
    ),
    measure=measure,
    made_with=lambda: "SQuAD v1.1 normalisation, of Unicode punctuation too, and F1",
)
