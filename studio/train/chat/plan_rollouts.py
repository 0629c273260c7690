"""Memory of writing answers while training, in bytes: keys and values of all tokens, and choosing the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from studio.models.vllm_environment import CPU_CACHE_GIB
from studio.schema.adapter import ChatAdapter
from studio.train.chat.plan_model import Skeleton

# Bytes per score of the vocabulary while the next token is chosen (studio.models.chat.generation.choose): scores in float32,
# divided, ranked and their places (8), probabilities, their running sum and what stands before, masked ones and a comparison.
_CHOOSING = 4 * 7 + 8 + 1
# Growing the keys and values of one layer by a token copies them, and a batch that is left by finished answers is copied whole.
_COPIES = 1.5
# vLLM's libraries and buffers on a CPU (largest process of a tiny model, less the cache of keys and values).
_ENGINE = 1_300_000_000


def rollout_bytes(
    adapter: ChatAdapter, skeleton: Skeleton, lengths: Sequence[int] | None, dtype: torch.dtype, processes: int
) -> int:
    """Bytes beside the weights at the fullest moment of writing the answers of a step, per process.

    Args:
        lengths: tokens of each prompt with the longest answer; None assumes ``max_length``.
        dtype: of the arithmetic.
    """
    own = adapter.grpo
    at_once = min(own.rollout_batch_size or adapter.batch_size, adapter.batch_size // processes)
    tokens = max(lengths) if lengths else adapter.max_length
    config: Any = skeleton.causal_lm.config.get_text_config()
    width = 2 * _key_heads(config) * _head_size(config) * dtype.itemsize
    cache = round(_COPIES * at_once * tokens * width * int(config.num_hidden_layers))
    reading = at_once * tokens * int(config.hidden_size) * 8 * dtype.itemsize  # the prompts, before the first token
    return cache + max(reading, at_once * int(config.vocab_size) * _CHOOSING)


def writer_bytes(adapter: ChatAdapter, skeleton: Skeleton, dtype: torch.dtype, device: str, memory: int | None) -> int:
    """Bytes that vLLM holds all the time as the writer of answers: its share of the GPU, or its copy of the base, the keys and
    values of the answers and its libraries.

    Args:
        dtype: of the arithmetic. memory: bytes of the GPU; None where they are not known, then its own weights are counted alone.
    """
    own = int(skeleton.causal_lm.num_parameters()) * dtype.itemsize
    if device != "cpu":
        return round(adapter.grpo.vllm.memory * memory) if memory else own
    return own + (CPU_CACHE_GIB << 30) + _ENGINE


def _key_heads(config: Any) -> int:
    """Heads that have keys of their own."""
    return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)


def _head_size(config: Any) -> int:
    """Numbers of a key."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
