"""Semantic similarity: cosine of sentence embeddings of answer and reference, with an embedding model that the suite names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from studio.core.errors import StudioError
from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.statistics import SIGNED
from studio.models.text_encoder import TextEncoder, open_text_encoder
from studio.schema.tasks import ConversationTask

_MISSING = "no embedding model is named. Set embedding_model in the task to a folder or Hub id of a sentence-embedding model."


@dataclass(frozen=True)
class SemanticMetric(Metric):
    """The metric once a task has named its model."""

    def configured(self, task: ConversationTask) -> Metric:
        """With the task's embedding model; without one, with the reason why there is no value."""
        name = task.embedding_model
        if name is None:
            return replace(self, missing=_MISSING)
        try:
            encoder = open_text_encoder(name)
        except StudioError as error:
            return replace(self, missing=f"the embedding model cannot be opened: {error}")

        def measure(evidence: Sequence[Evidence]) -> SumStatistic:
            return mean_statistic(similarities(encoder, evidence))

        return replace(self, measure=measure, made_with=lambda: encoder.made_with)


def similarities(encoder: TextEncoder, evidence: Sequence[Evidence]) -> list[float | None]:
    """Cosine of each answer with its reference; an empty answer is an answer and gets 0."""
    pairs = [
        (place, item.said, item.question.reference)
        for place, item in enumerate(evidence)
        if item.said is not None and item.question.reference
    ]
    values: list[float | None] = [None] * len(evidence)
    if not pairs:
        return values
    ours, theirs = encoder.embed([text or " " for _, text, _ in pairs]), encoder.embed([text for _, _, text in pairs])
    for (place, text, _), value in zip(pairs, (ours * theirs).sum(dim=-1).tolist(), strict=True):
        values[place] = float(value) if text.strip() else 0.0
    return values


SEMANTIC_SIMILARITY = SemanticMetric(
    key="semantic_similarity",
    title="Semantic similarity",
    unit="cosine, -1 to 1",
    scale=SIGNED,
    better="higher",
    needs="answers",
    explains=(
        "How near the meaning of the answer is to that of the reference, as an embedding model sees it. It forgives other "
        "words, and "
        "also wrong numbers and a missing “not”."
    ),
    measure=lambda evidence: mean_statistic([None] * len(evidence)),
    made_with=lambda: "not computed",
)
