"""ROUGE-1, -2 and -L by rouge-score: words, word pairs and the longest common subsequence shared with the reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.statistics import SHARE


class UnicodeWords:
    """Lower-cased runs of letters and digits of any script.

    rouge-score's own tokenizer knows a-z and 0-9 only: it cuts Swedish words at every å, ä and ö and sees nothing at all in
    Greek. On ASCII text the two agree.
    """

    def tokenize(self, text: str) -> list[str]:
        """Words of a text."""
        return re.findall(r"[^\W_]+", text.lower())


@cache
def _scorer(kind: str) -> Any:
    """The scorer of one kind, without stemming (it is for English only)."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=UnicodeWords())


def _measure(kind: str) -> Callable[[Sequence[Evidence]], SumStatistic]:
    """Mean F1 over answers; an empty answer scores 0."""

    def measure(evidence: Sequence[Evidence]) -> SumStatistic:
        scorer = _scorer(kind)
        return mean_statistic(
            [
                float(scorer.score(item.question.reference, item.said)[kind].fmeasure)
                if item.said is not None and item.question.reference is not None
                else None
                for item in evidence
            ]
        )

    return measure


def _rouge(kind: str, title: str, what: str) -> Metric:
    """One member of the family."""
    return Metric(
        key=kind,
        title=title,
        unit="F1, 0 to 1",
        scale=SHARE,
        better="higher",
        needs="answers",
        explains=f"{what} shared with the reference answer: F1 of precision and recall, the mean over answers.",
        measure=_measure(kind),
        made_with=lambda: f"rouge-score {version('rouge-score')}, F1, Unicode words in lower case, no stemming",
    )


ROUGE1 = _rouge("rouge1", "ROUGE-1", "Words")
ROUGE2 = _rouge("rouge2", "ROUGE-2", "Pairs of neighbouring words")
ROUGEL = _rouge("rougeL", "ROUGE-L", "Words in the same order (longest common subsequence)")
