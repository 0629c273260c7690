"""Log-likelihood of the assistant's tokens, the number behind perplexity.

Legend: b rows of a batch, s padded length, u positions whose logits are computed, v vocabulary.

Logits are computed only where a target is: with padding on the left the answers of a batch line up at its right end, so that
the questions, often most of the tokens, never reach the output layer.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from studio.evals.evidence import Likelihood
from studio.models.chat.architecture import carries_padding
from studio.models.chat.encoding import EncodedRow
from studio.models.chat.generation import left_pad, unwrapped

# Bytes of float32 logits at once; a vocabulary of 128,000 fills it with 1,048 positions.
_LOGIT_BYTES = 512 << 20
# Positions whose log-softmax is taken at once.
_CHUNK = 256


@torch.inference_mode()
def score_rows(
    model: Any,
    rows: Sequence[EncodedRow],
    *,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> list[Likelihood | None]:
    """Summed negative log-likelihood of the trained tokens of every row.

    Args:
        rows: from :func:`studio.models.chat.encoding.encode_conversation`.
        advance: called with how many rows were just scored.
    Returns:
        One per row, in order: nats and tokens, both weighted where the row has weights; None where a row has no token to score.
        A token at the very start has nothing before it to be predicted from and is not counted.
    """
    network = unwrapped(model)
    scored: list[Likelihood | None] = [None] * len(rows)
    vocabulary = int(network.get_output_embeddings().weight.shape[0]) if network.get_output_embeddings() is not None else 1 << 15
    batch_size = 1 if carries_padding(network.config) else batch_size
    for batch in batches_by_length(rows, batch_size, max_positions=max(1, _LOGIT_BYTES // (4 * vocabulary))):
        for index, losses in zip(batch, _score_batch(network, [rows[index] for index in batch]), strict=True):
            scored[index] = likelihood_of(rows[index], losses)
        if advance:
            advance(len(batch))
    return scored


def likelihood_of(row: EncodedRow, losses: Sequence[float]) -> Likelihood | None:
    """The likelihood of a row from the negative log-likelihood of each of its targets; None without a target."""
    if not len(losses):
        return None
    if row.weights is None:
        return Likelihood(math.fsum(losses), len(losses), row.cut)
    weights = [weight for weight, trained in zip(row.weights[1:], row.trained[1:], strict=True) if trained]
    weighted = math.fsum(weight * loss for weight, loss in zip(weights, losses, strict=True))
    return Likelihood(weighted, len(losses), row.cut, math.fsum(weights))


def joined(parts: Sequence[Likelihood | None]) -> Likelihood | None:
    """One likelihood of the examples that one conversation has become; None where none of them has a token to score."""
    found = [part for part in parts if part is not None]
    if len(found) < 2:
        return found[0] if found else None
    weight = sum(part.mass for part in found) if any(part.weight is not None for part in found) else None
    nll, tokens, cut = (sum(getattr(part, name) for part in found) for name in ("nll", "tokens", "cut"))
    return Likelihood(nll, tokens, cut, weight)


def batches_by_length(rows: Sequence[EncodedRow], batch_size: int, *, max_positions: int) -> Iterator[list[int]]:
    """Indices of rows of similar length, the longest first, with at most ``max_positions`` logits positions per batch."""
    spans = [_first_target_from_end(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (-len(rows[index].input_ids), -spans[index]))
    batch: list[int] = []
    widest = 0
    for index in order:
        width = max(widest, spans[index])
        if batch and (len(batch) == batch_size or width * (len(batch) + 1) > max_positions):
            yield batch
            batch, width = [], spans[index]
        batch.append(index)
        widest = width
    if batch:
        yield batch


def _first_target_from_end(row: EncodedRow) -> int:
    """How many positions, counted from the end of the row, hold all its targets."""
    return len(row.trained) - row.trained.index(True) if True in row.trained else 0


def _score_batch(network: Any, rows: Sequence[EncodedRow]) -> list[list[float]]:
    """NLL in nats of each target of each row of one batch."""
    filled = [row if row.input_ids else EncodedRow([0], [False], [], 0, 0) for row in rows]
    tokens, mask = left_pad([row.input_ids for row in filled], network.device)  # [b, s]
    width = tokens.shape[1]
    # targets[:, t] is True where the token at t + 1 is to be predicted from position t.
    targets = torch.tensor(
        [[False] * (width - len(row.trained)) + [False, *row.trained[1:]] for row in filled], device=tokens.device
    )[:, 1:]  # [b, s - 1]
    columns = targets.any(dim=0).nonzero()[:, 0]  # [u]
    if not len(columns):
        return [[] for _ in rows]
    positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)
    logits = _logits_at(network, tokens, mask, positions, columns)  # [b, u, v]
    wanted = targets[:, columns]  # [b, u]
    losses = _losses(logits[wanted], tokens[:, 1:][:, columns][wanted])  # [sum of targets]
    counts = wanted.sum(dim=1).tolist()
    return [part.tolist() for part in losses.split(counts)]


def _logits_at(network: Any, tokens: Tensor, mask: Tensor, positions: Tensor, columns: Tensor) -> Tensor:
    """Logits of the given columns: [b, u, v]; models that cannot leave out columns compute all."""
    arguments = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions, "use_cache": False}
    if "logits_to_keep" in inspect.signature(network.forward).parameters:
        kept: Tensor = network(**arguments, logits_to_keep=columns).logits
        return kept
    every: Tensor = network(**arguments).logits
    return every[:, columns]


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy per target in float32, returned as float64: [m, v], [m] -> [m]."""
    parts = [
        functional.cross_entropy(logits[start : start + _CHUNK].float(), targets[start : start + _CHUNK], reduction="none")
        for start in range(0, len(targets), _CHUNK)
    ]
    return torch.cat(parts).double().cpu()
