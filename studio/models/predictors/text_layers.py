"""Networks that read the words of a text, from scratch: LSTM, GRU and convolutions.

Legend: b texts, s words of the longest, e numbers per word, d features of a text, k labels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from studio.models.predictors.networks import WEIGHTS, activation, save_weights


class TextNetwork(nn.Module):
    """Texts to what speaks for each label, in three parts, so that explanations can begin at the embedded words."""

    head: nn.Module

    @abstractmethod
    def embed(self, numbers: Tensor) -> Tensor:
        """int64 [b, s] to [b, s, e]."""

    @abstractmethod
    def features(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """[b, s, e] and bool [b, s] (True: a word) to [b, d]; what fills up changes nothing."""

    def judge(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Logits [b, k] of embedded words."""
        logits: Tensor = self.head(self.features(embedded, mask))
        return logits

    def read(self, numbers: Tensor, mask: Tensor) -> Tensor:
        """Features [b, d] of texts."""
        return self.features(self.embed(numbers), mask)

    def forward(self, numbers: Tensor, mask: Tensor) -> Tensor:
        """Logits [b, k] of texts."""
        logits: Tensor = self.head(self.read(numbers, mask))
        return logits

    def write(self, folder: Path) -> None:
        """Write the weights."""
        save_weights(self, folder / WEIGHTS)


class RecurrentNetwork(TextNetwork):
    """LSTM (Hochreiter and Schmidhuber 1997) or GRU (https://arxiv.org/abs/1406.1078) over words.

    A text's features are the largest value of each output over its words (https://arxiv.org/abs/1705.02364, "BiLSTM-max").
    """

    def __init__(
        self,
        cell: str,
        *,
        words: int,
        labels: int,
        embedding: int,
        depth: int,
        width: int,
        bidirectional: bool,
        activation_name: str,
        dropout: float,
    ) -> None:
        """``cell`` is ``lstm`` or ``gru``; ``width`` counts per direction and layer."""
        super().__init__()
        kind: type[nn.LSTM] | type[nn.GRU] = nn.LSTM if cell == "lstm" else nn.GRU
        between = dropout if depth > 1 else 0.0
        self.embeddings = nn.Embedding(words, embedding, padding_idx=0)
        self.drop = nn.Dropout(dropout)
        self.recurrent = kind(embedding, width, num_layers=depth, bidirectional=bidirectional, dropout=between, batch_first=True)
        found = width * (2 if bidirectional else 1)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(found, width),
            activation(activation_name),
            nn.Dropout(dropout),
            nn.Linear(width, labels),
        )

    def embed(self, numbers: Tensor) -> Tensor:
        """See :meth:`TextNetwork.embed`."""
        embedded: Tensor = self.embeddings(numbers)
        return embedded

    def features(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`TextNetwork.features`."""
        packed = pack_padded_sequence(self.drop(embedded), mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=mask.shape[1])  # [b, s, d]
        return outputs.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)


class ConvolutionNetwork(TextNetwork):
    """Filters over neighbouring words, the largest answer of each (https://arxiv.org/abs/1408.5882)."""

    def __init__(
        self,
        *,
        words: int,
        labels: int,
        embedding: int,
        widths: Sequence[int],
        filters: int,
        activation_name: str,
        dropout: float,
    ) -> None:
        """``widths``: words that each kind of filter sees at once; ``filters`` of each."""
        super().__init__()
        self.embeddings = nn.Embedding(words, embedding, padding_idx=0)
        self.drop = nn.Dropout(dropout)
        self.filters = nn.ModuleList(nn.Conv1d(embedding, filters, width) for width in widths)
        self.bend = activation(activation_name)
        self.widths = list(widths)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(filters * len(self.widths), labels))

    def embed(self, numbers: Tensor) -> Tensor:
        """See :meth:`TextNetwork.embed`."""
        embedded: Tensor = self.embeddings(numbers)
        return embedded

    def features(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`TextNetwork.features`; a text shorter than a filter is filled up with zeros."""
        signals = (self.drop(embedded) * mask[:, :, None]).transpose(1, 2)  # [b, e, s]
        signals = functional.pad(signals, (0, max(self.widths) - 1))
        lengths = mask.sum(dim=1)[:, None]  # [b, 1]
        found = []
        for width, convolve in zip(self.widths, self.filters, strict=True):
            answers = self.bend(convolve(signals))  # [b, f, places]
            places = torch.arange(answers.shape[2], device=answers.device)[None]  # [1, places]
            inside = places <= (lengths - width).clamp(min=0)  # [b, places]
            found.append(answers.masked_fill(~inside[:, None], -torch.inf).amax(dim=2))
        return torch.cat(found, dim=1)


def build_word_network(settings: dict[str, Any]) -> TextNetwork:
    """A network with random weights from its ``type`` and the arguments of its class."""
    plain = dict(settings)
    kind = plain.pop("type")
    return ConvolutionNetwork(**plain) if kind == "text-cnn" else RecurrentNetwork(kind, **plain)


def filled_up(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Rows of numbers as one tensor int64 [b, s], filled up on the right, and bool [b, s], True where a number stands."""
    longest = max(len(row) for row in rows)
    numbers = torch.full((len(rows), longest), padding, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.bool)
    for place, row in enumerate(rows):
        numbers[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
        mask[place, : len(row)] = True
    return numbers, mask
