"""Two adapters of a model as one: that of a run and the one that was trained beside it become a plain LoRA of both ranks.

Legend: r ranks, i inputs and o outputs of a layer. s0 B0 A0 + s1 B1 A1 = s1 [B1 | (s0 / s1) B0] [A1 ; A0]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor

from studio.adapters.chat.reference import START, TRAINED

_WEIGHTS = "adapter_model.safetensors"


def join_saved(model: PeftModel, folder: Path) -> None:
    """Rewrite the saved adapter that was trained as one with the frozen one beside it.

    Every layer gets the sum of the largest ranks, with rows of zeros where one of the two has less or nothing: one rank and one
    scale for all layers is what every reader of adapters understands.

    Args:
        folder: a PEFT folder just written by ``save_pretrained``.
    """
    trained, start = (
        load_file(folder / _WEIGHTS),
        get_peft_model_state_dict(model, adapter_name=START, save_embedding_layers=False),
    )
    path = folder / "adapter_config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    scales = {name: _scales(module) for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    scale = next(pair[TRAINED] for pair in scales.values() if TRAINED in pair)
    ranks = [_largest_rank(weights) for weights in (trained, start)]
    joined: dict[str, Tensor] = {}
    for name in sorted({*trained, *start}):
        layer = scales[name.rpartition(".lora_")[0]]
        parts = [trained.get(name), start.get(name)]
        joined[name] = _joined(name, parts, [layer.get(TRAINED, scale) / scale, layer.get(START, scale) / scale], ranks)
    save_file(joined, folder / _WEIGHTS, metadata={"format": "pt"})
    config |= {
        "r": sum(ranks),
        "lora_alpha": scale * sum(ranks),
        "use_rslora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
        "init_lora_weights": True,
        "target_modules": sorted(_last_common(joined, model)),
    }
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def _scales(module: Any) -> dict[str, float]:
    """The scale of each adapter of a layer."""
    return {name: float(module.scaling[name]) for name in module.r}


def _largest_rank(weights: Mapping[str, Tensor]) -> int:
    """The largest rank among the A matrices."""
    return max(value.shape[0] for name, value in weights.items() if _is_a(name))


def _is_a(name: str) -> bool:
    """True for an A matrix, of a linear layer or of embeddings."""
    return name.rpartition(".lora_")[2].removeprefix("embedding_").startswith("A")


def _joined(name: str, parts: list[Tensor | None], factors: list[float], ranks: list[int]) -> Tensor:
    """A matrices below each other, [r, i]; B matrices beside each other, each with its factor, [o, r]."""
    first = next(part for part in parts if part is not None)
    down = _is_a(name)
    filled = []
    for part, factor, rank in zip(parts, factors, ranks, strict=True):
        value = torch.zeros(rank, first.shape[1]) if down else torch.zeros(first.shape[0], rank)
        if part is not None:
            own = part.detach().float().cpu()
            value[: own.shape[0], : own.shape[1]] = own if down else own * factor
        filled.append(value)
    return torch.cat(filled, dim=0 if down else 1).contiguous()


def _last_common(joined: Mapping[str, Tensor], model: PeftModel) -> set[str]:
    """Names that PEFT finds exactly the joined layers by: last names where these are unambiguous, else full ones."""
    layers = {name.rpartition(".lora_")[0].removeprefix("base_model.model.") for name in joined}
    others = {
        name.removesuffix(".base_layer") for name, module in model.get_base_model().named_modules() if hasattr(module, "weight")
    } - layers
    outside = {name.rpartition(".")[2] for name in others}
    return {layer if (last := layer.rpartition(".")[2]) in outside else last for layer in layers}
