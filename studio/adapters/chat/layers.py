"""Which layers of an architecture adapters go to, and what of a model trains, by kind of layer.

Legend: e experts, i inputs and o outputs of a layer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import ModulesToSaveWrapper
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from studio.adapters.chat.reference import TRAINED
from studio.core.errors import UserError
from studio.models.chat.architecture import decoder_of, head_of, read_directly
from studio.schema.adapter import LoraSettings

# Parts of names that PEFT puts in between, and the copy of a layer that another one, trained whole, stands for.
_WRAPPING = {"weight", "bias", "base_layer", "modules_to_save", "default"}
_ADAPTERS = ("lora_", "oft_", "hada_", "lokr_", "vera_")  # what PEFT calls the parameters of its adapters
_REPLACED = "original_module"
_HEADS = {"q_proj", "k_proj", "v_proj", "o_proj"}  # also where attention and state space are both a "mixer" (Nemotron-H)
_KINDS = ("attention", "MLP", "experts", "router", "state space", "vision", "embeddings", "output layer", "norms and biases")


@dataclass(frozen=True)
class Covered:
    """One kind of layer: how many numbers its weights have, and how many of them train or carry an adapter."""

    kind: str
    weights: int
    adapted: int


def all_linear(model: Any) -> str | list[str]:
    """What ``all-linear`` stands for: the linear layers of the language part that are called, without routers and output layer.

    Vision towers are left out because no picture trains them, routers because they decide which expert learns, and
    layers whose weight a kernel reads directly because an adapter beside it would never be asked.

    Returns:
        PEFT's own word where that comes to the same, else the layers by their full names.
    """
    kept = _linear_names(model)
    head = head_of(model)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D) and module is not head]
    return "all-linear" if len(kept) == len(linear) else kept


def _linear_names(model: Any) -> list[str]:
    """Full names of the linear layers that :func:`all_linear` stands for."""
    head, decoder = head_of(model), decoder_of(model)
    linear = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
    inside = {id(module) for module in decoder.modules()} if decoder is not None else set(map(id, linear.values()))
    silent = {f"{name}.dt_proj" for name, module in model.named_modules() if hasattr(module, "A_log")}
    silent |= {name for name in linear if name.rpartition(".")[2] in read_directly(model.config)}
    return [
        name for name, module in linear.items() if id(module) in inside and name not in silent and kind_of_layer(name) != "router"
    ]


def adapt_experts(config: LoraConfig, lora: LoraSettings, model: Any, *, quantized: bool) -> None:
    """Let PEFT name the stacked experts among ``all-linear`` of the families it knows, without their routers.

    PEFT takes the names of their projections away from plain layers that are called the same (the dense and shared MLPs of
    DeepSeek), when it attaches and when it loads; those get their adapters as the experts do, by the name of the weight.

    Args:
        quantized: plain layers are packed, and such a weight can carry no adapter of its own.
    Raises:
        UserError: a setting that PEFT has for layers only, not for stacked experts.
    """
    linear = _linear_names(model)
    convert_peft_config_for_transformers(config, model, None)
    config.target_parameters = sorted(name for name in config.target_parameters or () if not name.endswith("gate.weight")) or None
    if not config.target_parameters:
        return
    named = set(config.target_modules or ())
    if not quantized:
        beside = (name for name in linear if name not in named and name.rpartition(".")[2] not in named)
        config.target_parameters += sorted(f"{name}.weight" for name in beside)
    impossible = {
        "lora.dropout": lora.dropout,
        "lora.dora": lora.dora,
        "lora.init": (lora.moves_base or lora.init == "eva") and lora.init,
    }
    for name, value in impossible.items():
        if value:
            raise UserError(
                f"{name} {str(value).lower()} cannot be used on the experts of {model.config.model_type}, which are stacked in "
                f"one tensor. Leave {name} at its default, or set lora.target_modules=attention."
            )


def has_stacked_experts(model: Any) -> bool:
    """True where PEFT would put adapters of ``all-linear`` on tensors that hold several experts."""
    config = LoraConfig(target_modules=all_linear(model))
    convert_peft_config_for_transformers(config, model, None)
    return any(not name.endswith("gate.weight") for name in config.target_parameters or ())


def refuse_half_experts(config: LoraConfig, model: Any) -> None:
    """Refuse names of which PEFT would turn one half of a stacked tensor of experts into an adapter.

    Raises:
        UserError: one of two projections is named that such a tensor holds.
    """
    try:
        convert_peft_config_for_transformers(copy.deepcopy(config), model, None)
    except ValueError as error:
        named = ", ".join(sorted(config.target_modules or ()))
        raise UserError(
            f"lora.target_modules: {named} leaves out one of gate_proj and up_proj, which the experts of "
            f"{model.config.model_type} keep in one tensor. Name both or neither."
        ) from error


def refuse_unadaptable(chosen: list[str], model: Any, block: str = "lora") -> None:
    """Refuse names of layers that would train and then be of no use.

    Raises:
        UserError: the output layer, embeddings that share their weights with it, or a layer that is never called.
    """
    useless = _useless(model)
    for layer in useless:
        named = next((name for name in chosen if layer == name or layer.endswith(f".{name}")), None)
        if named is not None:
            raise UserError(f"{block}.target_modules: {useless[layer].format(named=named)}")


def useless_names(model: Any) -> set[str]:
    """Last names of the layers that :func:`refuse_unadaptable` refuses."""
    return {layer.rpartition(".")[2] for layer in _useless(model)}


def _useless(model: Any) -> dict[str, str]:
    """Layers on which an adapter is of no use, by their full names, with the sentence that says why."""
    kind = model.config.model_type
    tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
    head, words = head_of(model), model.get_input_embeddings()
    found = {}
    for layer, module in model.named_modules():
        if module is head:
            found[layer] = (
                "{named} is the output layer, which cannot carry an adapter. Train it whole with lora.modules_to_save=[{named}], "
                "or leave it out."
            )
        elif layer.rpartition(".")[2] in read_directly(model.config):
            found[layer] = (
                f"{{named}} is never called in {kind}, whose kernels read its weight themselves, so an adapter on it would "
                "change nothing. Leave it out."
            )
        elif module is words and tied:
            found[layer] = (
                f"{{named}} shares its weights with the output layer in {kind}, so an adapter on it could be neither merged nor "
                "served. Leave it out."
            )
    return found


def coverage(model: Any) -> list[Covered]:
    """What trains of a model with its adapters attached, by kind of layer, the kinds that it has in a fixed order."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder, head = decoder_of(inner), _unwrapped(head_of(inner))
    inside = {id(module) for module in decoder.modules()} if decoder is not None else set()
    sums = {kind: [0, 0] for kind in _KINDS}
    owner: Any
    for owner, name, weight, adapted in _weights(inner):
        kind = "output layer" if owner is head else kind_of_layer(name, weight)
        if decoder is not None and id(owner) not in inside and kind != "output layer":
            kind = "output layer" if name.partition(".")[0].endswith("head") else "vision"
        numbers = weight.numel()
        if weight.dtype == torch.uint8 and isinstance(owner, nn.Linear):  # packed in 4 bits
            numbers = int(owner.in_features) * int(owner.out_features)
        sums[kind][0] += numbers
        sums[kind][1] += numbers * adapted
    return [Covered(kind, weights, adapted) for kind, (weights, adapted) in sums.items() if weights]


