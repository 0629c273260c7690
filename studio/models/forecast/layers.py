"""Networks that forecast: a window of the past in, quantiles of every stamp of the horizon out.

Legend: b windows, l stamps of context, f numbers per stamp of the past, h stamps ahead, g numbers per stamp ahead, q quantiles,
w width, n patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """All that decides the form of a network. kind: ``lstm`` or ``transformer``; patch and heads are the transformer's."""

    kind: str
    width: int
    depth: int
    dropout: float
    context: int
    horizon: int
    quantiles: int
    past_inputs: int
    future_inputs: int
    patch: int = 1
    heads: int = 1


class Head(nn.Module):
    """From what was made of the past, and what is known of the future, to quantiles."""

    def __init__(self, shape: Shape, inputs: int) -> None:
        super().__init__()
        self.horizon, self.quantiles = shape.horizon, shape.quantiles
        self.layers = nn.Sequential(
            nn.Linear(inputs + shape.horizon * shape.future_inputs, shape.width),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.width, shape.horizon * shape.quantiles),
        )
        # It begins with the last value for ever, which is hard to beat.
        nn.init.normal_(self.layers[-1].weight, std=1e-3)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, past: Tensor, future: Tensor) -> Tensor:
        """[b, w], [b, h, g] -> [b, h, q]."""
        both = torch.cat([past, future.flatten(1)], dim=1)
        found: Tensor = self.layers(both)
        return found.view(-1, self.horizon, self.quantiles)


class LstmNetwork(nn.Module):
    """The past read stamp by stamp. Source: Hochreiter and Schmidhuber 1997."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        dropout = shape.dropout if shape.depth > 1 else 0.0
        self.lstm = nn.LSTM(shape.past_inputs, shape.width, shape.depth, batch_first=True, dropout=dropout)
        self.head = Head(shape, shape.width)

    def forward(self, past: Tensor, future: Tensor) -> Tensor:
        """[b, l, f], [b, h, g] -> [b, h, q]."""
        read, _ = self.lstm(past)  # [b, l, w]
        found: Tensor = self.head(read[:, -1], future)
        return found


class TransformerNetwork(nn.Module):
    """The past cut into patches that attend to each other. Source: PatchTST, https://arxiv.org/abs/2211.14730."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.patch = shape.patch
        self.count = math.ceil(shape.context / shape.patch)
        self.embed = nn.Linear(shape.patch * shape.past_inputs, shape.width)
        self.place = nn.Parameter(torch.randn(self.count, shape.width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            shape.width, shape.heads, 4 * shape.width, shape.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, shape.depth, norm=nn.LayerNorm(shape.width), enable_nested_tensor=False)
        self.head = Head(shape, self.count * shape.width)

    def forward(self, past: Tensor, future: Tensor) -> Tensor:
        """[b, l, f], [b, h, g] -> [b, h, q]."""
        missing = self.count * self.patch - past.shape[1]
        padded = nn.functional.pad(past, (0, 0, missing, 0))
        patches = padded.reshape(past.shape[0], self.count, -1)  # [b, n, patch f]
        attended: Tensor = self.layers(self.embed(patches) + self.place)  # [b, n, w]
        found: Tensor = self.head(attended.flatten(1), future)
        return found


def build_network(shape: Shape) -> nn.Module:
    """A network with random weights, from torch's random state."""
    return LstmNetwork(shape) if shape.kind == "lstm" else TransformerNetwork(shape)


def quantile_loss(said: Tensor, truth: Tensor, seen: Tensor, shares: Tensor) -> Tensor:
    """Mean pinball loss over all quantiles and seen stamps.

    Shapes: said [b, h, q], truth and seen (1 or 0) [b, h], shares [q].
    Source: Koenker and Bassett 1978.
    """
    away = truth[..., None] - said
    losses = torch.maximum(shares * away, (shares - 1) * away) * seen[..., None]
    return losses.sum() / (seen.sum() * len(shares)).clamp(min=1)
