"""Putting low-rank adapters onto a base, and writing them so that plain PEFT loads them on the untouched base.

Legend: r rank, i inputs and o outputs of a layer. A is [r, i], B is [o, r]; the update is scale * B @ A.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import EvaConfig, LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.config import CordaConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from studio.adapters.chat.data_driven import FROM_ROWS, Sample, prepare_corda, start_eva
from studio.adapters.chat.joined import join_saved
from studio.adapters.chat.layers import adapt_experts, all_linear, refuse_half_experts, refuse_unadaptable, useless_names
from studio.adapters.chat.reference import TRAINED, attach_start, has_start
from studio.adapters.folders import replace_folder
from studio.core.errors import StudioError, UserError, nearest
from studio.core.files import disk_errors
from studio.models.chat.architecture import is_scorer
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import LoraSettings

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_START = "studio_start_values"


def lora_config(lora: LoraSettings, model: nn.Module, *, quantized: bool = False) -> LoraConfig:
    """PEFT's configuration for a model's layers.

    Args:
        model: the base (a meta device will do): ``attention`` and lists of names are resolved against its layers.
        quantized: the base is, or will be, loaded in 4 or 8 bits.
    Raises:
        UserError: a name in ``target_modules`` or ``modules_to_save`` fits no layer.
    """
    config = LoraConfig(
        task_type="SEQ_CLS" if is_scorer(model) else "CAUSAL_LM",
        eva_config=EvaConfig(rho=1.0) if lora.init == "eva" else None,  # every layer keeps the rank that was asked for
        corda_config=CordaConfig() if lora.init == "corda" else None,
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=target_modules(lora.target_modules, model, "lora"),
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        init_lora_weights=True if lora.init == "default" else lora.init,
        bias=lora.bias,
        modules_to_save=_modules_to_save(lora.modules_to_save, model) or None,
    )
    if lora.target_modules == "all-linear":
        adapt_experts(config, lora, model, quantized=quantized)
    else:
        refuse_half_experts(config, model)
    return config


def target_modules(chosen: str | list[str], model: nn.Module, block: str = "lora") -> str | list[str]:
    """Resolve ``all-linear``, ``attention`` or a list of names to what PEFT matches (name endings).

    Args:
        block: the block of settings that it stands in, for sentences.
    Raises:
        UserError: a name fits no layer that can carry an adapter; the nearest name is offered.
    """
    if chosen == "all-linear":
        return all_linear(model)
    layers = _adaptable(model)
    if chosen == "attention":
        return _attention_names(layers, block)
    for name in chosen:
        if not any(layer == name or layer.endswith(f".{name}") for layer in layers):
            known = sorted({layer.rpartition(".")[2] for layer in layers} - useless_names(model))
            raise UserError(
                f"{block}.target_modules: no layer of the model is named {name!r}.{nearest(name, known)} Allowed: all-linear, "
                f"attention, or of {', '.join(known)}."
            )
    refuse_unadaptable(list(chosen), model, block)
    return list(chosen)


def attach_lora(
    model: PreTrainedModel,
    lora: LoraSettings,
    *,
    quantized: bool,
    gradient_checkpointing: bool,
    start_values: Path | None = None,
    start: Path | None = None,
    sample: Sample | None = None,
) -> PeftModel:
    """Freeze the base and add trainable adapters (in float32 where the base is bfloat16 or quantised).

    The non-trained parts of a quantised base keep their type: PEFT's ``prepare_model_for_kbit_training`` would copy
    embeddings and head to float32 (4 GB for Llama-3-8B), which bfloat16 arithmetic does not need.

    PiSSA and CorDA move a part of each weight into the adapter. Saving it as a plain LoRA, and going on after an
    interruption, both need the start values as they were, and a singular value decomposition repeats neither its signs
    nor (``pissa_niter_16``) its random vectors. So they are kept in ``start_values``: written when the file is not there, read
    instead of decomposing again when it is.

    Args:
        quantized: the base was loaded in 4 or 8 bits.
        start_values: file for PiSSA's start values, in the run's folder; None keeps them in memory only.
        start: adapter folder of a run that is trained on: it stays frozen beside the new one.
        start_values: file for PiSSA's and CorDA's start values, in the run's folder; None keeps them in memory only.
        sample: rows that CorDA and EVA look at; None leaves EVA's start values to a checkpoint that follows.
    Raises:
        UserError: a layer name fits nothing, PiSSA or CorDA is asked of a quantised base, or the rows are too few for a start.
    """
    if lora.moves_base and quantized:
        raise UserError(f"lora.init: {lora.init} splits the base's weights and cannot be used on a quantised base. Use default.")
    freeze(model, gradient_checkpointing=gradient_checkpointing)
    config = lora_config(lora, model, quantized=quantized)
    stored = _read_start_values(start_values) if lora.moves_base and start_values is not None and start_values.is_file() else None
    if stored is not None or (lora.init in FROM_ROWS and sample is None):
        config.init_lora_weights = True
    elif lora.init == "corda":
        prepare_corda(model, config, sample)
    peft_model = get_peft_model(model, config)
    if lora.init == "eva" and sample is not None:
        start_eva(peft_model, sample)
    if lora.moves_base:
        if stored is None:
            stored = _adapter_weights(peft_model)
            if start_values is not None:
                _write_start_values(start_values, stored)
        else:
            _apply_start_values(peft_model, stored)
            peft_model.peft_config["default"].init_lora_weights = lora.init
        setattr(peft_model, _START, stored)
    if start is not None:
        attach_start(peft_model, start)
    return peft_model


def freeze(model: PreTrainedModel, *, gradient_checkpointing: bool) -> None:
    """Make ready for an adapter: nothing of the base trains, and activations are computed again where that is asked for."""
    model.requires_grad_(False)
    if gradient_checkpointing:
        # Non-reentrant: works with frozen inputs, dropout and DDP, and is what PyTorch recommends.
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.config.use_cache = False


def save_adapter(
    model: PeftModel,
    folder: Path,
    lora: LoraSettings,
    *,
    base_name: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    template: ChatTemplate | None = None,
    state_dict: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a plain PEFT folder in one step; PiSSA and CorDA become a plain LoRA of twice the rank, and an adapter that was
    trained on top of a run's becomes one with it.

    Args:
        folder: an adapter that this run wrote there before is replaced.
        base_name: what PEFT's ``base_model_name_or_path`` is to say; None leaves the folder the base was loaded from.
        tokenizer: saved beside it, with ``template`` as its chat template.
        state_dict: the gathered weights, where the model itself holds only shards of them.
    Raises:
        StudioError: the disk is full or cannot be written.
    """
    config = model.peft_config["default"]
    if base_name is not None:
        config.base_model_name_or_path = base_name
    with replace_folder(folder) as partial:
        extra = {} if state_dict is None else {"state_dict": dict(state_dict)}
        model.save_pretrained(str(partial), save_embedding_layers=False, selected_adapters=[TRAINED], **extra)
        # PEFT writes a card of blanks; the run's own card says what is known.
        (partial / "README.md").unlink(missing_ok=True)
        if lora.moves_base:
            _convert_moved(partial, lora, getattr(model, _START))
        if has_start(model):
            join_saved(model, partial)
        if tokenizer is not None:
            if template is not None:
                tokenizer.chat_template = template.text
            tokenizer.save_pretrained(partial)


