"""What a model's file says of itself, and what GGUF cannot say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from studio.core.errors import UserError
from studio.exports.chat.gguf.architectures import architecture_of, context_length, interleave, laid, rope_factors

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 512,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
GEMMA = {**LLAMA, "model_type": "gemma3_text", "hidden_act": None, "hidden_activation": "gelu_pytorch_tanh", "head_dim": 16}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {**LLAMA, "model_type": "gpt2"},
            r"^--to gguf cannot hold tiny: its architecture 'gpt2' has not been proven. Proven are: llama, mi",
        ),
        (
            {**LLAMA, "hidden_act": "gelu"},
            r"the activation 'gelu' cannot be said in GGUF for llama. Export it with --to merged.$",
        ),
        ({**LLAMA, "rope_parameters": {"rope_type": "yarn"}}, r"the rotary scaling 'yarn' cannot be said"),
        ({**LLAMA, "rope_parameters": None, "rope_scaling": {"type": "dynamic"}}, r"the rotary scaling 'dynamic' cannot be said"),
        ({**LLAMA, "model_type": "qwen2", "use_sliding_window": True}, r"a sliding window in some layers cannot be said"),
        ({**GEMMA, "query_pre_attn_scalar": 20}, r"a query_pre_attn_scalar of 20 cannot be said in GGUF for gemma3_text"),
        ({**GEMMA, "layer_types": ["full_attention"] * 2}, r"this order of layers with and without a window cannot be said"),
    ],
)
def test_what_cannot_be_said_is_refused(config: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        architecture_of(config, "tiny")


def test_a_window_of_mistral_bounds_its_context():
    assert context_length({**LLAMA, "model_type": "mistral", "sliding_window": 128}) == 128
    assert context_length({**LLAMA, "model_type": "mistral", "sliding_window": None}) == 512


def test_queries_and_keys_lie_interleaved_by_head():
    weight = np.arange(8, dtype=np.float32)[:, None] * np.ones((1, 3), dtype=np.float32)  # two heads of two halves of two
    assert interleave(weight, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    found = architecture_of(LLAMA, "tiny")
    rows = np.arange(64, dtype=np.float32)[:, None]
    assert laid("model.layers.0.self_attn.q_proj.weight", rows, LLAMA, found)[:4, 0].tolist() == [0, 8, 1, 9]
    assert laid("model.layers.0.self_attn.k_proj.weight", rows[:32], LLAMA, found)[:4, 0].tolist() == [0, 8, 1, 9]
    assert laid("model.layers.0.self_attn.v_proj.weight", rows, LLAMA, found) is rows
    qwen = architecture_of({**LLAMA, "model_type": "qwen2"}, "tiny")
    assert laid("model.layers.0.self_attn.q_proj.weight", rows, LLAMA, qwen) is rows


def test_the_frequencies_of_llama_3_are_those_of_transformers():
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    config = {**LLAMA, "hidden_size": 512, "rope_parameters": rope}
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](LlamaConfig(**config), torch.device("cpu"))
    plain = 1 / 500000.0 ** (torch.arange(0, 128, 2).float() / 128)
    factors = rope_factors(config)
    assert factors is not None and torch.allclose(plain / torch.from_numpy(factors), scaled, rtol=1e-5)
    assert rope_factors(LLAMA) is None
