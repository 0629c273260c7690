"""What a training of retrieval has to say: which rows a step takes, its loss with the way back, and how good the model is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from studio.data.passages import Found, relevant_passages, same_text
from studio.models.embed.ranking import ndcg_at, recall_at
from studio.schema.embed import RetrievalPreset
from studio.train.embed.rows import distinct

NDCG, RECALL = "eval_ndcg_10", "eval_recall_1"
"""Names of the figures of the validation rows in ``metrics.jsonl``."""
_DISTRACTORS = 2000
"""Training passages at most among which those of the validation rows have to be found."""


class RetrievalObjective(ABC):
    """The objective of one kind of Run over its rows."""

    def __init__(self, model: Any, preset: RetrievalPreset, train: Sequence[Found], held: Sequence[Found]) -> None:
        """``held``: validation rows, empty where there are none."""
        self.model, self.rows, self.held = model, list(train), list(held)
        self.settings = preset

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        found: torch.device = self.model.device
        return found

    @abstractmethod
    def batches(self, epoch: int) -> tuple[list[list[int]], int]:
        """Rows of each step of an epoch, and how many rows the epoch leaves out."""

    @abstractmethod
    def learn(self, rows: Sequence[int], epoch: int) -> float:
        """Loss of a step, after its gradients were added to the parameters."""

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """``eval_loss`` of the validation rows, and how well their passages are found."""

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """The number type of the preset."""
        if self.settings.dtype == "float32":
            yield
            return
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            yield

    def read(self, texts: Sequence[Any]) -> dict[str, Any]:
        """Texts, or pairs of them, as the model takes them."""
        return {
            name: value.to(self.device) if isinstance(value, Tensor) else value
            for name, value in self.model.preprocess(list(texts)).items()
        }

    def corpus(self) -> tuple[list[str], list[set[int]]]:
        """Passages to search, those of validation first, and the places of the right ones of each validation row."""
        others = [row.positive for row in self.rows if row.positive is not None]
        draws = torch.Generator().manual_seed(self.settings.seed)
        drawn = [others[place] for place in torch.randperm(len(others), generator=draws)[:_DISTRACTORS].tolist()]
        passages = distinct([*(row.positive for row in self.held if row.positive is not None), *drawn])
        places = {same_text(text): place for place, text in enumerate(passages)}
        # A question of training rows may stand in validation too, where a Dataset was divided by rows.
        relevant = relevant_passages([*self.held, *self.rows])
        return passages, [{places[key] for key in relevant.get(same_text(row.query), ()) if key in places} for row in self.held]


def ranking_figures(ranked: Sequence[Sequence[int]], right: Sequence[set[int]]) -> dict[str, float]:
    """Means over the questions that have a right passage."""
    pairs = [(first, known) for first, known in zip(ranked, right, strict=True) if known]
    if not pairs:
        return {}
    return {
        NDCG: sum(ndcg_at(first, known, 10) for first, known in pairs) / len(pairs),
        RECALL: sum(recall_at(first, known, 1) for first, known in pairs) / len(pairs),
    }
