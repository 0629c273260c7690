"""Tiny bases of today's families: two layers of random weights from transformers' own configurations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import tiny_tokenizer, write_base

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
ALL_FULL: dict[str, Any] = {"layer_types": ["full_attention"] * 2}


def _gemma3_mm(common: dict[str, Any]) -> Any:
    from transformers import Gemma3Config

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    text = {**common, **SMALL, **ALL_FULL, "query_pre_attn_scalar": 16}
    ids = {"boi_token_index": 1, "eoi_token_index": 2, "image_token_index": 3, "mm_tokens_per_image": 4}
    return Gemma3Config(text_config=text, vision_config=vision, **ids, **common)


def _of(name: str, **settings: Any) -> Callable[[dict[str, Any]], Any]:
    def config(common: dict[str, Any]) -> Any:
        import transformers

        return getattr(transformers, name)(**{**SMALL, **common, **settings})

    return config


def _own(name: str, **settings: Any) -> Callable[[dict[str, Any]], Any]:
    """Of a family whose settings have other names than :data:`SMALL`."""

    def config(common: dict[str, Any]) -> Any:
        import transformers

        return getattr(transformers, name)(**{**common, **settings})

    return config


_DEEPSEEK = {
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
_DEEPSEEK |= {"moe_intermediate_size": 32, "first_k_dense_replace": 1, "head_dim": 8, "num_key_value_heads": 4}
_LATENT = {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}
_NO_RATES = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}

FAMILIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "llama": _of("LlamaConfig"),
    "qwen3": _of("Qwen3Config"),
    "gemma2": _of("Gemma2Config", query_pre_attn_scalar=16, attn_logit_softcapping=50.0, final_logit_softcapping=30.0),
    "gemma3": _of("Gemma3TextConfig", query_pre_attn_scalar=16, **ALL_FULL),
    "gemma3_mm": _gemma3_mm,
    "mixtral": _of("MixtralConfig", num_local_experts=4, num_experts_per_tok=2),
    "qwen3_moe": _of("Qwen3MoeConfig", **EXPERTS),
    "deepseek_v3": _of("DeepseekV3Config", **_DEEPSEEK, **_LATENT),
    "gpt_oss": _of("GptOssConfig", num_local_experts=4, num_experts_per_tok=2, sliding_window=64),
    "gpt2": _own("GPT2Config", n_embd=64, n_layer=2, n_head=4, n_positions=512, **_NO_RATES),
    "bloom": _own("BloomConfig", hidden_size=64, n_layer=2, n_head=4, hidden_dropout=0.0, attention_dropout=0.0),
    "gptj": _own("GPTJConfig", n_embd=64, n_layer=2, n_head=4, n_positions=512, rotary_dim=8, **_NO_RATES),
    "gpt_neo": _own(
        "GPTNeoConfig", hidden_size=64, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
        max_position_embeddings=512,
    ),
    "mpt": _own("MptConfig", d_model=64, n_layers=2, n_heads=4, max_seq_len=512),
    "opt": _own(
        "OPTConfig", hidden_size=64, ffn_dim=128, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=64,
        max_position_embeddings=512, dropout=0.0,
    ),
    "mamba": _own("MambaConfig", hidden_size=64, num_hidden_layers=2, state_size=8),
    "mamba2": _own("Mamba2Config", hidden_size=64, num_hidden_layers=2, state_size=8, num_heads=8, head_dim=16, n_groups=2),
    "rwkv": _own("RwkvConfig", hidden_size=64, num_hidden_layers=2, attention_hidden_size=64, context_length=512),
    "recurrent_gemma": _own(
        "RecurrentGemmaConfig", hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, lru_width=64, attention_window_size=64,
    ),
    "jamba": _of("JambaConfig", num_experts=4, attn_layer_period=2, attn_layer_offset=1, expert_layer_offset=1,
                 use_mamba_kernels=False, mamba_d_state=8),
    "mistral": _of("MistralConfig", sliding_window=None),
    "ministral": _of("Ministral3Config"),
    "qwen2": _of("Qwen2Config"),
    "qwen3_next": _of(
        "Qwen3NextConfig", **EXPERTS, shared_expert_intermediate_size=32, layer_types=["linear_attention", "full_attention"],
        linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=16, linear_value_head_dim=16,
    ),
    "phi3": _of("Phi3Config", resid_pdrop=0.0, embd_pdrop=0.0),
    "gpt_neox": _own(
        "GPTNeoXConfig", hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512,
    ),
    "falcon": _own("FalconConfig", hidden_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=512),
    "olmo2": _of("Olmo2Config"),
    "granite": _of("GraniteConfig"),
    "granite_hybrid": _of(
        "GraniteMoeHybridConfig", num_local_experts=4, num_experts_per_tok=2, shared_intermediate_size=64,
        layer_types=["mamba", "attention"], mamba_n_heads=8, mamba_d_head=16, mamba_d_state=8, mamba_n_groups=1, mamba_expand=2,
    ),
    "cohere": _of("CohereConfig"),
    "smollm3": _of("SmolLM3Config"),
    "nemotron_h": _of(
        "NemotronHConfig", hybrid_override_pattern="M*", layers_block_type=["mamba", "attention"], mamba_num_heads=8,
        mamba_head_dim=16, ssm_state_size=8, n_groups=1, expand=2,
    ),
    "lfm2": _of("Lfm2Config", layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False),
    "glm4": _of("Glm4Config"),
    "modernbert_decoder": _own(
        "ModernBertDecoderConfig", hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512,
    ),
    "bert": _own("BertConfig", hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4),
}  # fmt: skip


def build_family(folder: Path, family: str, *, seed: int = 0, **changes: Any) -> Path:
    """Write a whole model folder of a family; ``changes`` are set on its configuration."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tiny_tokenizer()
    common = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = FAMILIES[family](common)
    for name, value in changes.items():
        setattr(config, name, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    return write_base(folder, model, tokenizer)
