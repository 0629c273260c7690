"""Learning vectors: the losses are those of sentence-transformers, over batches in which no right answer counts as wrong.

Legend: b rows of a batch, m disliked answers in it, e numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from studio.core.errors import UserError
from studio.data.passages import Found
from studio.models.embed.opening import PASSAGE, QUERY, vectors
from studio.models.embed.ranking import first_passages
from studio.schema.embed import EmbeddingPreset
from studio.train.embed.batches import Mixer
from studio.train.embed.objective import RetrievalObjective, ranking_figures

SCALE, MARGIN = 20.0, 0.2
"""Of a ranking, as sentence-transformers has it; of triplets, in cosines."""


class EmbeddingObjective(RetrievalObjective):
    """Vectors of questions near those of their passages."""

    def __init__(self, model: Any, preset: EmbeddingPreset, train: Sequence[Found], held: Sequence[Found]) -> None:
        """See :class:`RetrievalObjective`."""
        super().__init__(model, preset, train, held)
        self.preset = preset
        self._mixer = Mixer(self.rows, preset.batch_size, preset.seed)
        self._loss = embedding_loss(model, preset, cached=preset.micro_batch_size is not None)
        self._plain = embedding_loss(model, preset, cached=False)

    def batches(self, epoch: int) -> tuple[list[list[int]], int]:
        """See :class:`RetrievalObjective`; see :mod:`studio.train.embed.batches`."""
        return self._mixer.epoch(epoch)

    def features(self, rows: Sequence[Found]) -> list[dict[str, Any]]:
        """Questions [b], their passages [b], and disliked answers [m] where there are some.

        A row with several disliked answers gives all of them to a ranking, which sets each question against all; a triplet has
        one, the first.
        """
        prompts = self.model.prompts
        one_each = self.preset.loss == "triplet"
        disliked = [text for row in rows for text in (row.negatives[:1] if one_each else row.negatives)]
        columns = [
            [prompts[QUERY] + row.query for row in rows],
            [prompts[PASSAGE] + str(row.positive) for row in rows],
            *([[prompts[PASSAGE] + text for text in disliked]] if disliked else []),
        ]
        return [self.read(column) for column in columns]

    def learn(self, rows: Sequence[int], epoch: int) -> float:  # noqa: ARG002 - its passages are the same in each epoch
        """See :class:`RetrievalObjective`."""
        with self.arithmetic():
            loss = self._loss(self.features([self.rows[row] for row in rows]), None)
            loss.backward()
        return float(loss.detach())

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """See :class:`RetrievalObjective`; the loss is the mean over batches of validation rows that never change."""
        batches, _ = Mixer(self.held, self.preset.batch_size, self.preset.seed).epoch(0)
        with self.arithmetic():
            losses = [
                (float(self._plain(self.features([self.held[row] for row in batch]), None)), len(batch)) for batch in batches
            ]
            passages, right = self.corpus()
            found = vectors(self.model, passages, PASSAGE)
            ranked = first_passages(vectors(self.model, [row.query for row in self.held], QUERY), found, 10)
        figures = {"eval_loss": sum(loss * count for loss, count in losses) / sum(count for _, count in losses)} if losses else {}
        return figures | ranking_figures(ranked, right)


def embedding_loss(model: Any, preset: EmbeddingPreset, *, cached: bool) -> nn.Module:
    """The loss of sentence-transformers that a preset names.

    Args:
        cached: gradients of vectors are kept and the texts go through in micro batches (https://arxiv.org/abs/2101.06983).
    Raises:
        UserError: vectors are cut longer than they are.
    """
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric

    loss: nn.Module
    if preset.loss == "triplet":
        loss = losses.TripletLoss(model, distance_metric=TripletDistanceMetric.COSINE, triplet_margin=preset.margin or MARGIN)
    elif cached:
        size = preset.micro_batch_size or preset.batch_size
        loss = losses.CachedMultipleNegativesRankingLoss(model, scale=preset.scale or SCALE, mini_batch_size=size)
    else:
        loss = losses.MultipleNegativesRankingLoss(model, scale=preset.scale or SCALE)
    if not preset.matryoshka:
        return loss
    whole = int(model.get_embedding_dimension())
    if max(preset.matryoshka) > whole:
        raise UserError(
            f"matryoshka: {max(preset.matryoshka)} is longer than the {whole} numbers of a vector of this base. "
            f"Set lengths up to {whole}."
        )
    wrapped: nn.Module = losses.MatryoshkaLoss(model, loss, sorted({whole, *preset.matryoshka}, reverse=True))
    return wrapped
