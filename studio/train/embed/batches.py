"""Which rows stand in a batch together: never two of which one's passage answers the other's question.

In a batch the passages of all other rows count as wrong answers. Two rows with the same question, or with the same passage, or
where one's passage is known from a third row to answer the other's question, would teach that a right answer is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from studio.data.passages import Found, relevant_passages, same_text

_LOOKED_AT = 20
"""Rows looked at for each place of a batch before it is left smaller, so that rows of one passage take no square time."""


class Mixer:
    """Puts rows into batches; the order comes from the seed and the number of the epoch."""

    def __init__(self, rows: Sequence[Found], size: int, seed: int) -> None:
        """``size``: rows of a batch."""
        relevant = relevant_passages(rows)
        self._size, self._seed = size, seed
        self._queries = [same_text(row.query) for row in rows]
        self._right = [relevant.get(query, set()) for query in self._queries]
        self._own = [
            {same_text(text) for text in (row.positive, *row.negatives) if text is not None} for row in rows
        ]  # what a row brings into the batch
        self._negatives = [bool(row.negatives) for row in rows]

    def epoch(self, epoch: int) -> tuple[list[list[int]], int]:
        """Batches of an epoch, and how many rows are left out of it because nobody is left to stand beside them."""
        draws = torch.Generator().manual_seed((self._seed * 1_000_003 + epoch) * 2)
        waiting = torch.randperm(len(self._queries), generator=draws).tolist()
        batches, alone = [], 0
        while waiting:
            batch, waiting = self._one(waiting)
            if len(batch) > 1 or self._negatives[batch[0]]:
                batches.append(batch)
            else:
                alone += 1
        return batches, alone

    def _one(self, waiting: list[int]) -> tuple[list[int], list[int]]:
        """The first rows that go together, and the others in their order."""
        batch: list[int] = []
        brought: set[str] = set()
        right: set[str] = set()
        later: list[int] = []
        for place, row in enumerate(waiting):
            if len(batch) == self._size or place >= _LOOKED_AT * self._size:
                return batch, later + waiting[place:]
            if self._own[row] & right or self._right[row] & brought:
                later.append(row)
                continue
            batch.append(row)
            brought |= self._own[row]
            right |= self._right[row]
        return batch, later
