"""Learning to judge a question with a passage: binary cross-entropy of right answers against those of other questions.

Legend: b questions of a step, n pairs in it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from studio.data.passages import Found, relevant_passages, same_text
from studio.models.embed.opening import fits
from studio.schema.embed import RerankerPreset
from studio.train.embed.objective import RetrievalObjective, ranking_figures
from studio.train.embed.rows import distinct

_JUDGED = 20
"""Passages that a validation question's right one is ranked among."""

Pair = tuple[str, str, float]
"""Question, passage, and 1 where the passage answers the question."""


class RerankerObjective(RetrievalObjective):
    """Logits of questions with passages."""

    def __init__(self, model: Any, preset: RerankerPreset, train: Sequence[Found], held: Sequence[Found]) -> None:
        """See :class:`RetrievalObjective`."""
        super().__init__(model, preset, train, held)
        self.preset = preset
        self._passages = distinct(row.positive for row in self.rows if row.positive is not None)
        self._right = relevant_passages([*self.rows, *self.held])

    def batches(self, epoch: int) -> tuple[list[list[int]], int]:
        """See :class:`RetrievalObjective`; each row once, in a new order."""
        draws = torch.Generator().manual_seed((self.preset.seed * 1_000_003 + epoch) * 2)
        order = torch.randperm(len(self.rows), generator=draws).tolist()
        size = self.preset.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)], 0

    def pairs(self, row: Found, number: int, epoch: int, count: int | None = None) -> list[Pair]:
        """The pairs of a row: its right passage, disliked answers, and ``count`` drawn passages of other questions.

        Args:
            number: of the row; with the epoch it decides what is drawn.
        """
        wrong = list(row.negatives)
        if row.positive is not None:
            known = {*self._right.get(same_text(row.query), set()), *(same_text(text) for text in wrong)}
            wrong += self._drawn(known, (self.preset.seed, epoch, number), self.preset.negatives if count is None else count)
        right = [(row.query, row.positive, 1.0)] if row.positive is not None else []
        return [*right, *((row.query, text, 0.0) for text in wrong)]

    def learn(self, rows: Sequence[int], epoch: int) -> float:
        """See :class:`RetrievalObjective`; micro batches are weighed by their pairs, so that the mean is that of the step."""
        pairs = [pair for row in rows for pair in self.pairs(self.rows[row], row, epoch)]
        size = self.preset.micro_batch_size or len(pairs)
        total = 0.0
        for start in range(0, len(pairs), size):
            part = pairs[start : start + size]
            with self.arithmetic():
                share = self._loss(part) * (len(part) / len(pairs))
                share.backward()  # type: ignore[no-untyped-call]
            total += float(share.detach())
        return total

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """See :class:`RetrievalObjective`; each question's right passage is ranked among 20, drawn once for all epochs."""
        judged = [self.pairs(row, number, 0, _JUDGED - 1) for number, row in enumerate(self.held)]
        flat = [pair for pairs in judged for pair in pairs]
        with self.arithmetic():
            logits = fits(self.model, [(query, passage) for query, passage, _ in flat])
        truth = torch.tensor([label for _, _, label in flat])
        figures = {"eval_loss": float(functional.binary_cross_entropy_with_logits(logits, truth))} if flat else {}
        ranked, right, start = [], [], 0
        for pairs in judged:
            own = logits[start : start + len(pairs)]
            # Reversed, so that of equal ones a wrong passage comes first: a model that says the same of all has found nothing.
            order = (len(pairs) - 1 - own.flip(0).sort(descending=True, stable=True).indices).tolist()
            ranked.append(order)
            right.append({place for place, (_, _, label) in enumerate(pairs) if label == 1.0})
            start += len(pairs)
        return figures | ranking_figures(ranked, right)

    def _loss(self, pairs: Sequence[Pair]) -> Tensor:
        """Mean binary cross-entropy of pairs, by the loss of sentence-transformers."""
        from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

        texts = [[query for query, _, _ in pairs], [passage for _, passage, _ in pairs]]
        labels = torch.tensor([label for _, _, label in pairs], device=self.device)
        loss: Tensor = BinaryCrossEntropyLoss(self.model)(texts, labels)
        return loss

    def _drawn(self, known: set[str], draw: tuple[int, int, int], count: int) -> list[str]:
        """Passages that no row names as an answer to a question; fewer than ``count`` where there are not so many."""
        chance = random.Random(repr(draw))
        found: list[str] = []
        # Twice as many as are wanted and as many as are known: a few may be right answers.
        for place in chance.sample(range(len(self._passages)), min(len(self._passages), 2 * count + len(known))):
            if len(found) < count and same_text(self._passages[place]) not in known:
                found.append(self._passages[place])
        return found
