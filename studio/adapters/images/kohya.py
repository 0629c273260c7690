"""LoRA files in the layout of kohya's sd-scripts, which AUTOMATIC1111, Forge, ComfyUI, InvokeAI and SD.Next read.

A diffusers LoRA file names modules as diffusers does (``unet.mid_block…to_q.lora_A.weight``); kohya's replaces dots by
underscores (``lora_unet_mid_block_…_to_q.lora_down.weight``), and for the transformers of SD3 and FLUX names the modules of the
original code, where query, key and value are one matrix. The scale alpha / rank is folded into the up matrices and alpha is
written as the rank, so that no reader can scale differently.

Source: https://github.com/kohya-ss/sd-scripts (networks/lora.py, networks/convert_flux_lora.py) and diffusers'
``lora_conversion_utils.py``, which reads the layout back.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from studio.core.errors import StudioError, UserError

# What the UIs look at to tell the families apart (sd-scripts, library/sai_model_spec.py and train_util.py).
_BASE_VERSION = {"sd15": "sd_v1", "sdxl": "sdxl_base_v1-0", "sd3": "sd3m", "flux": "flux1"}
_ARCHITECTURE = {
    "sd15": "stable-diffusion-v1/lora",
    "sdxl": "stable-diffusion-xl-v1-base/lora",
    "sd3": "stable-diffusion-3/lora",
    "flux": "flux-1-dev/lora",
}

# Text encoders by diffusers' component name. Stable Diffusion 1.5 has one, which kohya does not number.
_TEXT_PREFIX = {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2", "text_encoder_3": "lora_te3"}


@dataclass(frozen=True)
class Fused:
    """Several diffusers modules that are one matrix in the original code, in the order of its rows."""

    target: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Factors:
    """One module's update: ``up @ down`` with the scale folded in. down [r, in, …], up [out, r, …]."""

    down: Tensor
    up: Tensor

    def delta(self) -> Tensor:
        """The update as a matrix [out, in * kernel]."""
        return self.up.flatten(1) @ self.down.flatten(1)


def read_factors(weights: Mapping[str, Tensor], metadata: Mapping[str, Any] | None) -> dict[str, Factors]:
    """Module (``unet.mid_block…to_q``) to its factors, from a diffusers LoRA file's tensors.

    Args:
        metadata: diffusers' ``lora_adapter_metadata`` (``unet.r``, ``unet.lora_alpha`` …); None means a scale of 1.
    Raises:
        UserError: the file holds what kohya's layout has no place for (DoRA's magnitudes, biases).
        StudioError: a module has only one of its two factors.
    """
    others = sorted(key for key in weights if not key.endswith((".lora_A.weight", ".lora_B.weight")))
    if any("magnitude" in key for key in others):
        raise UserError(
            "this adapter is a DoRA, whose magnitudes diffusers drops when it reads kohya's layout, so that the export could "
            "not be proven equal. Use the diffusers folder in adapter/, or train with 'lora.dora: false'."
        )
    if others:
        raise UserError(f"kohya's layout has no place for {others[0]}. Use the diffusers folder in adapter/.")
    found: dict[str, Factors] = {}
    for key, down in weights.items():
        if not key.endswith(".lora_A.weight"):
            continue
        module = key.removesuffix(".lora_A.weight")
        up = weights.get(f"{module}.lora_B.weight")
        if up is None:
            raise StudioError(f"the adapter has {key} without its lora_B. Train it again.")
        found[module] = Factors(down, up * _scale(module, down.shape[0], metadata))
    if 2 * len(found) != len(weights):
        raise StudioError("the adapter has a lora_B without its lora_A. Train it again.")
    return found


