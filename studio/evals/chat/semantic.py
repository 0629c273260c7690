"""Semantic similarity: cosine of sentence embeddings of answer and reference, with an embedding model that the suite names.

Legend: b texts of a batch, s padded length, h hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from studio.core.errors import StudioError
from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.statistics import SIGNED
from studio.schema.tasks import ConversationTask

_BATCH = 32
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
            encoder = open_encoder(name)
        except StudioError as error:
            return replace(self, missing=f"the embedding model cannot be opened: {error}")

        def measure(evidence: Sequence[Evidence]) -> SumStatistic:
            return mean_statistic(similarities(encoder, evidence))

        return replace(self, measure=measure, made_with=lambda: encoder.made_with)


@dataclass(frozen=True)
class Encoder:
    """A text encoder of transformers with mean pooling over its last hidden states."""

    model: Any
    tokenizer: Any
    made_with: str

    def embed(self, texts: Sequence[str]) -> Any:
        """Unit vectors, float32 [n, h]: the mean over a text's tokens, as sentence-transformers pools by default."""
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                batch = self.tokenizer(
                    list(texts[start : start + _BATCH]), padding=True, truncation=True, return_tensors="pt"
                ).to(self.model.device)
                hidden = self.model(**batch).last_hidden_state.float()  # [b, s, h]
                mask = batch["attention_mask"][..., None].float()
                mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
                parts.append(torch.nn.functional.normalize(mean, dim=-1).cpu())
        return torch.cat(parts)


@cache
def open_encoder(name: str) -> Encoder:
    """Load an embedding model from a folder or the Hub; safetensors only.

    Raises:
        UserError: there is no such model, or it cannot be opened safely.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from studio.core.errors import UserError
    from studio.models.bases import resolve_base
    from studio.models.device import pick_device

    base = resolve_base(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder, trust_remote_code=False, local_files_only=True)
        model = AutoModel.from_pretrained(
            base.folder, trust_remote_code=False, use_safetensors=True, local_files_only=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"{name} cannot be loaded as an embedding model: {str(error).splitlines()[0]}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    made_with = f"cosine of mean-pooled embeddings of {base.name}, weights sha256 {base.sha256[:16]}"
    return Encoder(model.eval().to(pick_device()), tokenizer, made_with)


def similarities(encoder: Encoder, evidence: Sequence[Evidence]) -> list[float | None]:
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
