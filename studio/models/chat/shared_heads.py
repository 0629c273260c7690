"""Attention of one new token on a CPU, without a copy of every key and value for each query head that shares them.

Legend: b rows, h query heads, k key heads, g = h / k, s tokens so far, d size of a head, v size of its values.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers import PreTrainedModel

from studio.models.chat.attention import or_sdpa, replace_sdpa

NAME = "sdpa_shared_heads"


@or_sdpa
def shared_heads_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float | None,
    _causal: bool | None,
) -> Tensor | None:
    """What transformers calls ``sdpa``; for a single token the g queries of a key head stand in the place of g tokens.

    With a mask transformers repeats keys and values h / k times at every step, which took a third of the time of an answer
    (docs/log.md). Queries of one token share its mask, so the same kernel gives the same result on the keys as they are.

    Args:
        query: [b, h, 1 or more, d]. key: [b, k, s, d]. value: [b, k, s, v].
        mask: [b or 1, 1, 1, s] for a single token, or None.
    Returns:
        [b, 1 or more, h, v].
    """
    rows, heads, tokens, size = query.shape
    if tokens != 1 or key.shape[1] >= heads or (mask is not None and mask.shape[1:3] != (1, 1)):
        return None
    grouped = query.reshape(rows, key.shape[1], -1, size)  # [b, k, g, d]
    drawn = nn.functional.scaled_dot_product_attention(
        grouped, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling
    )  # [b, k, g, v]
    return drawn.reshape(rows, 1, heads, -1)


def share_heads(model: PreTrainedModel) -> None:
    """Let a model on a CPU whose attention is ``sdpa`` take :func:`shared_heads_attention`."""
    replace_sdpa(model, NAME, shared_heads_attention)
