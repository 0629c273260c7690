"""Names and shapes of Stable Diffusion 1.x as it was published (CompVis' LDM), from those of diffusers.

Source: ``scripts/convert_diffusers_to_original_stable_diffusion.py`` of diffusers (Apache-2.0), here for any number of blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_names(names: Sequence[str], layers: int) -> dict[str, str]:
    """Names of a UNet's weights to LDM's.

    Args:
        layers: of each block (``layers_per_block``).
    Raises:
        KeyError: LDM has no name for one.
    """
    attends = {match[1] for name in names if (match := re.match(r"up_blocks\.(\d+)\.attentions\.", name))}
    return {name: UNET + _unet_name(name, layers, attends) for name in names}


def _unet_name(name: str, layers: int, attends: set[str]) -> str:
    """One name; ``attends``: numbers of the upward blocks that have attention, behind which their enlargement stands."""
    stem, _, end = name.rpartition(".")
    if stem in _OUTER:
        return f"{_OUTER[stem]}.{end}"
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
        kind, place, rest = match.groups()
        return f"middle_block.1.{rest}" if kind == "attentions" else f"middle_block.{2 * int(place)}.{_resnet(rest)}"
    match = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    if match is None:
        raise KeyError(name)
    way, block, kind, place, rest = match.groups()
    first = (layers + 1) * int(block)
    if way == "down":
        at = f"input_blocks.{first + int(place) + 1}" if kind != "downsamplers" else f"input_blocks.{first + layers + 1}"
        inner = f"0.op.{rest.removeprefix('conv.')}" if kind == "downsamplers" else None
    else:
        at = f"output_blocks.{first + int(place)}" if kind != "upsamplers" else f"output_blocks.{first + layers}"
        inner = f"{2 if block in attends else 1}.{rest}" if kind == "upsamplers" else None
    if inner is None:
        inner = f"1.{rest}" if kind == "attentions" else f"0.{_resnet(rest)}"
    return f"{at}.{inner}"


def _resnet(rest: str) -> str:
    """What follows a block of convolutions."""
    part, _, end = rest.partition(".")
    return f"{_RESNET[part]}.{end}"


def vae_names(names: Sequence[str]) -> dict[str, str]:
    """Names of a VAE's weights to LDM's.

    Raises:
        KeyError: LDM has no name for one.
    """
    ups = 1 + max(int(match[1]) for name in names if (match := re.match(r"decoder\.up_blocks\.(\d+)\.", name)))
    return {name: VAE + _vae_name(name, ups) for name in names}


def _vae_name(name: str, ups: int) -> str:
    """One name; LDM counts the blocks that enlarge from the picture on."""
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    name = re.sub(r"mid_block\.resnets\.(\d+)\.", lambda match: f"mid.block_{int(match[1]) + 1}.", name)
    if match := re.match(r"(.*)mid_block\.attentions\.0\.(.*)\.(weight|bias)$", name):
        return f"{match[1]}mid.attn_1.{_VAE_ATTENTION[match[2]]}.{match[3]}"
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)\.", r"down.\1.block.\2.", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)\.", lambda m: f"up.{ups - 1 - int(m[1])}.block.{m[2]}.", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"up.{ups - 1 - int(m[1])}.upsample.", name)
    if "_blocks." in name or "mid_block" in name:
        raise KeyError(name)
    return name


def single_file(
    unet: Mapping[str, Tensor], vae: Mapping[str, Tensor], text: Mapping[str, Tensor], config: Mapping[str, Any]
) -> dict[str, Tensor]:
    """All weights of a pipeline under LDM's names.

    Args:
        config: the UNet's configuration.
    Raises:
        KeyError: LDM has no name for a weight.
    """
    found = {new: unet[name] for name, new in unet_names(list(unet), int(config["layers_per_block"])).items()}
    for name, new in vae_names(list(vae)).items():
        matrix = ".attn_1." in new and vae[name].dim() == 2
        found[new] = vae[name][:, :, None, None] if matrix else vae[name]  # LDM attends by convolutions of one pixel
    found |= {f"{TEXT}text_model.{name.removeprefix('text_model.')}": value for name, value in text.items()}
    return {name: value.detach().cpu().contiguous() for name, value in found.items()}