def _scale(module: str, rank: int, metadata: Mapping[str, Any] | None) -> float:
    """The scale alpha / rank of one module, or alpha / sqrt(rank) with rank-stabilised scaling."""
    prefix, _, name = module.partition(".")
    if not metadata or f"{prefix}.r" not in metadata:
        return 1.0
    pattern = metadata.get(f"{prefix}.alpha_pattern") or {}
    alpha = next(
        (value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", name)), metadata[f"{prefix}.lora_alpha"]
    )
    return float(alpha) / (math.sqrt(rank) if metadata.get(f"{prefix}.use_rslora") else rank)


def to_kohya(factors: Mapping[str, Factors], family: str) -> dict[str, Tensor]:
    """The tensors of a kohya file: ``<module>.lora_down.weight``, ``.lora_up.weight`` and ``.alpha`` (the rank).

    Raises:
        UserError: the family or one of the modules has no name in kohya's layout.
    """
    if family not in _BASE_VERSION:
        raise UserError(f"kohya's layout is not defined for a base of family {family!r}. Allowed: {', '.join(_BASE_VERSION)}.")
    left = dict(factors)
    named: dict[str, Factors] = {}
    for fused in _fusions(left, family):
        named[fused.target] = _fuse([left.pop(part, None) for part in fused.parts], fused, _sizes(factors, fused))
    for module, found in left.items():
        named[_kohya_name(module, family)] = found
    tensors: dict[str, Tensor] = {}
    for name, found in named.items():
        tensors[f"{name}.lora_down.weight"] = found.down.contiguous()
        tensors[f"{name}.lora_up.weight"] = found.up.contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(float(found.down.shape[0]))
    return tensors


def _kohya_name(module: str, family: str) -> str:
    """Name in kohya's layout of a module that is one matrix in both codes."""
    component, _, name = module.partition(".")
    if component in _TEXT_PREFIX:
        prefix = "lora_te" if family == "sd15" else _TEXT_PREFIX[component]
        if component != "text_encoder_3" and not name.startswith("text_model."):
            name = f"text_model.{name}"
        return f"{prefix}_{name.replace('.', '_')}"
    if component == "unet":
        return f"lora_unet_{name.replace('.', '_')}"
    for pattern, target in _RENAMED[family].items():
        match = re.fullmatch(pattern, name)
        if match:
            return f"lora_unet_{match.expand(target)}"
    raise UserError(
        f"{module} has no name in kohya's layout of {family}. Train on attention and feed-forward layers only "
        "('lora.target_modules: attention')."
    )


# diffusers' transformer modules to those of the original code (FLUX.1: double and single stream; SD3: joint blocks).
_RENAMED: dict[str, dict[str, str]] = {
    "flux": {
        r"transformer_blocks\.(\d+)\.attn\.to_out\.0": r"double_blocks_\1_img_attn_proj",
        r"transformer_blocks\.(\d+)\.attn\.to_add_out": r"double_blocks_\1_txt_attn_proj",
        r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj": r"double_blocks_\1_img_mlp_0",
        r"transformer_blocks\.(\d+)\.ff\.net\.2": r"double_blocks_\1_img_mlp_2",
        r"transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj": r"double_blocks_\1_txt_mlp_0",
        r"transformer_blocks\.(\d+)\.ff_context\.net\.2": r"double_blocks_\1_txt_mlp_2",
        r"single_transformer_blocks\.(\d+)\.proj_out": r"single_blocks_\1_linear2",
    },
    "sd3": {
        r"transformer_blocks\.(\d+)\.attn\.to_out\.0": r"joint_blocks_\1_x_block_attn_proj",
        r"transformer_blocks\.(\d+)\.attn2\.to_out\.0": r"joint_blocks_\1_x_block_attn2_proj",
        r"transformer_blocks\.(\d+)\.attn\.to_add_out": r"joint_blocks_\1_context_block_attn_proj",
        r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj": r"joint_blocks_\1_x_block_mlp_fc1",
        r"transformer_blocks\.(\d+)\.ff\.net\.2": r"joint_blocks_\1_x_block_mlp_fc2",
        r"transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj": r"joint_blocks_\1_context_block_mlp_fc1",
        r"transformer_blocks\.(\d+)\.ff_context\.net\.2": r"joint_blocks_\1_context_block_mlp_fc2",
    },
}

# Fused modules: target with {} for the block's number, diffusers' block, its parts.
_IMAGE_QKV, _TEXT_QKV = ("attn.to_q", "attn.to_k", "attn.to_v"), ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_FUSED: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "flux": [
        ("lora_unet_double_blocks_{}_img_attn_qkv", "transformer.transformer_blocks", _IMAGE_QKV),
        ("lora_unet_double_blocks_{}_txt_attn_qkv", "transformer.transformer_blocks", _TEXT_QKV),
        ("lora_unet_single_blocks_{}_linear1", "transformer.single_transformer_blocks", (*_IMAGE_QKV, "proj_mlp")),
    ],
    "sd3": [
        ("lora_unet_joint_blocks_{}_x_block_attn_qkv", "transformer.transformer_blocks", _IMAGE_QKV),
        (
            "lora_unet_joint_blocks_{}_x_block_attn2_qkv",
            "transformer.transformer_blocks",
            ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
        ),
        ("lora_unet_joint_blocks_{}_context_block_attn_qkv", "transformer.transformer_blocks", _TEXT_QKV),
    ],
}

# FLUX.1's feed-forward is four times as wide as its stream; the single blocks' fused matrix ends with it.
_MLP_RATIO = 4


