"""Attention on a CPU: for short rows in bfloat16, where PyTorch's fused kernel is slow, and for keys that heads share.

Legend: b rows, h heads, k key heads, s tokens, d size of a head, v size of its values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from studio.models.chat.attention import or_sdpa, replace_sdpa

NAME = "sdpa_short_rows"
# Above this many tokens less is gained, and the scores of plain products take much memory: they grow with the square.
LONGEST = 256


@or_sdpa
def short_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float | None,
    causal: bool | None,
) -> Tensor | None:
    """Plain matrix products where they are faster, otherwise the fused kernel as transformers' ``sdpa`` calls it.

    Behind a mask transformers repeats keys and values for every head that shares them, and a training step keeps the copies; on
    a CPU the kernel does without, to the same bits.

    The backward pass of the fused kernel takes several times as long in bfloat16 as in float32 at these lengths
    (docs/log.md). Scores are rounded to bfloat16 before the softmax, as in transformers' ``eager``; the
    softmax itself is in float32 inside.

    Args:
        query: [b, h, s, d]. key: [b, k, s, d]. value: [b, k, s, v].
        mask: True where a token may look, [b or 1, 1, s, s]; None means causal.
    Returns:
        [b, s, h, v].
    """
    tokens = query.shape[2]
    short = query.dtype == torch.bfloat16 and 1 < tokens == key.shape[2] <= LONGEST and not dropout
    if mask is None:
        masked = getattr(module, "is_causal", True) if causal is None else causal
    else:
        masked = mask.dtype == torch.bool and mask.shape[1] == 1
    if not short or not masked:
        return _sharing(query, key, value, mask, dropout, scaling)
    rows, heads, _, size = query.shape
    groups = heads // key.shape[1]
    if mask is None:
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).tril()
    bias = torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill_(~mask, torch.finfo(query.dtype).min)
    # The query heads of a key head stand below each other, so that no key or value is repeated: g groups, [b, k, g*s, ...].
    queries = (query * (size**-0.5 if scaling is None else scaling)).reshape(rows, -1, groups * tokens, size)
    scores = (queries @ key.transpose(2, 3)).view(rows, -1, groups, tokens, tokens)
    weights = (scores + (bias[:, :, None] if bias.dim() == 4 else bias)).softmax(-1)
    drawn = weights.view(rows, -1, groups * tokens, tokens) @ value  # [b, k, g*s, v]
    return drawn.view(rows, heads, tokens, -1).transpose(1, 2).contiguous()


def _sharing(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scaling: float | None
) -> Tensor | None:
    """The fused kernel on keys that heads share, [b, s, h, v]; None where transformers' call of it copies nothing either."""
    if mask is None or dropout or query.shape[1] == key.shape[1] or key.shape[-1] != value.shape[-1]:
        return None
    drawn = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True)
    return drawn.transpose(1, 2).contiguous()


def use_short_attention(model: Any) -> bool:
    """Let a model on a CPU whose attention is ``sdpa`` take :func:`short_attention`. True if it does."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return replace_sdpa(inner, NAME, short_attention)
