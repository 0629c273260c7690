"""What vLLM's own model classes do with adapters, by the class that ``config.json`` names under ``architectures``.

Source: vLLM 0.32.0, ``model_executor/models``: ``registry.py``, who derives from ``SupportsLoRA``, and ``is_3d_moe_weight``.
``tests/adapters/chat/test_vllm_models.py`` reads them again where vLLM is installed.
"""

from __future__ import annotations

# Classes of its own without ``SupportsLoRA``: ``--enable-lora`` is refused at the start.
WITHOUT_ADAPTERS = frozenset(
    {
        "BloomForCausalLM",
        "Cohere2MoeForCausalLM",
        "DbrxForCausalLM",
        "FalconForCausalLM",
        "FalconMambaForCausalLM",
        "GPT2LMHeadModel",
        "GPTJForCausalLM",
        "Gemma3nForCausalLM",
        "HrmTextForCausalLM",
        "Mamba2ForCausalLM",
        "MambaForCausalLM",
        "MiMoV2FlashForCausalLM",
        "StableLmForCausalLM",
        "Zamba2ForCausalLM",
    }
)

# Neither a class in its registry nor one that its Transformers backend builds, among those that the tests of the families train.
UNKNOWN = frozenset({"GPTNeoForCausalLM", "MptForCausalLM", "RecurrentGemmaForCausalLM", "RwkvForCausalLM"})

# Classes that read experts' adapters as PEFT stacks them (``is_3d_moe_weight``); all others ask for one adapter per expert.
READS_STACKED_EXPERTS = frozenset({"GptOssForCausalLM", "Qwen3_5MoeForConditionalGeneration"})

# Layers that are one in transformers and several to vLLM's loader, which refuses the whole adapter for them.
REFUSED_LAYERS = {"Glm4ForCausalLM": frozenset({"gate_up_proj"})}
