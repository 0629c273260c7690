"""Attention of one new token on a CPU, without a copy of every key and value for each query head that shares them.

Legend: b rows, h query heads, k key heads, g = h / k, s tokens so far, d size of a head, v size of its values.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from studio.models.chat.attention import replace_sdpa

NAME = "sdpa_shared_heads"


def shared_heads_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers calls ``sdpa``; for a single token the g queries of a key head stand in the place of g tokens.

    With a mask transformers repeats keys and values h / k times at every step, which took a third of the time of an answer
    (docs/log.md). Queries of one token share its mask, so the same kernel gives the same result on the keys as they are.

    Args:
        query: [b, h, 1 or more, d]. key: [b, k, s, d]. value: [b, k, s, v].
        attention_mask: [b or 1, 1, 1, s] for a single token, or None.
    Returns:
        [b, 1 or more, h, v] and None for the weights, which nobody may ask for.
    """
    rows, heads, tokens, size = query.shape
    shared = tokens == 1 and key.shape[1] < heads and (attention_mask is None or attention_mask.shape[1:3] == (1, 1))
    if not shared or others.get("position_bias") is not None or others.get("cache") is not None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    grouped = query.reshape(rows, key.shape[1], -1, size)  # [b, k, g, d]
    drawn = nn.functional.scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )  # [b, k, g, v]
    return drawn.reshape(rows, 1, heads, -1), None


def share_heads(model: PreTrainedModel) -> None:
    """Let a model on a CPU whose attention is ``sdpa`` take :func:`shared_heads_attention`."""
    replace_sdpa(model, NAME, shared_heads_attention)
