"""Putting attention of our own into a model on a CPU, in the place of what transformers calls ``sdpa``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import AttentionInterface, AttentionMaskInterface
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
