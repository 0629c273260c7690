"""What language models say about plain texts, as plain functions; reached through :mod:`studio.evals.metrics.plain`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from studio.evals.chat.text_likelihood import text_logprobs
from studio.models.bases import resolve_base
from studio.models.chat.loading import load_causal_lm, load_tokenizer
from studio.models.device import number_name, pick_device, pick_dtype


def text_perplexity(texts: Sequence[str], model: str, *, batch_size: int = 16) -> dict[str, Any]:
    """See :func:`studio.evals.metrics.plain.text_perplexity`."""
    base, device = resolve_base(model), pick_device()
    # In bfloat16 the figure would depend on which texts stand beside each other; a GPU may have no room for float32.
    dtype = torch.float32 if device.type == "cpu" else pick_dtype("auto", device)
    network = load_causal_lm(base, dtype=dtype, device=device)
    found = text_logprobs(network, load_tokenizer(base), [("", text) for text in texts], batch_size=batch_size)
    total = sum(item.tokens for item in found if item)
    return {
        "perplexity": math.exp(-sum(item.sum for item in found if item) / total) if total else None,
        "dtype": number_name(dtype),
        "perplexities": [math.exp(-item.sum / item.tokens) if item else None for item in found],
    }
