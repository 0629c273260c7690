"""BLEU, chrF and TER by sacrebleu: overlap with and edits to the reference, as in machine translation.

What sacrebleu calls a word follows from the language of each reference: its ``13a`` cuts at blanks, which Chinese, Japanese and
Thai do not have. Rows of a corpus in several languages are cut each in its own way and then pooled; the signatures say which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import numpy as np

from studio.core.extras import available
from studio.evals.evidence import Evidence
from studio.evals.languages import reference_languages
from studio.evals.metrics.base import Metric, SumStatistic, by_row
from studio.evals.metrics.pooled import POOLED
from studio.evals.pieces import Floats
from studio.evals.statistics import POINTS, POSITIVE, SKEWED_POINTS
from studio.language.scripts import composed, spaced

# Languages without blanks between words that sacrebleu has no words for without a download (flores200): each letter is one.
_BY_LETTER = frozenset({"th", "lo", "km", "my", "bo"})


def bleu_tokenizer(language: str | None) -> str:
    """Sacrebleu's name of the tokenizer for a language; none that would have to be downloaded."""
    if language == "zh":
        return "zh"
    if language == "ja":
        return "ja-mecab" if available("MeCab") and available("ipadic") else "char"
    return "char" if language in _BY_LETTER else "13a"


def _ter_cut(language: str | None) -> str:
    """How TER finds words: as it stands, with sacrebleu's Asian support, or that with kana and Thai letters apart, too."""
    if language == "zh":
        return "asian"
    return "letters" if language == "ja" or language in _BY_LETTER else ""


def _cut(name: str, language: str | None) -> str:
    """What tells the scorers of one metric apart."""
    if name == "bleu":
        return bleu_tokenizer(language)
    return _ter_cut(language) if name == "ter" else ""


@cache
def _scorer(name: str, cut: str, sentence: bool = False) -> Any:
    """The sacrebleu scorer, by default but for words; for single answers BLEU leaves out orders that cannot occur."""
    from sacrebleu import metrics

    if name == "bleu":
        return metrics.BLEU(effective_order=sentence, tokenize=cut)
    if name == "ter":
        return metrics.TER(normalized=bool(cut), asian_support=bool(cut))
    return metrics.CHRF()


def _measure(name: str, evidence: Sequence[Evidence]) -> SumStatistic:
    """A corpus score from sacrebleu's own per-segment counts, pooled before the score is computed."""
    known = np.array([item.said is not None and item.question.reference is not None for item in evidence], dtype=bool)
    texts = [(composed(item.said or ""), composed(item.question.reference or "")) for item in evidence]
    cuts = [_cut(name, language) for language in reference_languages(evidence)]
    counts: dict[int, list[float]] = {}
    each: list[float | None] = [None] * len(evidence)
    for cut in dict.fromkeys(cuts):
        places = [place for place, other in enumerate(cuts) if other == cut]
        apart = spaced if cut == "letters" else str
        answers, references = ([apart(texts[place][side]) for place in places] for side in (0, 1))
        # sacrebleu's corpus_score is these two calls, with a sum in between that the bootstrap needs to do itself.
        counts |= zip(places, _scorer(name, cut)._extract_corpus_statistics(answers, [references]), strict=True)
        single = _scorer(name, cut, sentence=True)
        for place, answer, reference in zip(places, answers, references, strict=True):
            each[place] = single.sentence_score(answer, [reference]).score if known[place] else None
    scorer = _scorer(name, _cut(name, None))

    def score(sums: list[float]) -> float:
        return float(scorer._compute_score_from_stats([round(value) for value in sums]).score)

    def combine(sums: Floats) -> Floats:
        return by_row(score)(sums) if len(sums) == 1 else POOLED[name](sums)

    rows = [counts[place] for place in range(len(evidence))]
    return SumStatistic(np.array(rows, dtype=np.float64), known, each, combine)


def _signature(name: str, cuts: Sequence[str]) -> str:
    """The signature of sacrebleu for every way of cutting, with the number of references where there are several ways."""
    parts = []
    for cut, count in Counter(cuts).most_common():
        scorer = _scorer(name, cut)
        scorer.num_refs = 1
        rows = f" ({count} references)" if len(set(cuts)) > 1 else ""
        parts.append(f"{scorer.get_signature()}{', every letter a word' if cut == 'letters' else ''}{rows}")
    return f"sacrebleu {version('sacrebleu')}: {'; '.join(parts)}"


@dataclass(frozen=True)
class TranslationMetric(Metric):
    """A metric of sacrebleu; its signature follows from the references."""

    def for_texts(self, evidence: Sequence[Evidence]) -> Metric:
        """See :meth:`Metric.for_texts`."""
        cuts = [_cut(self.key, language) for language in reference_languages(evidence)]
        return replace(self, made_with=partial(_signature, self.key, cuts))


BLEU = TranslationMetric(
    key="bleu",
    title="BLEU",
    unit="points of 100",
    scale=SKEWED_POINTS,
    better="higher",
    needs="answers",
    explains=(
        "Overlap of runs of one to four words (letters, where a script has no blanks) with the reference answer, over all "
        "answers pooled; too short answers are penalised. Values under 10 are usual for free answers."
    ),
    measure=partial(_measure, "bleu"),
    made_with=partial(_signature, "bleu", ["13a"]),
)
CHRF = TranslationMetric(
    key="chrf",
    title="chrF",
    unit="points of 100",
    scale=POINTS,
    better="higher",
    needs="answers",
    explains=(
        "Overlap of runs of one to six characters with the reference answer, recall counting twice, so it rewards long answers; "
        "it forgives inflected words."
    ),
    measure=partial(_measure, "chrf"),
    made_with=partial(_signature, "chrf", [""]),
)
TER = TranslationMetric(
    key="ter",
    title="TER",
    unit="edits per 100 words",
    scale=POSITIVE,
    better="lower",
    needs="answers",
    explains=(
        "Words (letters, where a script has no blanks) to insert, delete, replace or move to turn the answer into the "
        "reference, per 100 words of the reference, over all answers pooled. Answers longer than the reference go above 100."
    ),
    measure=partial(_measure, "ter"),
    made_with=partial(_signature, "ter", [""]),
)
