"""What trains in an encoder: every weight, or low-rank adapters that are merged into it at the end."""

from __future__ import annotations

from typing import Any

from torch import nn

from studio.schema.embed import AnyRetrievalPreset, EmbeddingPreset

_RATES = ("dropout", "attention_dropout", "dropout_prob")
"""What layers without modules of their own for it call their share of dropped activations."""


def prepare_training(model: Any, preset: AnyRetrievalPreset) -> dict[str, nn.Parameter]:
    """Set dropout, put adapters on where they are asked for, and give back what trains, by name."""
    encoder = model.transformers_model
    set_dropout(encoder, preset.dropout)
    if preset.tune == "lora":
        encoder.requires_grad_(False)
        _add_adapters(model, preset)
    else:
        encoder.requires_grad_(True)
    embeds = isinstance(preset, EmbeddingPreset)
    for name, value in encoder.named_parameters():
        # A vector is pooled from all tokens; the layer that looks at the first one only is never asked.
        if embeds and (name.startswith("pooler.") or ".pooler." in name):
            value.requires_grad_(False)
        if not embeds and preset.tune == "lora" and name.split(".")[0] in {"classifier", "score"}:
            value.requires_grad_(True)
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def set_dropout(encoder: nn.Module, share: float) -> None:
    """Give every dropout of an encoder the preset's share."""
    for part in encoder.modules():
        if isinstance(part, nn.Dropout):
            part.p = share
        for name in _RATES:
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, share)


def _add_adapters(model: Any, preset: AnyRetrievalPreset) -> None:
    """Low-rank adapters on every linear layer but the head (https://arxiv.org/abs/2106.09685)."""
    from peft import LoraConfig

    encoder = model.transformers_model
    wanted = [
        name
        for name, part in encoder.named_modules()
        if isinstance(part, nn.Linear) and name.split(".")[0] not in {"classifier", "score"} and "pooler" not in name.split(".")
    ]
    wish = LoraConfig(r=preset.lora.rank, lora_alpha=preset.lora.alpha, lora_dropout=preset.dropout, target_modules=wanted)
    model.add_adapter(wish)


def merge_adapters(model: Any) -> None:
    """Add adapters to the weights they stand beside, and take them off; nothing happens where there are none."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    encoder = model.transformers_model
    found = [(name, part) for name, part in encoder.named_modules() if isinstance(part, BaseTunerLayer)]
    for name, part in found:
        part.merge(safe_merge=True)
        parent, _, own = name.rpartition(".")
        setattr(encoder.get_submodule(parent), own, part.get_base_layer())
    if found:
        # What transformers looks at when it saves.
        encoder._hf_peft_config_loaded = False
        for name in ("peft_config",):
            if hasattr(encoder, name):
                delattr(encoder, name)
