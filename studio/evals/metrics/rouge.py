"""ROUGE-1, -2 and -L by rouge-score: words, word pairs and the longest common subsequence shared with the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import Any

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.statistics import SHARE
from studio.language.scripts import composed, words_of


class UnicodeWords:
    """Lower-cased runs of letters, digits and the signs on them, of any script; single letters where a script has no blanks.

    rouge-score's own tokenizer knows a-z and 0-9 only: it cuts Swedish words at every å, ä and ö and sees nothing at all in
    Greek. On ASCII text the two agree.
    """

    def tokenize(self, text: str) -> list[str]:
        """Words of a text."""
        return words_of(composed(text).replace("_", " "))


@cache
def _scorer(kind: str) -> Any:
    """The scorer of one kind, without stemming (it is for English only)."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=UnicodeWords())


def _measure(kind: str) -> Callable[[Sequence[Evidence]], SumStatistic]:
    """Mean F1 over answers; an empty answer scores 0. A reference without a single word (a smiley) can score nothing."""

    def measure(evidence: Sequence[Evidence]) -> SumStatistic:
        scorer = _scorer(kind)
        return mean_statistic(
            [
                float(scorer.score(item.question.reference, item.said)[kind].fmeasure)
                if item.said is not None
                and item.question.reference is not None
                and UnicodeWords().tokenize(item.question.reference)
                else None
                for item in evidence
            ]
        )

    return measure


@dataclass(frozen=True)
class RougeMetric(Metric):
    """A metric of shared words, which there must be some of."""

    def for_texts(self, evidence: Sequence[Evidence]) -> Metric:
        """See :meth:`Metric.for_texts`; says so where no reference has a word."""
        if any(UnicodeWords().tokenize(item.question.reference or "") for item in evidence):
            return self
        return replace(self, missing="no reference holds a word, so none can be shared")


def _rouge(kind: str, title: str, what: str) -> Metric:
    """One member of the family."""
    return RougeMetric(
        key=kind,
        title=title,
        unit="F1, 0 to 1",
        scale=SHARE,
        better="higher",
        needs="answers",
        explains=f"{what} shared with the reference answer: F1 of precision and recall, the mean over answers.",
        measure=_measure(kind),
        made_with=lambda: (
            f"rouge-score {version('rouge-score')}, F1, Unicode words in lower case (letters where a script has no blanks), no "
            "stemming"
        ),
    )


ROUGE1 = _rouge("rouge1", "ROUGE-1", "Words")
ROUGE2 = _rouge("rouge2", "ROUGE-2", "Pairs of neighbouring words")
ROUGEL = _rouge("rougeL", "ROUGE-L", "Words in the same order (longest common subsequence)")