def adapted_layers(model: Any) -> set[str]:
    """Last names of the layers that carry an adapter."""
    return {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def told(covered: list[Covered]) -> str:
    """What trains in one line: each kind with the share of its weights, and the kinds that are left as they are."""
    trains = [f"{each.kind} {each.adapted / each.weights:.0%}" for each in covered if each.adapted]
    left = [each.kind for each in covered if not each.adapted]
    return f"trains: {', '.join(trains)}" + (f"; left as they are: {', '.join(left)}" if left else "")


def unpacked(covered: list[Covered], quantization: str) -> str | None:
    """A sentence on what a quantised base keeps in 16 bits, where that is more than embeddings and norms."""
    experts = next((each.weights for each in covered if each.kind == "experts"), 0)
    if quantization == "none" or not experts:
        return None
    share = experts / sum(each.weights for each in covered)
    return (
        f"{quantization} packs linear layers only: stacked experts, {share:.0%} of the weights, keep the number type of the "
        "arithmetic, so little memory is saved."
    )


def _unwrapped(module: Any) -> Any:
    """The layer that is computed with, where it trains whole beside the base's own."""
    return module.modules_to_save[module.active_adapters[0]] if isinstance(module, ModulesToSaveWrapper) else module


def kind_of_layer(name: str, weight: Tensor | None = None) -> str:
    """The kind of layer that a weight belongs to, by the words that architectures use for their parts."""
    parts = [part for part in name.lower().split(".") if part not in _WRAPPING]
    last = parts[-1] if parts else ""
    if any("vision" in part for part in parts):
        return "vision"
    if last in {"gate", "router", "shared_expert_gate"} or any("router" in part for part in parts):
        return "router"
    if weight is not None and weight.dim() < 2:
        return "norms and biases"
    if any("expert" in part for part in parts):
        return "experts"
    if last in _HEADS or any("attn" in part or "attention" in part for part in parts):
        return "attention"
    if any(part in {"mamba", "mixer", "ssm", "rg_lru", "conv", "conv1d", "linear_attn"} for part in parts):
        return "state space"
    return "embeddings" if "embed" in last or last in {"wte", "wpe"} else "MLP"


def _weights(inner: Any) -> Iterator[tuple[nn.Module, str, Tensor, bool]]:
    """Each weight of the base once: the module that owns it, its name, itself, and whether it trains or carries an adapter."""
    # Parameters with an adapter by the module that owns them; stacked experts have several, each named.
    carriers: dict[int, set[str]] = {}
    for module in inner.modules():
        if isinstance(module, BaseTunerLayer) and TRAINED in getattr(module, "r", {TRAINED: 0}):
            owner = module.get_base_layer()
            carriers.setdefault(id(owner), set()).add(getattr(module, "parameter_name", None) or "weight")
    seen: set[int] = set()
    for name, owner in inner.named_modules():
        if any(part.startswith(_ADAPTERS) or part == _REPLACED for part in name.split(".")):
            continue
        for own, weight in owner.named_parameters(recurse=False):
            if own.startswith(_ADAPTERS) or id(weight) in seen:
                continue
            seen.add(id(weight))
            yield owner, f"{name}.{own}", weight, bool(weight.requires_grad or own in carriers.get(id(owner), ()))
