"""Putting attention of our own into a model on a CPU, in the place of what transformers calls ``sdpa``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask


def replace_sdpa(model: Any, name: str, attention: Callable[..., Any]) -> bool:
    """Let a model on a CPU whose attention is ``sdpa`` take another that reads the same masks. True if it does.

    Args:
        name: what the attention is called in transformers' registry.
        attention: called as transformers' ``sdpa_attention_forward`` is.
    """
    if model.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        return False
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)
    model.set_attn_implementation(name)
    return bool(model.config._attn_implementation == name)


def or_sdpa(own: Callable[..., Tensor | None]) -> Callable[..., tuple[Tensor, None]]:
    """An attention as transformers calls it, which goes through ``sdpa`` wherever ``own`` gives None.

    Legend: b rows, h query heads, k key heads, s query tokens, t key tokens, d size of a head, v size of its values.

    Args:
        own: called with module, query [b, h, s, d], key [b, k, t, d], value [b, k, t, v], mask or None, dropout, scaling or None
            (one over the root of d) and whether the caller asks for a causal mask (None: the module says so); gives [b, s, h, v].
    Returns:
        what gives [b, s, h, v] and None for the weights, which nobody may ask for.
    """

    @functools.wraps(own)
    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        **others: Any,
    ) -> tuple[Tensor, None]:
        drawn = None
        if others.get("position_bias") is None and others.get("cache") is None:
            drawn = own(module, query, key, value, attention_mask, dropout, scaling, others.get("is_causal"))
        if drawn is not None:
            return drawn, None
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )

    return attention
