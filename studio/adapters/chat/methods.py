"""Any adapter of a preset: LoRA, and the others that PEFT has (OFT, LoHa, LoKr, VeRA)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoHaConfig, LoKrConfig, OFTConfig, PeftConfig, PeftModel, VeraConfig, get_peft_model
from transformers import PreTrainedModel

from studio.adapters.chat.attach import attach_lora, freeze, lora_config, target_modules
from studio.adapters.chat.data_driven import Sample
from studio.adapters.chat.layers import has_stacked_experts
from studio.core.errors import UserError
from studio.models.chat.architecture import is_scorer
from studio.schema.adapter import ChatAdapter


def adapter_config(adapter: ChatAdapter, model: Any, *, quantized: bool = False) -> PeftConfig:
    """PEFT's configuration of a preset's adapter for a model's layers.

    Args:
        model: the base (a meta device will do).
        quantized: the base is, or will be, loaded in 4 or 8 bits.
    Raises:
        UserError: a name fits no layer, or a layer cannot carry this adapter.
    """
    if adapter.method == "lora":
        return lora_config(adapter.lora, model, quantized=quantized)
    block: Any = getattr(adapter, adapter.method)
    if block.target_modules == "all-linear" and has_stacked_experts(model):
        raise UserError(
            f"method: {adapter.method} cannot be used on the experts of {model.config.model_type}, which are stacked in one "
            f"tensor. Set {adapter.method}.target_modules=attention, or use method: lora."
        )
    given: dict[str, Any] = {
        "task_type": "SEQ_CLS" if is_scorer(model) else "CAUSAL_LM",
        "target_modules": target_modules(block.target_modules, model, adapter.method),
    }
    if adapter.method == "oft":
        return OFTConfig(r=0, oft_block_size=block.block_size, module_dropout=block.dropout, **given)
    if adapter.method == "vera":
        projections = {"projection_prng_key": adapter.seed, "save_projection": True}
        return VeraConfig(r=block.rank, vera_dropout=block.dropout, d_initial=block.d_initial, **projections, **given)
    given |= {"r": block.rank, "alpha": block.alpha, "rank_dropout": block.dropout}
    if adapter.method == "loha":
        return LoHaConfig(**given)
    return LoKrConfig(decompose_factor=block.factor or -1, decompose_both=block.decompose_both, **given)


def attach(model: Any, config: PeftConfig) -> PeftModel:
    """The model with an adapter of that configuration.

    Raises:
        UserError: the inputs of a layer cannot be cut into OFT's blocks.
    """
    peft_model = get_peft_model(model, config)
    wanted = getattr(config, "oft_block_size", 0)
    for name, module in peft_model.named_modules() if wanted else ():
        size = getattr(module, "oft_block_size", {}).get("default", wanted)
        if size != wanted:  # PEFT takes the nearest that fits, with a warning
            raise UserError(
                f"oft.block_size {wanted} does not divide the {module.in_features} inputs of {name.rpartition('.')[2]}. "
                f"Set oft.block_size={size}, or another that divides the inputs of every adapted layer."
            )
    return peft_model


def attach_adapter(
    model: PreTrainedModel,
    adapter: ChatAdapter,
    *,
    start_values: Path | None = None,
    sample: Sample | None = None,
    start: Path | None = None,
) -> PeftModel:
    """Freeze the base and add the preset's adapter, which trains; see :func:`studio.adapters.chat.attach.attach_lora`.

    Args:
        start: adapter folder of a run that is trained on, for LoRA.

    Raises:
        UserError: a layer name fits nothing, or the base cannot carry this adapter.
    """
    quantized = adapter.quantization != "none"
    if adapter.method == "lora":
        return attach_lora(
            model,
            adapter.lora,
            quantized=quantized,
            gradient_checkpointing=adapter.gradient_checkpointing,
            start_values=start_values,
            sample=sample,
            start=start,
        )
    freeze(model, gradient_checkpointing=adapter.gradient_checkpointing)
    return attach(model, adapter_config(adapter, model, quantized=quantized))
