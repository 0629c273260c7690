"""BLEU, chrF and TER by sacrebleu: overlap with and edits to the reference, as in machine translation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, by_row
from studio.evals.metrics.pooled import POOLED
from studio.evals.pieces import Floats
from studio.evals.statistics import POINTS, POSITIVE, SKEWED_POINTS


@cache
def _scorer(name: str, sentence: bool = False) -> Any:
    """The sacrebleu scorer with its default settings; for single answers BLEU leaves out orders that cannot occur."""
    from sacrebleu import metrics

    if name == "bleu":
        return metrics.BLEU(effective_order=sentence)
    return metrics.CHRF() if name == "chrf" else metrics.TER()


def _measure(name: str) -> Callable[[Sequence[Evidence]], SumStatistic]:
    """A corpus score from sacrebleu's own per-segment counts, pooled before the score is computed."""

    def measure(evidence: Sequence[Evidence]) -> SumStatistic:
        scorer, single = _scorer(name), _scorer(name, sentence=True)
        pairs = [
            (item.said, item.question.reference) if item.said is not None and item.question.reference is not None else None
            for item in evidence
        ]
        filled = [pair or ("", "") for pair in pairs]
        # sacrebleu's corpus_score is these two calls, with a sum in between that the bootstrap needs to do itself.
        counts = scorer._extract_corpus_statistics([answer for answer, _ in filled], [[reference for _, reference in filled]])
        each = [single.sentence_score(pair[0], [pair[1]]).score if pair else None for pair in pairs]

        def score(sums: list[float]) -> float:
            return float(scorer._compute_score_from_stats([round(value) for value in sums]).score)

        def combine(sums: Floats) -> Floats:
            return by_row(score)(sums) if len(sums) == 1 else POOLED[name](sums)

        return SumStatistic(
            np.array(counts, dtype=np.float64), np.array([pair is not None for pair in pairs], dtype=bool), each, combine
        )

    return measure


def _signature(name: str) -> Callable[[], str]:
    """The signature of sacrebleu; one reference per answer."""

    def made_with() -> str:
        scorer = _scorer(name)
        scorer.num_refs = 1
        return f"sacrebleu {version('sacrebleu')}: {scorer.get_signature()}"

    return made_with


BLEU = Metric(
    key="bleu",
    title="BLEU",
    unit="points of 100",
    scale=SKEWED_POINTS,
    better="higher",
    needs="answers",
    explains=(
        "Overlap of runs of one to four words with the reference answer, over all answers pooled; too short answers are "
        "penalised. Values under 10 are usual for free answers."
    ),
    measure=_measure("bleu"),
    made_with=_signature("bleu"),
)
CHRF = Metric(
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
    measure=_measure("chrf"),
    made_with=_signature("chrf"),
)
TER = Metric(
    key="ter",
    title="TER",
    unit="edits per 100 words",
    scale=POSITIVE,
    better="lower",
    needs="answers",
    explains=(
        "Words to insert, delete, replace or move to turn the answer into the reference, per 100 words of the reference, "
        "over all "
        "answers pooled. Answers longer than the reference go above 100."
    ),
    measure=_measure("ter"),
    made_with=_signature("ter"),
)