def plain_alpha(lora: LoraSettings) -> float:
    """Alpha that gives twice the rank the same scale: alpha / r, or alpha / sqrt(r) with rsLoRA."""
    return lora.alpha * (math.sqrt(2) if lora.rslora else 2)


def _convert_moved(folder: Path, lora: LoraSettings, start: Mapping[str, Tensor]) -> None:
    """Rewrite a saved PiSSA or CorDA adapter as the difference to its start, which fits the untouched base.

    W + s (B A - B0 A0) = W + s [B | -B0] [A ; A0]   (PiSSA, https://arxiv.org/abs/2404.02948, appendix C)
    """
    weights = load_file(folder / ADAPTER_WEIGHTS)
    plain: dict[str, Tensor] = {}
    for name, value in weights.items():
        first = start.get(name)
        if first is None:
            plain[name] = value
        elif "lora_A" in name:
            plain[name] = torch.cat([value, first.to(value)], dim=0)  # [2r, i]
        else:
            plain[name] = torch.cat([value, -first.to(value)], dim=1)  # [o, 2r]
    save_file(plain, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    path = folder / "adapter_config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config |= {"r": 2 * lora.rank, "lora_alpha": plain_alpha(lora), "init_lora_weights": True, "corda_config": None}
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def _adapter_weights(model: PeftModel) -> dict[str, Tensor]:
    """The A and B matrices by the names they are saved under, copied to the CPU."""
    return {
        name.replace(".default.", "."): parameter.detach().to("cpu", copy=True).contiguous()
        for name, parameter in model.named_parameters()
        if ".lora_A.default." in name or ".lora_B.default." in name
    }


def _apply_start_values(model: PeftModel, stored: Mapping[str, Tensor]) -> None:
    """Put the start values into a fresh adapter and take them out of the base, by the same formula as PEFT's ``pissa_init``."""
    expected = {name: tuple(value.shape) for name, value in _adapter_weights(model).items()}
    if expected != {name: tuple(value.shape) for name, value in stored.items()}:
        raise StudioError("the stored start values do not fit this model and rank. Resume with the run's own config.yaml.")
    for name, module in model.named_modules():
        if not isinstance(module, LoraLayer) or f"{name}.lora_A.weight" not in stored:
            continue
        a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
        base = module.get_base_layer().weight
        a.data = stored[f"{name}.lora_A.weight"].to(a, copy=True)
        b.data = stored[f"{name}.lora_B.weight"].to(b, copy=True)
        update = module.scaling["default"] * b.data.float() @ a.data.float()  # [o, i]
        full = base.data.float().T if module.fan_in_fan_out else base.data.float()
        residual = (full - update).to(base.dtype)
        base.data = residual.T.contiguous() if module.fan_in_fan_out else residual


def _write_start_values(path: Path, values: dict[str, Tensor]) -> None:
    """Write the start values in one step."""
    with disk_errors(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            save_file(values, partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _read_start_values(path: Path) -> dict[str, Tensor]:
    """Read the start values.

    Raises:
        StudioError: the file is damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise StudioError(f"{path} is damaged ({error}), so this run cannot go on. Start it again.") from error


def _adaptable(model: nn.Module) -> list[str]:
    """Names of the layers that can carry an adapter."""
    kinds = (nn.Linear, nn.Embedding, Conv1D)
    # The quantised layers of bitsandbytes are subclasses of nn.Linear.
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def _attention_names(layers: list[str], block: str) -> list[str]:
    """Endings of the attention projections; with the parent's name where an ending is used outside attention too.

    Raises:
        UserError: the model calls its attention something else.
    """

    def inside(layer: str) -> bool:
        return any("attn" in part or "attention" in part for part in layer.lower().split(".")[:-1])

    leaves = {layer.rpartition(".")[2] for layer in layers if inside(layer)}
    if not leaves:
        known = sorted({layer.rpartition(".")[2] for layer in layers})
        raise UserError(
            f"{block}.target_modules: attention finds no layer inside a module called attention in this model. Name them: "
            f"{', '.join(known)}."
        )
    outside = {layer.rpartition(".")[2] for layer in layers if not inside(layer)}
    names = leaves - outside
    names |= {".".join(layer.split(".")[-2:]) for layer in layers if inside(layer) and layer.rpartition(".")[2] in outside}
    return sorted(names)


def _modules_to_save(chosen: list[str], model: nn.Module) -> list[str]:
    """Check the names of layers that train whole.

    Raises:
        UserError: a name fits no layer; the nearest one is offered.
    """
    layers = [name for name, module in model.named_modules() if name and next(module.parameters(), None) is not None]
    for name in chosen:
        if not any(layer == name or layer.endswith(f".{name}") for layer in layers):
            known = sorted({layer.rpartition(".")[2] for layer in layers} - {str(index) for index in range(1000)})
            guess = nearest(name, known)
            raise UserError(f"lora.modules_to_save: no layer of the model is named {name!r}.{guess} Allowed: {', '.join(known)}.")
    return chosen