def _fusions(factors: Mapping[str, Factors], family: str) -> list[Fused]:
    """The fused matrices of which at least one part is tuned."""
    found = []
    for target, block, parts in _FUSED.get(family, []):
        numbers = {
            int(match.group(1))
            for match in (re.fullmatch(rf"{re.escape(block)}\.(\d+)\.(.+)", module) for module in factors)
            if match and match.group(2) in parts
        }
        for number in sorted(numbers):
            found.append(Fused(target.format(number), tuple(f"{block}.{number}.{part}" for part in parts)))
    return found


def _sizes(factors: Mapping[str, Factors], fused: Fused) -> list[int]:
    """Rows of every part; an untuned part is as wide as the others, the feed-forward part four times."""
    known = {part: factors[part].up.shape[0] for part in fused.parts if part in factors}
    narrow = next((size for part, size in known.items() if not part.endswith("proj_mlp")), None)
    width = narrow if narrow is not None else known[fused.parts[-1]] // _MLP_RATIO
    return [known.get(part, width * (_MLP_RATIO if part.endswith("proj_mlp") else 1)) for part in fused.parts]


def _fuse(parts: list[Factors | None], fused: Fused, sizes: list[int]) -> Factors:
    """Stack the downs and lay the ups on a diagonal: the update of the fused matrix is exactly those of its parts.

    Shapes: n parts of rank r each. down [n*r, in], up [sum(sizes), n*r].
    """
    there = [part for part in parts if part is not None]
    ranks = {part.down.shape[0] for part in there}
    if len(ranks) != 1:
        raise UserError(f"{fused.parts[0]} and its neighbours have different ranks, which kohya's layout cannot hold.")
    rank, first = ranks.pop(), there[0]
    down = torch.zeros(rank * len(parts), first.down.shape[1], dtype=first.down.dtype)
    up = torch.zeros(sum(sizes), rank * len(parts), dtype=first.up.dtype)
    row = 0
    for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        if part is not None:
            down[number * rank : (number + 1) * rank] = part.down
            up[row : row + size, number * rank : (number + 1) * rank] = part.up
        row += size
    return Factors(down, up)


def from_kohya_sd3(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read a kohya file of SD3 back into diffusers' keys, which diffusers itself cannot.

    The inverse of :func:`to_kohya` by name and by rows; the alphas are honoured, whoever wrote them.

    Raises:
        StudioError: a module is not one of SD3's.
    """
    names = sorted({key.split(".")[0] for key in tensors})
    back: dict[str, Tensor] = {}
    for name in names:
        down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
        up = up * (float(tensors[f"{name}.alpha"]) / down.shape[0])
        parts = _sd3_modules(name)
        rows = up.shape[0] // len(parts)
        for number, part in enumerate(parts):
            back[f"{part}.lora_A.weight"] = down
            back[f"{part}.lora_B.weight"] = up[number * rows : (number + 1) * rows].contiguous()
    return back


def _sd3_modules(name: str) -> list[str]:
    """The diffusers modules behind one name of kohya's SD3 layout."""
    for target, block, parts in _FUSED["sd3"]:
        match = re.fullmatch(target.format(r"(\d+)"), name)
        if match:
            return [f"{block}.{match.group(1)}.{part}" for part in parts]
    for pattern, target in _RENAMED["sd3"].items():
        match = re.fullmatch("lora_unet_" + target.replace(r"\1", r"(\d+)"), name)
        if match:
            return ["transformer." + pattern.replace(r"\.", ".").replace(r"(\d+)", match.group(1))]
    for component, prefix in _TEXT_PREFIX.items():
        layer = re.fullmatch(rf"{prefix}_text_model_encoder_layers_(\d+)_(self_attn|mlp)_(\w+)", name)
        if layer:
            return [f"{component}.text_model.encoder.layers.{layer[1]}.{layer[2]}.{layer[3]}"]
    raise StudioError(f"{name} is not a module of kohya's SD3 layout.")


def kohya_metadata(tensors: Mapping[str, Tensor], family: str, *, name: str, base: str) -> dict[str, str]:
    """The file header that UIs show and sort by. Every value is text, as safetensors wants it."""
    ranks = sorted({int(value) for key, value in tensors.items() if key.endswith(".alpha")})
    return {
        "ss_network_module": "networks.lora_flux" if family == "flux" else "networks.lora",
        "ss_network_dim": str(ranks[-1]),
        "ss_network_alpha": str(ranks[-1]),
        "ss_base_model_version": _BASE_VERSION[family],
        "ss_sd_model_name": base,
        "ss_output_name": name,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": _ARCHITECTURE[family],
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": name,
    }


def read_lora_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The tensors of a diffusers LoRA file and its ``lora_adapter_metadata``, None without one."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as stream:
        tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 (no mapping)
        header = stream.metadata() or {}
    raw = header.get("lora_adapter_metadata")
    return tensors, json.loads(raw) if raw else None
